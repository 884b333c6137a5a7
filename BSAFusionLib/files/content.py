"""What a file holds by its first bytes, whatever its name says: a compression, and the format of a volume."""

import contextlib
import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import files_of
from BSAFusionLib.files.paths import link_or_copy, private_folder

PACKINGS = {b"\x1f\x8b": ".gz", b"BZh": ".bz2"}
ZIP_MAGIC = b"PK\x03\x04"
HEAD_BYTES = 1 << 16  # in which a header names itself
META_IMAGE = re.compile(rb"^\s*(ObjectType|NDims|Comment)\s*=.*^ElementDataFile\s*=", re.MULTILINE | re.DOTALL)
NAMED = {".nrrd": (".nrrd", ".nhdr"), ".mha": (".mha", ".mhd")}
"""By the ending for a format, all endings by which ITK knows it; it tells capitals apart."""
HEADER_SUFFIXES = (*NAMED[".nrrd"], *NAMED[".mha"])


def packing_of(path: Path) -> str:
    """Return how a file is compressed: ".gz", ".bz2", or "" where it is not."""
    with path.open("rb") as file:
        head = file.read(3)
    return next((ending for magic, ending in PACKINGS.items() if head.startswith(magic)), "")


def opened(path: Path) -> BinaryIO:
    """Open a file that may be compressed."""
    packing = packing_of(path)
    if packing == ".bz2":
        import bz2  # here, since not every Python is built with it

        return bz2.open(path, "rb")  # type: ignore[return-value]
    return gzip.open(path, "rb") if packing else path.open("rb")  # type: ignore[return-value]


@contextlib.contextmanager
def under_right_name(path: Path) -> Iterator[Path]:
    """Yield a file by a name that ITK reads it by: its own, or that of a link or an unpacked copy in a private folder.

    Args:
        path: A NRRD or MetaImage file of any name, or another file, which is left as it is.

    Raises:
        FusionError: It is a ZIP archive.
    """
    with opened(path) as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(ZIP_MAGIC):
        raise FusionError(f"The file {path} is a ZIP archive; unpack it and give the volume in it.")
    ending = ".nrrd" if head.startswith(b"NRRD") else ".mha" if META_IMAGE.match(head) else ""
    packed = packing_of(path) != ""
    if not ending or (not packed and path.name.endswith(NAMED[ending])):
        yield path
        return
    with private_folder() as folder:
        named = folder / f"volume{ending}"
        if packed:
            with opened(path) as source, named.open("wb") as target:
                shutil.copyfileobj(source, target)
        else:
            link_or_copy(path, named)
        for data in files_of(named):  # that the header names, beside the file
            if data.parent == folder and data != named:
                link_or_copy(path.with_name(data.name), data)
        yield named
