"""Imports of packages that may be broken, with a sentence for the user."""

import importlib
from collections.abc import Iterable

from BSAFusionLib.errors import FusionError


def load(names: Iterable[str]) -> None:
    """Import packages; may run on any thread.

    Raises:
        FusionError: one of them is broken.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package raises whatever its broken part leads to
            raise FusionError(
                f"The Python package {name} is installed but cannot be loaded ({error}); reinstall it and restart "
                "Slicer."
            ) from error
