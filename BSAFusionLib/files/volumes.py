"""Volumes read from files and results written to them, whole or not at all."""

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError

MAX_DIRECTION_COSINE = 1e3  # beyond which ITK does not end; it should be 1 at most
BLOCK_BYTES = 1 << 20  # read or written at once
UNFINISHED = ".unfinished-"  # how the folders begin in which results are written at first


def read_volume(path: Path | str) -> sitk.Image:
    """Read a volume from a NIfTI, NRRD or MetaImage file, in its own pixel type.

    Raises:
        FusionError: There is no such file, it is damaged, or it does not hold one three-dimensional volume.
    """
    path = Path(path)
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise FusionError(f"There is no file {path}; give the path of a NIfTI, NRRD or MetaImage file.")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # about header fields that nothing here uses
    try:
        if path.suffix in (".mha", ".mhd") and not _has_few_dimensions(path):
            raise RuntimeError
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        if not all(abs(part) < MAX_DIRECTION_COSINE for part in reader.GetDirection()):
            raise FusionError(f"The axes in the header of {path} are not finite directions; fix the header.")
        image: sitk.Image = reader.Execute()
        whole = not path.name.endswith((".nii", ".nii.gz")) or _is_whole_nifti(path)
    except (RuntimeError, OSError, EOFError, zlib.error, struct.error):
        whole = False
    if not whole:
        raise FusionError(
            f"The file {path} cannot be read: it is cut short, damaged or no NIfTI, NRRD or MetaImage volume; "
            "give a whole one."
        )
    if image.GetDimension() != 3:
        raise FusionError(
            f"The file {path} has {image.GetDimension()} dimensions, not 3; save the volume you mean by itself."
        )
    return image


def write_volume(image: sitk.Image, path: Path | str) -> None:
    """Write a volume, compressed.

    Raises:
        FusionError: Writing failed.
    """
    try:
        values = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel()
        _make_room(path, values * image.GetSizeOfPixelComponent())
        sitk.WriteImage(image, str(path), useCompression=True)
    except (RuntimeError, OSError) as error:
        raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error


def write_transform(transform: sitk.Transform, path: Path | str) -> None:
    """Write a transform; Slicer opens it as .h5.

    Raises:
        FusionError: Writing failed.
    """
    try:
        _make_room(path, 8 * transform.GetNumberOfParameters())
        sitk.WriteTransform(transform, str(path))
    except (RuntimeError, OSError) as error:
        raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error


def write_bytes(content: bytes, path: Path | str) -> None:
    """Write a file.

    Raises:
        FusionError: Writing failed.
    """
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error


def _make_room(path: Path | str, size: int) -> None:
    """Fill a file with at least `size` bytes, which another writer then replaces; OSError where the disk has no room.

    The other writers cannot be trusted with a full disk: ITK does not see it where only the last bytes of a PNG are
    lost, and HDF5 brings the whole process down.
    """
    with open(path, "wb") as file:
        for _ in range(size // BLOCK_BYTES + 1):
            file.write(bytes(BLOCK_BYTES))


def _has_few_dimensions(path: Path) -> bool:
    """Tell whether a MetaImage file has 1 to 10 dimensions; for more, ITK writes beyond its own memory."""
    with path.open("rb") as file:
        given = re.findall(rb"NDims\s*[=:]\s*(\S*)", file.read(BLOCK_BYTES))
    return all(each.isdigit() and 1 <= int(each) <= 10 for each in given) and len(given) > 0


def _is_whole_nifti(path: Path) -> bool:
    """Tell whether a NIfTI file holds all the voxels of its header; ITK fills missing ones without a warning."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = file.read(540)
        length = len(header)
        while part := file.read(BLOCK_BYTES):
            length += len(part)
    # The fields dim, bitpix and vox_offset, as nifti1.h and nifti2.h place them.
    order = "<" if struct.unpack_from("<i", header)[0] in (348, 540) else ">"
    if struct.unpack_from(f"{order}i", header)[0] == 348:
        layout = (("8h", 40), ("h", 72), ("f", 108))
    else:
        layout = (("8q", 16), ("h", 14), ("q", 168))
    dimensions, (bits,), (start,) = (struct.unpack_from(order + kind, header, offset) for kind, offset in layout)
    return length >= float(start) + math.prod(map(int, dimensions[1 : dimensions[0] + 1])) * int(bits) // 8
