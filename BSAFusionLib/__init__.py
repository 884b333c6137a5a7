"""Registers a CT, PET or SPECT to an MRI of the same head and fuses the two.

    from BSAFusionLib import Settings, register_and_fuse

    result = register_and_fuse(fixed, moving, Settings("pet"))  # SimpleITK images

Each name is loaded when it is first asked for: importing the package itself loads neither torch nor SimpleITK.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from BSAFusionLib.errors import FusionError
    from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
    from BSAFusionLib.pipeline.result import Result
    from BSAFusionLib.settings import Settings

version = "0.5.0"

__all__ = ["FusionError", "Result", "Settings", "register_and_fuse", "version"]

_HOMES = {
    "FusionError": "BSAFusionLib.errors",
    "Result": "BSAFusionLib.pipeline.result",
    "Settings": "BSAFusionLib.settings",
    "register_and_fuse": "BSAFusionLib.pipeline.register_and_fuse",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
