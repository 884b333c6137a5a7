#!/usr/bin/env python3
"""Runs BSAFusion from a fresh clone: makes the environment .venv on first use, then starts the tests or a command."""

# Standard library only, and written so that Python 3.6 and later can read it far enough to say that it is too old.
import ast
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements.txt"
CONSTRAINTS = ROOT / "constraints.txt"
# Research commands come with the source tree only: Slicer installs BSAFusionLib alone.
COMMAND_PACKAGES = ("BSAFusionLib", "BSAFusionResearch")
STAMP = ENVIRONMENT / "installed.txt"

OLDEST, NEWEST = (3, 10), (3, 13)
# The environment takes 2.3 GB with torch's CPU build, and pip unpacks its downloads beside it first.
DISK_GB = 4
TESTS = "the test suite (what follows goes to pytest)"


class SetupError(Exception):
    """What keeps us from starting; its text is one sentence saying what to do."""


def main(arguments):
    commands = {
        path.stem: path
        for package in COMMAND_PACKAGES
        for path in sorted((ROOT / package / "commands").glob("[!_]*.py"))
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_text(commands))
        return 0
    command, rest = arguments[0], arguments[1:]
    if command != "test" and command not in commands:
        names = ", ".join(["test"] + list(commands))
        print("There is no command '{}'; there are {}.".format(command, names), file=sys.stderr)
        return 2
    try:
        check_interpreter(sys.version_info[:2])
        prepare_environment()
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    if command == "test":
        os.chdir(str(ROOT))
        return start([str(environment_python()), "-m", "pytest"] + rest)
    return start([str(environment_python()), "-m", "BSAFusionLib", command] + rest)


def help_text(commands):
    """What there is to run, each with the first line of its own module's docstring."""
    lines = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for name, path in commands.items()}
    lines["test"] = TESTS
    width = max(len(name) for name in lines)
    shown = ["  {}  {}".format(name.ljust(width), text.splitlines()[0]) for name, text in sorted(lines.items())]
    return "\n".join(
        ["usage: run.py COMMAND [arguments]   (run.py COMMAND --help tells more)", ""]
        + shown
        + ["", "The first use makes the virtual environment .venv and installs the packages of requirements.txt in it."]
    )


def start(command):
    """Hand over to the command: its exit code and the signals sent to it are then its own."""
    python_path = [str(ROOT)] + ([os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else [])
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(python_path))
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)


def check_interpreter(version):
    """Raise SetupError for a Python whose packages there are no versions pinned for."""
    if not OLDEST <= version <= NEWEST:
        raise SetupError(
            "BSAFusion needs Python {}.{} to {}.{} and this is {}.{}; run it with one of those, for example: "
            "python{}.{} run.py demo".format(*(OLDEST + NEWEST + version + NEWEST))
        )


def check_disk(free_bytes):
    """Raise SetupError where the environment would not fit."""
    if free_bytes < DISK_GB * 1e9:
        raise SetupError(
            "The packages need about {} GB of disk (more where torch brings the CUDA libraries) and {:.1f} GB are free "
            "at {}; free some space and run the same command again.".format(DISK_GB, free_bytes / 1e9, ROOT)
        )


def environment_python():
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wanted_stamp():
    """What the environment must have been made from: this Python and exactly these requirement files."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    return "Python {}.{}\n{}\n".format(sys.version_info[0], sys.version_info[1], digest)


def is_ready():
    return STAMP.is_file() and STAMP.read_text() == wanted_stamp() and environment_python().is_file()


def prepare_environment():
    """Make .venv, or bring it up to date; what an interrupted run left is taken up again."""
    if is_ready():
        return
    with only_one_at_a_time():
        if is_ready():
            return
        started = time.time()
        check_disk(shutil.disk_usage(str(ROOT)).free)
        if not has_working_pip():
            make_environment()
        install_packages()
        STAMP.write_text(wanted_stamp())
        say("The environment is ready ({:.0f} s).".format(time.time() - started))


def has_working_pip():
    """Whether .venv holds this version of Python with a pip that runs."""
    if not environment_python().is_file():
        return False
    program = "import sys, pip; sys.exit(sys.version_info[:2] != {!r})".format(sys.version_info[:2])
    return subprocess.call([str(environment_python()), "-c", program], stderr=subprocess.DEVNULL) == 0


def make_environment():
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            "This Python lacks its venv module; install it (on Debian and Ubuntu: apt install python3-venv) "
            "and run the same command again."
        )
    say("First use: making the virtual environment .venv ...")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    if made.returncode:
        raise SetupError("Making {} failed: {}".format(ENVIRONMENT, last_line(made.stdout)))


def install_packages():
    say("Fetching the packages of requirements.txt; this takes some minutes ...")
    command = [str(environment_python()), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    log = []
    with subprocess.Popen(
        command + ["--progress-bar", "off", "-r", str(REQUIREMENTS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    ) as pip:
        for line in pip.stdout:
            log.append(line)
            if line.startswith("Installing collected packages"):
                say("Unpacking {} packages ...".format(line.count(",") + 1))
    if pip.returncode:
        raise SetupError(why_pip_failed("".join(log)))


def why_pip_failed(log):
    """One sentence out of pip's own many."""
    if "No space left on device" in log:
        return (
            "The disk filled up while the packages were unpacked; free some space (they need about {} GB, and more "
            "where torch brings the CUDA libraries) and run the same command again.".format(DISK_GB)
        )
    if "connection broken" in log or "Connection" in log or "Temporary failure in name resolution" in log:
        return (
            "The packages could not be fetched because the package index does not answer; check the network, or pip's "
            "proxy settings, and run the same command again."
        )
    errors = [line for line in log.splitlines() if line.startswith("ERROR")]
    return "Installing the packages failed; pip says: {}".format(last_line("\n".join(errors) or log))


def last_line(text):
    return (text.strip().splitlines() or ["(nothing)"])[-1]


@contextlib.contextmanager
def only_one_at_a_time():
    """Hold a lock beside .venv, which the system frees when this process ends, however it ends."""
    with (ROOT / ".venv.lock").open("w") as lock:
        if not try_lock(lock):
            say("Waiting for another run.py that is making the environment ...")
            while not try_lock(lock):
                time.sleep(1)
        yield


def try_lock(lock):
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def say(sentence):
    """Progress goes to stderr: stdout is the command's own."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
