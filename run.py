#!/usr/bin/env python3
"""Run BSAFusion from a fresh clone: make the environment .venv on first use, then start the tests or a command."""

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
PROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
# Research commands come with the source tree only: Slicer installs BSAFusionLib alone.
COMMAND_PACKAGES = ("BSAFusionLib", "BSAFusionResearch")
STAMP = ENVIRONMENT / "installed.txt"

OLDEST, NEWEST = (3, 10), (3, 13)
# The whole environment takes 2.3 GB with torch's CPU build, and pip unpacks its downloads beside it first.
DISK_GB = 4
# What is no command of the program itself, in words and as modules to run one after the other.
TOOLS = {
    # A process a core takes the least time; a file's tests stay together, since they share what its fixtures make.
    # -n 0 keeps to one process, as --pdb needs.
    "test": (
        "Run the test suite; what follows goes to pytest.",
        [["pytest", "-n", "logical", "--dist", "loadfile", "--no-loadscope-reorder"]],
    ),
    "check": ("Check style and types.", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]),
}

# Which of the extras in pyproject.toml a command needs beside the dependencies that all need.
EXTRAS = {
    "apply": ["models"],
    "batch": ["cluster"],
    "demo": ["scene"],
    "view": ["view"],
    "benchmark": ["research"],
    "calibrate": ["research"],
    "evaluate": ["research"],
    "train": ["research"],
    "cut_slices": ["research"],
    "import_slices": ["research"],
    "train_pose": ["research"],
    "validate_pose": ["research"],
    # The same for both, so that one environment is made where both are started at once.
    "test": ["view", "cluster", "research", "test", "check"],
    "check": ["view", "cluster", "research", "test", "check"],
}
# Prints the project's requirements, one a line: a Python older than 3.11 reads TOML only by what pip brings along.
READ_PROJECT = """
import sys
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
def requirements_of(extra):
    for requirement in project["optional-dependencies"][extra]:
        if requirement.startswith(project["name"] + "["):  # an extra may name others of its own project
            for other in requirement.partition("[")[2].rstrip("]").split(","):
                yield from requirements_of(other)
        else:
            yield requirement
wanted = list(project.get("dependencies", []))
for extra in sys.argv[2:]:
    wanted += requirements_of(extra)
print("\\n".join(dict.fromkeys(wanted)))
"""


class SetupError(Exception):
    """A problem that keeps us from starting; its text is one sentence that says what to do."""


def main(arguments):
    commands = {
        path.stem: path
        for package in COMMAND_PACKAGES
        for path in sorted((ROOT / package / "commands").glob("[!_]*.py"))
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_text(commands))
        return 0
    if arguments[0] == "--version":
        print("BSAFusion {}".format(program_version()))
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in TOOLS and command not in commands:
        names = ", ".join(sorted(list(TOOLS) + list(commands)))
        print("There is no command '{}'; there are {}.".format(command, names), file=sys.stderr)
        return 2
    try:
        check_interpreter(sys.version_info[:2])
        prepare_environment(EXTRAS.get(command, []))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            "The environment cannot be made in {} ({}); see that you may write there and that the disk has room, or "
            "copy the program to a folder of your own.".format(ROOT, error.strerror or error),
            file=sys.stderr,
        )
        return 1
    if command in TOOLS:
        os.chdir(str(ROOT))
        *steps, last = [[str(environment_python()), "-m"] + step for step in TOOLS[command][1]]
        for step in steps:
            failed = subprocess.call(step)
            if failed:
                return failed
        return start(last + rest)
    return start([str(environment_python()), "-m", "BSAFusionLib", command] + rest)


def help_text(commands):
    """Return the help: every command with the first line of its module's docstring."""
    lines = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for name, path in commands.items()}
    lines.update((name, summary) for name, (summary, _) in TOOLS.items())
    width = max(len(name) for name in lines)
    shown = ["  {}  {}".format(name.ljust(width), text.splitlines()[0]) for name, text in sorted(lines.items())]
    return "\n".join(
        ["usage: run.py COMMAND [arguments]   (run.py COMMAND --help shows its options)", ""]
        + shown
        + [
            "",
            "The first use of a command makes the virtual environment .venv, or adds its packages there.",
        ]
    )


def program_version():
    """Return the version that the library states; it is not imported, since its packages may not be installed yet."""
    text = (ROOT / "BSAFusionLib" / "__init__.py").read_text(encoding="utf-8")
    return text.partition('version = "')[2].partition('"')[0]


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


def stamp_of(extras):
    """Return what describes an environment: this Python, the pinned versions, and the extras it holds."""
    digest = hashlib.sha256(PROJECT.read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    return ["Python {}.{}".format(sys.version_info[0], sys.version_info[1]), digest] + sorted(extras)


def installed_stamp():
    """Return the lines of the environment's own stamp; none where it was never completed."""
    if not (STAMP.is_file() and environment_python().is_file()):
        return []
    return STAMP.read_text().splitlines()


def is_ready(extras):
    stamp = installed_stamp()
    return stamp[:2] == stamp_of([]) and set(extras) <= set(stamp[2:])


def prepare_environment(extras):
    """Make .venv, or add what this command needs to it; continue what an interrupted run left."""
    if is_ready(extras):
        return
    with only_one_at_a_time():
        if is_ready(extras):
            return
        started = time.time()
        check_disk(shutil.disk_usage(str(ROOT)).free)
        extras = sorted(set(extras) | set(installed_stamp()[2:]))
        if not has_working_pip():
            make_environment()
        install_packages(extras)
        STAMP.write_text("\n".join(stamp_of(extras)))
        say("The environment is ready ({:.0f} s).".format(time.time() - started))


def has_working_pip():
    """Tell whether .venv holds this version of Python with a pip that runs."""
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


def install_packages(extras):
    say("Fetching the packages that pyproject.toml names; this takes some minutes ...")
    read = [str(environment_python()), "-c", READ_PROJECT, str(PROJECT)] + extras
    requirements = subprocess.check_output(read, universal_newlines=True).split("\n")
    requirements = [requirement for requirement in requirements if requirement]
    if not requirements:
        return
    command = [str(environment_python()), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    log = []
    with subprocess.Popen(
        command + ["--progress-bar", "off", "--no-compile", "--constraint", str(CONSTRAINTS)] + requirements,
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
    # pip compiles on one processor alone. Some packages hold files that are templates of modules and do not compile.
    compiling = [str(environment_python()), "-m", "compileall", "-q", "-j", "0", str(ENVIRONMENT)]
    subprocess.call(compiling, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def why_pip_failed(log):
    """Return one sentence that says why pip failed."""
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
    """Print progress on stderr, since stdout is the command's own."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
