"""Import large libraries quickly; imports nothing heavy."""

import gc
import importlib
import sys
from collections.abc import Sequence


def import_without_collection(libraries: Sequence[str]) -> None:
    """Import libraries without a look for garbage among their objects, then or later.

    There is none: they stay as long as the process. Each look at those of PyTorch takes a tenth of a second.
    """
    if all(library in sys.modules for library in libraries):
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        for library in libraries:
            importlib.import_module(library)
        gc.freeze()
    finally:
        if collecting:
            gc.enable()
