"""The header of a NIfTI or Analyze file: size, spacing, units, and the two places that it can state."""

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from BSAFusionLib.files.content import opened

HEADER_BYTES_1, HEADER_BYTES_2 = 348, 540
UNIT_MM = {1: 1e3, 3: 1e-3}  # of the codes for meters and micrometers; all others count as mm
PAIRED = {".hdr": ".img", ".img": ".hdr"}
# By the code of the data type (nifti1.h); ITK goes by it, and not by the field that states the bits.
TYPE_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
TYPE_BITS |= {1536: 128, 1792: 128, 2048: 256, 2304: 32}
LABEL_INTENT = 1002  # NIFTI_INTENT_LABEL
TIME_UNIT_S = {8: 1.0, 16: 1e-3, 24: 1e-6}  # by the code in xyzt_units (nifti1.h)
TIME_UNIT_BITS = 0x38

# Names, struct codes and offsets of the fields that are read, as nifti1.h and nifti2.h place them.
FIELDS_1 = {
    "dim": ("8h", 40),
    "intent_code": ("h", 68),
    "datatype": ("h", 70),
    "bits": ("h", 72),
    "pixdim": ("8f", 76),
    "start": ("f", 108),
    "scale": ("2f", 112),
    "units": ("B", 123),
    "first_time": ("f", 136),
    "qform_code": ("h", 252),
    "sform_code": ("h", 254),
    "quaternion": ("3f", 256),
    "offset": ("3f", 268),
    "rows": ("12f", 280),
    "magic": ("3s", 344),
}
FIELDS_2 = {
    "dim": ("8q", 16),
    "intent_code": ("i", 504),
    "datatype": ("h", 12),
    "bits": ("h", 14),
    "pixdim": ("8d", 104),
    "start": ("q", 168),
    "scale": ("2d", 176),
    "units": ("i", 500),
    "first_time": ("d", 216),
    "qform_code": ("i", 344),
    "sform_code": ("i", 348),
    "quaternion": ("3d", 352),
    "offset": ("3d", 376),
    "rows": ("12d", 400),
    "magic": ("3s", 4),
}


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI-1, NIfTI-2 or Analyze header says.

    Attributes:
        fields: The values of the fields, by the names of `FIELDS_1`; tuples where there are several.
        order: "<" or ">", the byte order.
        version: 0 for Analyze, which states no place, 1 or 2 for NIfTI.
    """

    fields: dict[str, Any]
    order: str
    version: int

    @property
    def size(self) -> tuple[int, ...]:
        """Return the counts of voxels along all axes."""
        dim = self.fields["dim"]
        return tuple(int(count) for count in dim[1 : dim[0] + 1])

    @property
    def unit_mm(self) -> float:
        """Return the length in mm of the header's unit."""
        return UNIT_MM.get(self.fields["units"] & 7, 1.0)

    @property
    def voxel_bytes(self) -> int:
        """Return the bytes of all voxels."""
        return math.prod(self.size) * TYPE_BITS.get(self.fields["datatype"], int(self.fields["bits"])) // 8

    def even_times(self, count: int) -> tuple[tuple[float, ...], float] | None:
        """Return when each frame begins, and the step between them, s; None where the header states no step in time."""
        step, unit = float(self.fields["pixdim"][4]), TIME_UNIT_S.get(self.fields["units"] & TIME_UNIT_BITS)
        if not unit or not step > 0:
            return None
        first = float(self.fields["first_time"]) if self.version else 0.0
        first = first if np.isfinite(first) else 0.0
        return tuple((first + number * step) * unit for number in range(count)), step * unit

    @property
    def with_voxels(self) -> bool:
        """Tell whether the voxels follow in the same file, and not in an .img beside it."""
        return self.fields["magic"] in (b"n+1", b"n+2")

    @property
    def is_label_map(self) -> bool:
        """Tell whether the header calls the volume a label map."""
        return bool(self.version) and self.fields["intent_code"] == LABEL_INTENT

    def qform(self) -> np.ndarray | None:
        """Return the matrix from voxel index to RAS in the header's unit by rotation and offset; None if not set.

        Source: nifti1.h, method 2.
        """
        if not self.version or self.fields["qform_code"] <= 0:
            return None
        quaternion = np.array(self.fields["quaternion"], float)
        b, c, d = quaternion / max(1.0, float(np.linalg.norm(quaternion)))
        a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
        pixdim = np.array(self.fields["pixdim"][:4], float)
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        spacing = np.abs(pixdim[1:]) * (1, 1, -1 if pixdim[0] < 0 else 1)
        return _usable(rotation * spacing, self.fields["offset"])

    def sform(self) -> np.ndarray | None:
        """Return the matrix from voxel index to RAS in the header's unit by its rows; None if not set or singular.

        Source: nifti1.h, method 3.
        """
        if not self.version or self.fields["sform_code"] <= 0:
            return None
        rows = np.reshape(self.fields["rows"], (3, 4)).astype(float)
        return _usable(rows[:, :3], rows[:, 3])


def nifti_header(path: Path) -> NiftiHeader | None:
    """Return the header of a NIfTI or Analyze file, whatever its name; None for another file.

    Raises:
        EOFError: Its compression is cut short.
        OSError: It cannot be read.
    """
    try:
        return read_header(header_file(path))
    except (ValueError, struct.error):
        return None
    except zlib.error:  # damaged where the header would be
        return None


def read_header(path: Path) -> NiftiHeader:
    """Read the header of a NIfTI or Analyze file; for one in two files, of the .hdr.

    Raises:
        ValueError: It is none of these.
        OSError: It cannot be read.
        EOFError: Its compression is cut short.
    """
    with opened(path) as file:
        content = file.read(HEADER_BYTES_2)
    for order in "<>":
        for bytes_count, layout in ((HEADER_BYTES_1, FIELDS_1), (HEADER_BYTES_2, FIELDS_2)):
            if len(content) >= bytes_count and struct.unpack_from(f"{order}i", content)[0] == bytes_count:
                fields = {name: _unpacked(content, order + code, offset) for name, (code, offset) in layout.items()}
                magic = fields["magic"]
                if not 1 <= fields["dim"][0] <= 7 or (bytes_count == HEADER_BYTES_2 and magic not in (b"n+2", b"ni2")):
                    continue
                version = 2 if bytes_count == HEADER_BYTES_2 else int(magic in (b"n+1", b"ni1"))
                return NiftiHeader(fields, order, version)
    raise ValueError("no NIfTI or Analyze header")


def clear_time(path: Path) -> None:
    """Clear step, beginning and unit of time in the header of a NIfTI that is not compressed.

    ITK cannot write that: a step of 0 is no spacing to it, and its unit of time is always the second.
    """
    header = read_header(path)
    pixdim = list(header.fields["pixdim"])
    pixdim[4] = 0.0
    units = header.fields["units"] & ~TIME_UNIT_BITS
    _rewrite(path, header, {"pixdim": pixdim, "first_time": [0.0], "units": [units]})


def set_frame_count(path: Path, count: int) -> None:
    """Set the number of frames in the header of a NIfTI of three or four dimensions that is not compressed."""
    header = read_header(path)
    _rewrite(path, header, {"dim": [4, *header.size[:3], count, 1, 1, 1]})


def _rewrite(path: Path, header: NiftiHeader, fields: dict[str, list[Any]]) -> None:
    layout = FIELDS_2 if header.version == 2 else FIELDS_1
    with path.open("r+b") as file:
        for name, values in fields.items():
            code, offset = layout[name]
            file.seek(offset)
            file.write(struct.pack(header.order + code, *values))


def header_file(path: Path) -> Path:
    """Return the file that holds the header: the .hdr of a volume in two files, else the file itself."""
    header = other_half(path, ".hdr")
    return header if header.is_file() else path


def voxel_file(path: Path, header: NiftiHeader) -> Path:
    """Return the file that holds the voxels: the .img of a volume in two files, else the file itself."""
    voxels = other_half(path, ".img")
    return path if header.with_voxels and not voxels.is_file() else voxels


def other_half(path: Path, wanted: str) -> Path:
    """Return the file with header (.hdr) or voxels (.img) of a volume in two files; of any other the file itself."""
    stem, packing = (path.name[:-3], path.name[-3:]) if path.name.lower().endswith(".gz") else (path.name, "")
    suffix = Path(stem).suffix
    if PAIRED.get(suffix.lower()) != wanted:
        return path
    other = stem.removesuffix(suffix) + (wanted.upper() if suffix.isupper() else wanted)
    names = [path.with_name(other + end) for end in (packing, "", ".gz")]
    return next((name for name in names if name.is_file()), names[0])


def _unpacked(content: bytes, code: str, offset: int) -> Any:
    values = struct.unpack_from(code, content, offset)
    return values if len(values) > 1 else values[0]


def _usable(axes: np.ndarray, origin: Any) -> np.ndarray | None:
    """Return the 4 x 4 matrix of axes and origin; None where no volume can lie so."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, origin
    if not np.isfinite(matrix).all():
        return None
    lengths = np.linalg.norm(axes, axis=0)
    if not lengths.all() or abs(np.linalg.det(axes / lengths)) < 1e-3:
        return None
    return matrix
