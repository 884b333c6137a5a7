"""Volumes read from files and results written to them, whole or not at all."""

import errno
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.content import NAMED, under_right_name
from BSAFusionLib.files.header_fields import about_header, header_fields, length_unit_of
from BSAFusionLib.files.nifti import read_by_itk, read_nifti
from BSAFusionLib.files.nifti_header import NiftiHeader, nifti_header
from BSAFusionLib.files.orientation import (
    CONFLICT_MM,
    MAX_ROUNDING_MM,
    farthest,
    placement_of,
    read_elsewhere,
    right_angled,
    says_nothing,
    states_no_orientation,
)
from BSAFusionLib.files.paths import readable_by_itk, writable_by_itk
from BSAFusionLib.files.straighten import matrix_of, place, straighten, straightened
from BSAFusionLib.files.units import length_unit
from BSAFusionLib.files.whole_voxels import check_voxels
from BSAFusionLib.geometry.grids import directions
from BSAFusionLib.pipeline.memory import explain_memory_errors

MAX_DIRECTION_COSINE = 1e3  # beyond which ITK does not end; it should be 1 at most
MIN_DETERMINANT = 1e-3  # of the directions of axes that span a volume
DIRECTION_ROUNDING = 1e-5  # of the length of a direction; five digits are written at least
BLOCK_BYTES = 1 << 20  # read or written at once
COMPRESSION_LEVEL = 1  # of 9; takes 60 % of the time of ITK's usual 2 for 17 % more bytes
SAMPLES, SAMPLE_BYTES = 16, 1 << 16  # of a volume, compressed to see what that saves
MIN_SAVED = 0.1  # share of the bytes
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class LoadedVolume:
    """A volume and what a user should know about its file.

    Attributes:
        image: At its place in space, mm, LPS, on a right-angled grid.
        remarks: A sentence each.
        placed: Whether the file says how the head lies in it.
        label_map: Whether the file says that it is a label map.
    """

    image: sitk.Image
    remarks: tuple[str, ...] = ()
    placed: bool = True
    label_map: bool = False


def read_volume(path: Path | str) -> sitk.Image:
    """Read a volume as `load_volume` does, without the remarks."""
    return load_volume(path).image


def load_volume(path: Path | str) -> LoadedVolume:
    """Read a volume from a NIfTI, NRRD or MetaImage file, in its own pixel type.

    A NIfTI lies where its sform says, else its qform. One with a sheared grid is straightened.

    Raises:
        FusionError: There is no such file, it is damaged, or it does not hold one three-dimensional volume of real
            numbers.
    """
    path = Path(path)
    with _reading(path):
        header = nifti_header(path)
        if header is None:
            return _loaded(path)
        return _placed_nifti(_one_volume(read_nifti(path, header), path), path, header)


def load_frames(path: Path) -> list[LoadedVolume]:
    """Read the frames of a NIfTI with a time axis, each as `load_volume` reads a volume.

    Raises:
        FusionError: There is no such file, it is damaged, or it is no NIfTI of four dimensions.
    """
    with _reading(path):
        header = nifti_header(path)
        if header is None or len(header.size) != 4:
            raise FusionError(f"The file {path} has no frames; give a NIfTI with a time axis.")
        image = _real(read_nifti(path, header), path)
        return [_placed_nifti(image[:, :, :, number], path, header) for number in range(header.size[3])]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in a sentence why a file cannot be read."""
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise FusionError(f"There is no file {path}; give the path of a NIfTI, NRRD or MetaImage file.")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # about header fields that nothing here uses
    try:
        with explain_memory_errors():
            yield
    except PermissionError as error:
        raise FusionError(f"The file {path} cannot be read ({error.strerror}); see that you may open it.") from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise _unreadable(path) from error
        raise FusionError(
            f"The file {path} cannot be read: the temporary folder {tempfile.gettempdir()} has no room for a copy; "
            "free some, or set TMPDIR to another folder."
        ) from error
    except (RuntimeError, EOFError, ValueError, OverflowError, zlib.error, struct.error) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> FusionError:
    return FusionError(
        f"The file {path} cannot be read: it is cut short, damaged or no NIfTI, NRRD or MetaImage volume; "
        "give a whole one."
    )


def _placed_nifti(image: sitk.Image, path: Path, header: NiftiHeader) -> LoadedVolume:
    """Place the voxels of a NIfTI or Analyze file as its header says."""
    placement = placement_of(header, path.name)
    remarks = placement.remarks
    as_read, size = matrix_of(image), image.GetSize()
    matrix, rounding = right_angled(placement.matrix, size)
    sheared = rounding > MAX_ROUNDING_MM
    elsewhere = not farthest(as_read, placement.matrix, size) <= CONFLICT_MM  # also where ITK's place is NaN
    if sheared or elsewhere:
        place(image, placement.matrix if sheared else matrix)
    if sheared:
        image, remarks = straighten(image, header.is_label_map), (*remarks, straightened(path.name))
    if elsewhere and read_by_itk(path, header):
        remarks = (*remarks, read_elsewhere(path.name))
    return LoadedVolume(image, remarks, placement.stated, header.is_label_map)


def _loaded(path: Path) -> LoadedVolume:
    """Read a file that is no NIfTI."""
    with under_right_name(path) as named:
        if named.suffix in NAMED[".mha"] and not _has_few_dimensions(named):
            raise RuntimeError("a MetaImage of too many dimensions")
        fields = header_fields(named)
        if fields is not None:
            check_voxels(named, fields)
        with readable_by_itk(named) as name:
            reader = sitk.ImageFileReader()
            reader.SetFileName(name)
            reader.ReadImageInformation()
            if not all(abs(part) < MAX_DIRECTION_COSINE for part in reader.GetDirection()):
                raise FusionError(f"The axes in the header of {path} are not finite directions; fix the header.")
            image = reader.Execute()
        placed, remarks = not states_no_orientation(named), about_header(named, fields, path.name)
        unit_mm, about_unit = length_unit_of(fields or {}, path.name)
    image = _one_volume(image, path)
    remarks = remarks if placed else (says_nothing(f"The file {path.name}"), *remarks)
    return _in_mm(LoadedVolume(image, (*remarks, *about_unit), placed), path, unit_mm)


def _in_mm(volume: LoadedVolume, path: Path, unit_mm: float) -> LoadedVolume:
    """Scale a volume whose lengths are not in mm, and straighten it where its axes are not at right angles.

    Directions that are not of length one, as a MetaImage may state them, go into the spacing.

    Args:
        volume: As ITK reads it.
        path: Its file.
        unit_mm: Length in mm of the unit that the file states; 1 where it states none.
    """
    image, remarks = volume.image, volume.remarks
    lengths = np.linalg.norm(directions(image), axis=0)
    if lengths.all() and not np.allclose(lengths, 1, rtol=0, atol=DIRECTION_ROUNDING):
        place(image, matrix_of(image))
    longest = float(max(np.multiply(image.GetSize(), image.GetSpacing())))
    unit, about_unit = length_unit(longest, unit_mm, path.name)
    remarks = (*remarks, *about_unit)
    if unit != 1:
        place(image, np.diag([unit, unit, unit, 1.0]) @ matrix_of(image))
        remarks = (*remarks, read_elsewhere(path.name))
    matrix = matrix_of(image)
    flat = abs(np.linalg.det(matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0))) < MIN_DETERMINANT
    if not flat and right_angled(matrix, image.GetSize())[1] > MAX_ROUNDING_MM:
        image, remarks = straighten(image), (*remarks, straightened(path.name))
    return LoadedVolume(image, remarks, volume.placed)


def _one_volume(image: sitk.Image, path: Path) -> sitk.Image:
    """Return an image of three dimensions, also where further ones hold a single frame."""
    image = _real(image, path)
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    if image.GetDimension() != 3:
        raise FusionError(
            f"The file {path} has {image.GetDimension()} dimensions, not 3; save the volume you mean by itself."
        )
    return image


def _real(image: sitk.Image, path: Path) -> sitk.Image:
    """Return an image of real numbers, scalar where it has one value per voxel (a sequence of a single frame)."""
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise FusionError(f"The file {path} holds complex numbers; save their magnitude as a volume and give that.")
    one_value = image.GetNumberOfComponentsPerPixel() == 1 and "vector" in image.GetPixelIDTypeAsString()
    return sitk.VectorIndexSelectionCast(image, 0) if one_value else image


def write_volume(image: sitk.Image, path: Path | str) -> None:
    """Write a volume, compressed; a NRRD only where that saves a tenth, which noise in floats does not.

    Raises:
        FusionError: Writing failed.
    """
    try:
        values = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel()
        _make_room(path, values * image.GetSizeOfPixelComponent())
        with writable_by_itk(Path(path)) as name:
            compressed = Path(path).suffix != ".nrrd" or _shrinks(image)
            sitk.WriteImage(image, name, useCompression=compressed, compressionLevel=COMPRESSION_LEVEL)
    except (RuntimeError, OSError) as error:
        raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error


def _shrinks(image: sitk.Image) -> bool:
    """Tell whether compression saves enough, from parts spread over the voxels."""
    content = sitk.GetArrayViewFromImage(image).reshape(-1).view(np.uint8)
    starts = np.linspace(0, max(content.size - SAMPLE_BYTES, 0), SAMPLES, dtype=int)
    parts = b"".join(content[start : start + SAMPLE_BYTES].tobytes() for start in starts)
    return len(zlib.compress(parts, COMPRESSION_LEVEL)) < (1 - MIN_SAVED) * len(parts)


def write_transform(transform: sitk.Transform, path: Path | str) -> None:
    """Write a transform; Slicer opens it as .h5.

    Raises:
        FusionError: Writing failed.
    """
    try:
        _make_room(path, 8 * transform.GetNumberOfParameters())
        with writable_by_itk(Path(path)) as name:
            sitk.WriteTransform(transform, name)
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
