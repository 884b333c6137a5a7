"""Start one command of run.py by its name; report what the user can fix in one sentence, with exit code 2."""

import argparse
import gc
import importlib
import importlib.util
import pkgutil
import sys
import time

from BSAFusionLib import version
from BSAFusionLib.commands._console import unfailing_console
from BSAFusionLib.commands._program import program_name
from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.worker.threads import wait_patiently

# Research commands come with the source tree only: Slicer and `pip install` bring BSAFusionLib alone.
COMMAND_PACKAGES = ("BSAFusionLib.commands", "BSAFusionResearch.commands")


def command_modules() -> dict[str, str]:
    """Return the full module name of every command that is here, by the command's name."""
    modules = {}
    for package in COMMAND_PACKAGES:
        if importlib.util.find_spec(package.partition(".")[0]) is None:
            continue
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if not module.name.startswith("_"):
                modules[module.name] = f"{package}.{module.name}"
    return modules


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The command's name and its arguments; the process' own by default.

    Returns:
        0 for success, 1 where the command itself reports failure, 2 for a mistake in the arguments or in what they
        name, 3 where `--strict` was given and a result is doubtful, 130 where the user stopped the run.
    """
    with unfailing_console(sys.stdout, sys.stderr):
        return _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: list[str]) -> int:
    begun = time.perf_counter()
    modules = command_modules()
    parser = argparse.ArgumentParser(
        prog=program_name(), description="Register and fuse an MRI with a CT, PET or SPECT."
    )
    parser.add_argument("--version", action="version", version=f"BSAFusion {version}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    if modules.get(arguments[0] if arguments else "", "").startswith("BSAFusionLib."):
        wait_patiently()
    # Only the command that is asked for is imported: training's libraries take seconds to load.
    for name in [name for name in modules if name in arguments[:1]] or sorted(modules):
        module = importlib.import_module(modules[name])
        summary = (module.__doc__ or "").strip().splitlines()[0]
        command = subparsers.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run, begun=begun, words=arguments)
    parsed = parser.parse_args(arguments)
    from BSAFusionLib.files.atomic import check_writable
    from BSAFusionLib.pipeline.memory import explain_memory_errors

    try:
        if getattr(parsed, "json", None):
            check_writable(parsed.json)  # before hours of computing
        with explain_memory_errors():
            return parsed.run(parsed)
    except FusionError as error:
        print(error, file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("Stopped; nothing was written over.", file=sys.stderr)
        return 130
    except OSError as error:
        print(_about(error), file=sys.stderr)
        return 2


def _about(error: OSError) -> str:
    """Return a sentence about a file or connection that the system refused, and what to do."""
    if error.filename is None:
        why = error.strerror or error
        return f"The system refused to read, write or connect ({why}); check the disk and the network."
    return (
        f"The file {error.filename} cannot be read or written ({error.strerror}); see that it is there and that you "
        "may open it."
    )


def command_line() -> int:
    """Run the process' own command and return its exit code."""
    try:
        return main()
    finally:
        gc.freeze()  # Python looks for garbage among all that was imported otherwise, a quarter of a second long


if __name__ == "__main__":
    sys.exit(command_line())
