"""Refuses to write over what a run reads; every command and the panel ask here before anything is computed."""

import glob
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.sidecars import sidecars_of

HEADER_BYTES = 1 << 20  # of a NRRD or MetaImage file, in which it names the files that hold its voxels
TWO_FILE_SUFFIXES = (".hdr", ".img", ".hdr.gz", ".img.gz")  # of Analyze and of NIfTI in two files
WRITTEN_BESIDE = {
    ".mhd": ".zraw",
    ".nhdr": ".raw.gz",
    ".hdr": ".img",
    ".img": ".hdr",
}  # compressed by ITK, where it can
DATA_FILE = re.compile(rb"^(?:ElementDataFile|data ?file)[ \t]*[:=][ \t]*(.+?)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
NUMBER = re.compile(r"%0?\d*d")  # in the name of a series of files, as both formats allow


def refuse_overwriting(inputs: Iterable[Path | None], outputs: Iterable[Path | None]) -> None:
    """Raise an error if writing the outputs would replace an input.

    Call this before the first output, or its folder, is made. Two paths are the same file if they lead to it by any
    spelling, symbolic link or hard link, or if the file system ignores case.

    Args:
        inputs: Files and folders that the run reads. With a file count those that `files_of` adds. Of a folder count
            the DICOM files: others in it may be the results of an earlier run. None is skipped.
        outputs: All files that the run writes or replaces. None is skipped.

    Raises:
        FusionError: An output is an input, another output, or an existing folder, device or pipe.
    """
    written: dict[Hashable, Path] = {}
    for output in filter(None, outputs):
        if os.path.isdir(output):
            raise FusionError(f"{output} is a folder, so no result can be written there; rename it or choose another.")
        if os.path.exists(output) and not os.path.isfile(output):  # it would be replaced, not written to
            raise FusionError(f"{output} is a device or a pipe and no file; choose another file for the result.")
        place, *file = _identities(output)
        if place in written:
            raise FusionError(f"Two results would be written to {output}; choose another file for one of them.")
        written.update(dict.fromkeys((place, *file), output))
    for path in filter(None, inputs):
        only_dicom = os.path.isdir(path)
        for part in files_of(path):
            clash = next((written[identity] for identity in _identities(part) if identity in written), None)
            if clash is not None and (not only_dicom or _is_dicom(part)):
                raise FusionError(
                    f"The file {clash} is an input of this run and would be overwritten by a result; choose another "
                    "place for the results."
                )


def files_of(path: Path) -> Iterator[Path]:
    """Yield the files that are read, or that belong to what is read, when a program is given `path`.

    Args:
        path: A folder, or a file of any kind, which need not exist.

    Yields:
        All files in and below a folder. For a file: itself, the JSON files that describe it (its sidecar and those that
        it inherits from in a BIDS dataset, the card of weights), the other half of .hdr and .img, the files that a NRRD
        or MetaImage header names, and the parts that weights are split into (`...aa`, `...ab`).
    """
    if os.path.isdir(path):
        yield from (file for file in path.rglob("*") if file.is_file())
        return
    yield path
    packing = path.name[-3:] if path.name.lower().endswith(".gz") else ""
    stem, suffix = os.path.splitext(path.name.removesuffix(packing))
    yield from (file for file in sidecars_of(path) if file != path)
    if os.path.isfile(path):
        yield from data_files(path)  # of any name, since volumes are read by what they hold
    if suffix.lower().endswith("aa") or not os.path.isfile(path):
        yield from _matching(path.parent, glob.escape(path.name.removesuffix("aa")) + "[a-z][a-z]")
    if suffix.lower() in TWO_FILE_SUFFIXES:
        halves = (
            path.with_name(f"{stem}{half.upper() if suffix.isupper() else half}{end}")
            for half in (".hdr", ".img")
            for end in ("", packing or ".gz")
        )
        yield from (file for file in halves if os.path.isfile(file) and file != path)


def files_written(path: Path) -> list[Path]:
    """Return all files that `write_volume` makes: the path itself and, in a format of two files, the one beside it."""
    beside = WRITTEN_BESIDE.get(path.suffix.lower())
    return [path] if beside is None else [path, path.with_suffix(beside)]


def data_files(header: Path) -> Iterator[Path]:
    """Yield the files beside a header that hold its voxels, as the NRRD and the MetaImage format name them.

    One name, `LIST` with a name a line below it, or one name with a number in it for a series of files.
    """
    try:
        with header.open("rb") as file:
            text = file.read(HEADER_BYTES)
    except (OSError, ValueError):
        return  # reading the volume says why
    found = DATA_FILE.search(text)
    if found is None or found[1].upper() == b"LOCAL":
        return
    if found[1].upper().startswith(b"LIST"):
        names = [os.fsdecode(line.strip()) for line in text[found.end() :].splitlines()]
    else:
        names = [os.fsdecode(found[1])]
    for name in filter(None, names):
        first, *limits = name.split()
        if NUMBER.search(first):
            yield from _numbered(header.parent, first, limits)
        else:
            yield header.parent / name


def _numbered(folder: Path, pattern: str, limits: Sequence[str]) -> Iterator[Path]:
    """Yield the files of a series.

    Args:
        folder: Where they lie.
        pattern: Their name, with a place for a number such as %02d.
        limits: First and last number, and the step; without them all files that match.
    """
    matching = _matching(folder, NUMBER.sub("*", glob.escape(pattern)))
    try:
        first, last, step = map(int, (*limits[:3], "1")[:3])
        named = range(first, last + 1, step)
        before, place, after = re.split(f"({NUMBER.pattern})", os.path.basename(pattern))
    except ValueError:  # other limits, or not one number in the name itself
        yield from matching
        return
    width = int(place.strip("%d") or 0)
    for file in matching:
        digits = file.name[len(before) : len(file.name) - len(after)]
        padded = len(digits) == width or not digits.startswith("0") or digits == "0"
        if digits.isdecimal() and padded and int(digits) in named:
            yield file


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    yield from map(Path, glob.glob(os.path.join(glob.escape(str(folder)), pattern)))


def _identities(path: Path) -> Iterator[Hashable]:
    """Yield what a path shares with every other path to the same file: the real path and, if it exists, the inode."""
    try:
        yield os.path.normcase(os.path.realpath(path))
        state = os.stat(path)
    except (OSError, ValueError):
        return
    if state.st_ino:  # 0 on file systems that number nothing
        yield state.st_dev, state.st_ino


def _is_dicom(file: Path) -> bool:
    from BSAFusionLib.files.dicom.recognize import is_dicom_file  # here, since rooms below need this module

    try:
        return is_dicom_file(file)
    except OSError:
        return True  # unreadable: to refuse is safe
