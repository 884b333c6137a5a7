"""The values of a series' images: read by GDCM, in the scale that each image has, and each image once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import uid

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.frames import Frame
from BSAFusionLib.files.dicom.time_points import same_place
from BSAFusionLib.files.paths import readable_by_gdcm
from BSAFusionLib.pipeline.memory import explain_memory_errors

# Transfer syntaxes that GDCM reads, beside those that are not compressed.
COMPRESSED = (
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
)
ZERO_SPACING = "Zero-valued spacing"  # in ITK's message


def read_voxels(frames: Sequence[Frame]) -> np.ndarray:
    """Read the rescaled values of images, (image, row, column); integers stay integers.

    Args:
        frames: Each image in a file of its own, or several in a file.

    Raises:
        FusionError: A file is damaged, or of a kind that cannot be read.
    """
    files = list(dict.fromkeys(frame.path for frame in frames))
    scales = {scale for frame in frames for scale in (frame.scale, frame.file_scale)}
    whole = len(scales) == 1 and all(value.is_integer() for value in next(iter(scales)))
    alike = whole and len({frame.stored for frame in frames}) == 1
    kind = sitk.sitkUnknown if alike else sitk.sitkFloat32  # the type that fits the first file need not fit the others
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # of spacings, which `frames` has measured
    try:
        with explain_memory_errors(), readable_by_gdcm(files) as names:
            if len(files) == len(frames):
                voxels = sitk.GetArrayFromImage(sitk.ReadImage(names, kind, imageIO="GDCMImageIO"))
            else:
                voxels = _several_a_file(dict(zip(files, names, strict=True)), frames, whole)
    except (RuntimeError, IndexError) as error:
        raise FusionError(_why_unreadable(files, str(error))) from error
    return _as_stored(voxels, frames)


def _why_unreadable(files: Sequence[Path], message: str) -> str:
    """Return the sentence for images that cannot be read, by their headers and the reader's message."""
    if ZERO_SPACING in message:
        return (
            "The DICOM series has a pixel spacing or a distance between slices (0018,0088) of 0; correct the tag, or "
            "export the series again."
        )
    for file in files:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        syntax = uid.UID(header.file_meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian))
        if not syntax.is_transfer_syntax or (syntax.is_compressed and syntax not in COMPRESSED):
            return (
                f"The DICOM series has the transfer syntax {syntax.name}, which cannot be read here; export it without "
                "compression."
            )
        if header.get("PhotometricInterpretation") == "PALETTE COLOR":
            return "The DICOM series has a palette (PALETTE COLOR) that cannot be read; export it in gray or RGB."
    return "An image of the DICOM series is cut short or damaged; send the series again."


def _several_a_file(names: dict[Path, str], frames: Sequence[Frame], whole: bool) -> np.ndarray:
    """Read images from multi-frame files.

    Args:
        names: By which GDCM can open each file.
        frames: The images.
        whole: Whether all images and files have one scale, in whole numbers.
    """
    kind, parts = sitk.sitkUnknown if whole else sitk.sitkFloat64, {}
    for path, name in names.items():
        stored = sitk.GetArrayFromImage(sitk.ReadImage(name, kind, imageIO="GDCMImageIO"))
        parts[path] = stored.reshape(-1, *stored.shape[-2:])
    if whole:
        return np.stack([parts[frame.path][frame.index] for frame in frames])
    voxels = np.empty((len(frames), *next(iter(parts.values())).shape[-2:]), np.float32)
    for plane, frame in zip(voxels, frames, strict=True):
        plane[:] = _rescaled(parts[frame.path][frame.index], frame)
    return voxels


def _rescaled(values: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the values of an image, which were read in the scale of its file, in its own."""
    if frame.file_scale == frame.scale:
        return values
    (read_slope, read_intercept), (slope, intercept) = frame.file_scale, frame.scale
    return np.rint((values - read_intercept) / read_slope) * slope + intercept


def without_doubles(frames: Sequence[Frame], voxels: np.ndarray) -> tuple[list[Frame], np.ndarray, int]:
    """Leave out images that show the same as the one before, of the same time and at the same place.

    Args:
        frames: In order.
        voxels: Theirs, (image, row, column).

    Returns:
        The frames and voxels that stay, and the number of those left out.
    """
    once = [0]
    for number in range(1, len(frames)):
        frame, last = frames[number], frames[once[-1]]
        again = same_place(frame, last) and frame.moment == last.moment
        if not (again and np.array_equal(voxels[number], voxels[once[-1]])):
            once.append(number)
    doubles = len(frames) - len(once)
    return [frames[number] for number in once], voxels[once] if doubles else voxels, doubles


def _as_stored(voxels: np.ndarray, frames: Sequence[Frame]) -> np.ndarray:
    """Undo GDCM's inversion of MONOCHROME1 images: their values mean the same, and only their display is inverted."""
    if all(frame.mirror is None for frame in frames):
        return voxels
    kind = np.float32 if voxels.dtype.kind == "f" else np.int32
    stored = voxels.astype(kind)
    for plane, frame in zip(stored, frames, strict=True):
        if frame.mirror is not None:
            slope, intercept = frame.scale
            plane[:] = slope * frame.mirror + 2 * intercept - plane
    return stored
