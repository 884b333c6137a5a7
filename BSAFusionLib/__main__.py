"""Starts one command of run.py by its name; what a user can mend is said in one sentence, with exit code 2."""

import argparse
import importlib
import pkgutil
import sys

from BSAFusionLib import commands
from BSAFusionLib.errors import Cancelled, FusionError


def main(arguments: list[str] | None = None) -> int:
    """Run `arguments` (default: the command line's own) and return the exit code.

    0 is success, 1 a command that says so itself, 2 a mistake in the arguments or in what they name, 130 a run that was
    stopped by the user.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    found = (module.name for module in pkgutil.iter_modules(commands.__path__))
    names = [name for name in found if not name.startswith("_")]
    parser = argparse.ArgumentParser(prog="run.py", description="Align and fuse an MRI with a CT, PET or SPECT.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # Only the command that is asked for is imported: training's libraries take seconds to load.
    for name in [name for name in names if name in arguments[:1]] or names:
        module = importlib.import_module(f"{commands.__name__}.{name}")
        summary = (module.__doc__ or "").strip().splitlines()[0]
        command = subparsers.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    try:
        return parsed.run(parsed)
    except FusionError as error:
        print(error, file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("Stopped; nothing was written over.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
