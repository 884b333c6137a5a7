"""Hash the files that measurements follow from, to tell which of the stored ones still hold."""

from collections.abc import Iterable
from pathlib import Path

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.weights_file import sha256


def file_hashes(files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by name.

    Args:
        files: Such as the label files of heads, and the head-pose weights.

    Raises:
        FusionError: A file is missing or cannot be read.
    """
    try:
        return {path.name: sha256(path.read_bytes()) for path in files}
    except OSError as error:
        raise FusionError(f"The file {error.filename} cannot be read ({error.strerror}).") from error
