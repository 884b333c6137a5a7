"""Command-line options for the choices of a run, from the fields of Settings."""

import argparse
from collections.abc import Collection
from typing import Any

from BSAFusionLib.settings import Settings, options


def add_settings(parser: argparse.ArgumentParser, only: Collection[str] | None = None) -> None:
    """Add an option for every choice of `Settings`.

    Args:
        parser: The parser of a command.
        only: Names of the fields to add; all by default.
    """
    for name, option in options().items():
        if only is not None and name not in only:
            continue
        default = getattr(Settings, name)
        details: dict[str, Any] = {"dest": name, "default": default, "help": option.help}
        if option.kind is None:
            details["action"] = "store_false" if default else "store_true"
        else:
            details.update(type=option.kind, choices=option.values or None, metavar=option.metavar)
            if isinstance(option.metavar, tuple):
                details["nargs"] = len(option.metavar)
        parser.add_argument(option.flag, **details)


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add the option that makes a doubtful result end with an exit status of its own."""
    parser.add_argument("--strict", action="store_true", help="exit with status 3 if a result is doubtful")


def choices_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that `add_settings` added, by the fields of `Settings`."""
    choices = {name: getattr(arguments, name) for name in options()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in choices.items()}
