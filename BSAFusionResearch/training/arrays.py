"""Arrays of slices, read from .npz files."""

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from BSAFusionLib.errors import FusionError


def read_arrays(path: Path, names: Collection[str], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by these names, optional ones where they are there; no pickle is loaded.

    FusionError where there is no such file, it cannot be read, or an array that is not optional is missing.
    """
    if not path.is_file():
        raise FusionError(f"There is no file {path}; name the folder that holds {path.name}.")
    missing: list[str] = []
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing += sorted(set(names) - set(arrays.files))
            found = {name: arrays[name] for name in {*names, *optional}.intersection(arrays.files)}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise FusionError(f"The file {path} cannot be read: it is damaged or no .npz of arrays; mend it.") from error
    if missing:
        raise FusionError(f"The file {path} lacks {', '.join(missing)}; name another, or make it anew.")
    return found
