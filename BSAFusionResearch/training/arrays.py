"""Read arrays of slices from .npz files."""

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from BSAFusionLib.errors import FusionError


def read_arrays(path: Path, names: Collection[str], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file by name; pickled content is never loaded.

    Args:
        path: The file.
        names: Arrays that must be there.
        optional: Arrays that are returned only where they are there.

    Raises:
        FusionError: The file is missing, cannot be read, or lacks one of `names`.
    """
    if not path.is_file():
        raise FusionError(f"There is no file {path}; name the folder that holds {path.name}.")
    missing: list[str] = []
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing += sorted(set(names) - set(arrays.files))
            found = {name: arrays[name] for name in {*names, *optional}.intersection(arrays.files)}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise FusionError(
            f"The file {path} cannot be read: it is damaged or is not an .npz of arrays; make it again."
        ) from error
    if missing:
        raise FusionError(f"The file {path} lacks {', '.join(missing)}; make it again, or name another.")
    return found
