"""Read and hash the bytes of a weights file; imports nothing heavy."""

import hashlib
import os
import string
from itertools import takewhile
from pathlib import Path

from BSAFusionLib.errors import FusionError


def read_parts(path: Path) -> bytes:
    """Read a file, or the parts `...aa`, `...ab` that it was split into.

    Raises:
        FusionError: There is no such file, or it cannot be read.
    """
    whole = path.with_name(path.name.removesuffix("aa"))
    suffixes = (first + second for first in string.ascii_lowercase for second in string.ascii_lowercase)
    parts = list(takewhile(os.path.isfile, (whole.with_name(whole.name + suffix) for suffix in suffixes)))
    files = [path] if os.path.isfile(path) and path not in parts else parts
    if not files:
        raise FusionError(f"There is no weights file {path}; choose another, or reinstall the extension.")
    try:
        return b"".join(file.read_bytes() for file in files)
    except OSError as error:
        raise FusionError(f"The weights file {path} cannot be read ({error.strerror}).") from error


def card_of(path: Path) -> Path:
    """Return the path of the card `<name>.json` beside a weights file, which need not be there."""
    return path.with_suffix(".json")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
