"""The fields in the header of a NRRD or MetaImage file, and what a user should know about them."""

import re
from pathlib import Path

from BSAFusionLib.errors import FusionError

HEADER_BYTES = 1 << 16
SPACING_FIELDS = ("spacings", "space directions", "elementspacing", "elementsize")
META_SCALE = {"elementtointensityfunctionslope": "1", "elementtointensityfunctionoffset": "0"}
# The fields that name the unit of lengths: of a NRRD's space, of its axes where it has no space, of a MetaImage.
UNIT_FIELDS = ("space units", "units", "distanceunits")
UNITS_MM = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("um", "\u00b5m", "micron", "microns", "micrometer", "micrometers"), 1e-3),
}
NO_UNIT = ("", "?", "none")
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


def about_header(path: Path, fields: dict[str, str] | None, name: str) -> tuple[str, ...]:
    """Return remarks on a voxel size that a header does not state, and on a scale in it that is not applied.

    Args:
        path: Of a volume that is no NIfTI.
        fields: Its `header_fields`.
        name: Of the file, for the remarks.
    """
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


def length_unit_of(fields: dict[str, str], name: str) -> tuple[float, tuple[str, ...]]:
    """Return the length in mm of the unit of a NRRD or MetaImage file, and a remark where its name is unknown.

    Args:
        fields: Of its header, by `header_fields`; none for another format.
        name: Of the file, for messages.

    Returns:
        1 where the header names no unit, or an unknown one.

    Raises:
        FusionError: It names several units.

    Source: NRRD format, "space units" and "units" (quoted, one per axis); MetaIO, DistanceUnits.
    """
    field = next((field for field in UNIT_FIELDS if field in fields), None)
    if field is None:
        return 1.0, ()
    words = re.findall('"([^"]*)"', fields[field]) or fields[field].split()
    named = [word for word in (word.strip().lower() for word in words) if word not in NO_UNIT]
    lengths = {UNITS_MM[word] for word in named if word in UNITS_MM}
    if len(lengths) > 1:
        raise FusionError(
            f"The header of {name} has lengths in several units ({', '.join(dict.fromkeys(named))}); save the volume "
            "with all in mm."
        )
    if not lengths and named and field != "units":  # of an axis that is no length, such as the frames' time
        return 1.0, (f"The header of {name} has lengths in {named[0]!r}, an unknown unit; they were taken for mm.",)
    return next(iter(lengths), 1.0), ()


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
