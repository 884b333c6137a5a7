"""Check that the voxels of NRRD and MetaImage files are whole; ITK fills in what is damaged without an error."""

import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import data_files

BLOCK_BYTES = 1 << 20  # read or unpacked at once
HEADER_BYTES = 1 << 20
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib's code for either
META_END = re.compile(rb"^\s*ElementDataFile\s*[=:].*\n", re.MULTILINE)
NRRD_END = re.compile(rb"\n\r?\n")
TRUE = ("t", "T", "1")  # as MetaIO takes the first letter
TYPE_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_voxels(path: Path, fields: dict[str, str]) -> None:
    """Check that compressed voxels can be unpacked to their end, and that a MetaImage has as many as its header says.

    Args:
        path: A NRRD or MetaImage file.
        fields: Of its header, by `header_fields`.

    Raises:
        FusionError: A MetaImage lacks what ITK needs to unpack it.
        EOFError, ValueError, zlib.error: The voxels are damaged or cut short.
        OSError: They cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if head.startswith(b"NRRD"):
        _check_nrrd(path, fields, end.end() if (end := NRRD_END.search(head)) else len(head))
    elif end := META_END.search(head):
        _check_meta_image(path, fields, end.end())


def _check_nrrd(path: Path, fields: dict[str, str], start: int) -> None:
    """Unpack the voxels of a NRRD, if they are in gzip, from the end of its header; ITK counts them itself."""
    if fields.get("encoding", "").lower() not in ("gz", "gzip"):
        return
    skipped = int(fields.get("line skip", fields.get("lineskip", 0)))
    files = [*data_files(path)]
    for name in files or [path]:
        with name.open("rb") as file:
            file.seek(0 if files else start)
            for _ in range(skipped):
                file.readline()
            _unpacked_bytes(file)


def _check_meta_image(path: Path, fields: dict[str, str], start: int) -> None:
    """Count the bytes of a MetaImage's voxels, unpacked, from the end of its header."""
    binary, packed = (fields.get(name, "")[:1] in TRUE for name in ("binarydata", "compresseddata"))
    kind = fields.get("elementtype", "").removeprefix("MET_").removesuffix("_ARRAY")
    value_bytes = TYPE_BYTES.get(kind, TYPE_BYTES.get(kind.removeprefix("U")))
    if not (binary or packed) or value_bytes is None:
        return
    wanted = (
        math.prod(map(int, fields.get("dimsize", "").split()))
        * int(fields.get("elementnumberofchannels", 1))
        * value_bytes
    )
    files = [*data_files(path)]
    limit = int(float(fields.get("compresseddatasize", 0))) if len(files) < 2 else 0
    if packed and not files and limit <= 0:
        raise FusionError(
            f"The header of {path} does not say CompressedDataSize, without which it cannot be unpacked; save the "
            "volume again."
        )
    there = 0
    for name in files or [path]:
        begin = 0 if files else start
        if packed:
            with name.open("rb") as file:
                file.seek(begin)
                there += _unpacked_bytes(file, limit)
        else:
            there += name.stat().st_size - begin
    if there < wanted:
        raise EOFError("fewer voxels than the header says")


def _unpacked_bytes(file: BinaryIO, limit: int = 0) -> int:
    """Return how many bytes gzip or zlib data unpack to.

    Args:
        file: At their beginning.
        limit: Bytes of the data, as ITK reads them; 0 for all.

    Raises:
        EOFError: They are cut short.
        zlib.error: They are damaged.
    """
    unpacker, count, left = zlib.decompressobj(GZIP_OR_ZLIB), 0, limit or math.inf
    while not unpacker.eof:
        block = unpacker.unconsumed_tail
        if not block:
            block = file.read(int(min(BLOCK_BYTES, left)))
            left -= len(block)
        if not block:
            raise EOFError("packed voxels that are cut short")
        count += len(unpacker.decompress(block, BLOCK_BYTES))
    return count
