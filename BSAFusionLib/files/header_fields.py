"""The fields in the header of a NRRD or MetaImage file, and what a user should know about them."""

import re
from pathlib import Path

HEADER_BYTES = 1 << 16
SPACING_FIELDS = ("spacings", "space directions", "elementspacing", "elementsize")
META_SCALE = {"elementtointensityfunctionslope": "1", "elementtointensityfunctionoffset": "0"}
TIFF_MAGIC = (b"II*\0", b"MM\0*")


def header_fields(path: Path) -> dict[str, str] | None:
    """Return the fields in the header of a NRRD or MetaImage file, names in small letters; None for another file."""
    with path.open("rb") as file:
        text = file.read(HEADER_BYTES)
    if text.startswith(b"NRRD"):
        text, mark = text.replace(b"\r\n", b"\n").partition(b"\n\n")[0], ":"
    elif path.suffix.lower() in (".mha", ".mhd"):
        text, mark = text.partition(b"ElementDataFile")[0], "[=:]"
    else:
        return None
    parts = (re.split(mark, line, maxsplit=1) for line in text.decode("latin-1").splitlines())
    return {part[0].strip().lower(): part[1].strip() for part in parts if len(part) == 2}


def about_header(path: Path, name: str) -> tuple[str, ...]:
    """Return remarks on a voxel size that a header does not state, and on a scale in it that is not applied.

    Args:
        path: Of a volume that is no NIfTI.
        name: Of the file, for the remarks.
    """
    fields = header_fields(path)
    remarks: list[str] = []
    if _is_tiff(path) or (fields is not None and fields.keys().isdisjoint(SPACING_FIELDS)):
        remarks.append(
            f"The file {name} does not state the size of its voxels along all axes, and 1 mm was taken; if that is "
            "wrong, save the volume with its voxel size."
        )
    slope, offset = ((fields or {}).get(field, neutral) for field, neutral in META_SCALE.items())
    if (_number(slope), _number(offset)) != (1.0, 0.0):
        remarks.append(
            f"The header of {name} scales its values (slope {slope}, offset {offset}), but they were taken as stored, "
            "as ITK and Slicer do; save the scaled values if you need them."
        )
    return tuple(remarks)


def _is_tiff(path: Path) -> bool:
    """Tell whether a file is a TIFF, which has no distance of slices."""
    with path.open("rb") as file:
        return file.read(len(TIFF_MAGIC[0])) in TIFF_MAGIC


def _number(text: str) -> float:
    """Return a number; NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
