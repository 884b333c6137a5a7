"""Command-line options for the choices of a run, from the fields of Settings."""

import argparse
from collections.abc import Collection
from typing import Any

from BSAFusionLib.errors import FusionError
from BSAFusionLib.presets import PRESET_FIELDS, PRESETS
from BSAFusionLib.settings import Settings, options


class _Default:
    """A default that a preset may replace, unlike the same value where the user gave it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return str(self.value)


def add_settings(parser: argparse.ArgumentParser, only: Collection[str] | None = None) -> None:
    """Add an option for every choice of `Settings`, and with all of them one for the presets.

    Args:
        parser: The parser of a command.
        only: Names of the fields to add; all by default.
    """
    if only is None:
        names = "; ".join(f"{preset.name}: {preset.label}" for preset in PRESETS.values())
        parser.add_argument(
            "--preset", choices=PRESETS, help=f"set of choices, some of which other options may change ({names})"
        )
    for name, option in options().items():
        if only is not None and name not in only:
            continue
        default = getattr(Settings, name)
        replaceable = only is None and name in PRESET_FIELDS
        details: dict[str, Any] = {"dest": name, "help": option.help}
        details["default"] = _Default(default) if replaceable else default
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


def add_running(parser: argparse.ArgumentParser, threads: str) -> None:
    """Add the options on how a command runs and speaks.

    Args:
        parser: The parser of a command.
        threads: The default number of threads, in words.
    """
    parser.add_argument("--threads", type=int, metavar="N", help=f"processor threads of a case (default: {threads})")
    parser.add_argument("--quiet", action="store_true", help="show no progress and no remarks, only results and errors")


def check_count(flag: str, count: int | None) -> None:
    """Check the value of an option that counts threads or processes.

    Raises:
        FusionError: It is below 1.
    """
    if count is not None and count < 1:
        raise FusionError(f"{flag} {count} is invalid; give 1 or more.")


def use_threads(threads: int | None) -> None:
    """Let PyTorch and ITK compute on so many threads; None leaves them as they are."""
    if threads is None:
        return
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def choices_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that `add_settings` added, by the fields of `Settings`."""
    choices = {name: getattr(arguments, name) for name in options()}
    preset = PRESETS[arguments.preset or "default"].settings
    choices |= {name: preset[name] for name, value in choices.items() if isinstance(value, _Default)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in choices.items()}
