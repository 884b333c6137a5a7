"""One series of a DICOM folder as a volume: values in their unit, modality from the tags, nothing of the patient."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.misc import is_dicom

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.frames import Frame, frames_in_order
from BSAFusionLib.files.dicom.series import Series, choose_series
from BSAFusionLib.files.dicom.source import series_source
from BSAFusionLib.files.dicom.steps import Steps, measure_steps
from BSAFusionLib.files.dicom.suv import suv_factor
from BSAFusionLib.files.orientation import MAX_ROUNDING_MM
from BSAFusionLib.files.paths import readable_by_gdcm
from BSAFusionLib.files.straighten import even_slices, place, straighten, straightened
from BSAFusionLib.modalities import from_dicom
from BSAFusionLib.pipeline.memory import explain_memory_errors

SAME_PLACE_MM = 1e-3


@dataclass(frozen=True)
class Scan:
    """A volume and what its tags say.

    Attributes:
        image: In LPS and mm, without metadata of the files.
        modality: "mri", or a name in `MODALITIES`.
        unit: "HU", "SUVbw" (g/ml, by body weight), a PET's own unit as in (0054,1001), or "" where unknown.
        series_uid: Series Instance UID.
        frame_of_reference_uid: Frame of Reference UID, "" where there is none.
        remarks: What the user should know, a sentence each.
    """

    image: sitk.Image
    modality: str
    unit: str
    series_uid: str
    frame_of_reference_uid: str
    remarks: tuple[str, ...]


def is_dicom_path(path: Path) -> bool:
    """Tell whether a path is read as DICOM: a folder, or a file that is one by its first bytes."""
    return path.is_dir() or (path.is_file() and is_dicom(path))


def read_scan(path: Path, wanted: tuple[str, ...], series_uid: str | None = None) -> Scan:
    """Read the one series of a wanted modality; a PET comes in SUV where its tags allow.

    Args:
        path: A folder, with all below it, a DICOMDIR, or a file: all of a series or one image of it. No error names it,
            since it is often called after the patient.
        wanted: Modalities, as in `MODALITIES`, or "mri".
        series_uid: Series Instance UID of the series to take, or None.

    Raises:
        FusionError: There is no such series or more than one, or it is no whole volume.
    """
    source = series_source(path, series_uid)
    series = choose_series(source.path, wanted, source.series_uid)
    frames = frames_in_order(series.headers)
    voxels = _values(frames)
    once = _each_once(voxels, frames)
    doubles = series.doubles + len(frames) - len(once)
    frames, voxels = [frames[number] for number in once], voxels[once] if len(once) < len(frames) else voxels
    image, remarks = _in_space(voxels, frames, measure_steps(frames), series.name)
    if doubles:
        remarks = (f"{doubles} images of {series.name} were there twice; each was taken once.", *remarks)
    unit, factor, about_unit = _unit(series)
    if factor is not None:
        image = sitk.Cast(sitk.Cast(image, sitk.sitkFloat64) * factor, sitk.sitkFloat32)
    header = series.headers[0]
    return Scan(
        image,
        from_dicom(header.Modality) or "",
        unit,
        series.uid,
        str(header.get("FrameOfReferenceUID", "")),
        (*source.remarks(series), *remarks, *about_unit),
    )


def _values(frames: list[Frame]) -> np.ndarray:
    """Return voxels (slice, row, column) in the order of the frames, rescaled; integers stay integers."""
    files = list(dict.fromkeys(frame.path for frame in frames))
    if len(files) not in (1, len(frames)):
        raise FusionError("The DICOM series is spread over several multi-frame files; give one of them by itself.")
    scales = {(frame.slope, frame.intercept) for frame in frames}
    whole = len(scales) == 1 and all(value.is_integer() for value in next(iter(scales)))
    kind = sitk.sitkUnknown if whole else sitk.sitkFloat32  # the type that fits the first file need not fit the others
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # of spacings, which `frames` has measured
    try:
        with explain_memory_errors(), readable_by_gdcm(files) as names:
            if len(files) == 1:
                voxels = sitk.GetArrayFromImage(sitk.ReadImage(names[0], kind, imageIO="GDCMImageIO"))
                voxels = voxels.reshape(-1, *voxels.shape[-2:])[[frame.index for frame in frames]]
            else:
                voxels = sitk.GetArrayFromImage(sitk.ReadImage(names, kind, imageIO="GDCMImageIO"))
    except (RuntimeError, IndexError) as error:
        raise FusionError("An image of the DICOM series is cut short or damaged; send the series again.") from error
    return _as_stored(voxels, frames)


def _each_once(voxels: np.ndarray, frames: list[Frame]) -> list[int]:
    """Return the numbers of the frames without those that show the same as the one before, at the same place."""
    once = [0]
    for number in range(1, len(frames)):
        same_place = np.abs(frames[number].position - frames[once[-1]].position).max() < SAME_PLACE_MM
        if not (same_place and np.array_equal(voxels[number], voxels[once[-1]])):
            once.append(number)
    return once


def _as_stored(voxels: np.ndarray, frames: list[Frame]) -> np.ndarray:
    """Undo GDCM's inversion of MONOCHROME1 images: their values mean the same, and only their display is inverted."""
    if all(frame.mirror is None for frame in frames):
        return voxels
    kind = np.float32 if voxels.dtype.kind == "f" else np.int32
    stored = voxels.astype(kind)
    for plane, frame in zip(stored, frames, strict=True):
        if frame.mirror is not None:
            plane[:] = frame.slope * frame.mirror + 2 * frame.intercept - plane
    return stored


def _in_space(voxels: np.ndarray, frames: list[Frame], steps: Steps, name: str) -> tuple[sitk.Image, tuple[str, ...]]:
    """Return the volume on a right-angled grid of even spacing, and what was done for that."""
    remarks: tuple[str, ...] = ()
    if not steps.even:
        steps_mm = np.diff(steps.heights)
        even = even_slices(voxels, steps.heights, steps.step)
        voxels = even if voxels.dtype.kind == "f" else np.rint(even).astype(voxels.dtype)
        remarks = (
            f"The distance between the slices of {name} changes, from {steps_mm.min():.3g} to {steps_mm.max():.3g} mm; "
            f"the volume was resampled linearly to {steps.step:.3g} mm.",
        )
    first, way = frames[0], frames[-1].position - frames[0].position
    normal, height = first.normal, steps.heights[-1] - steps.heights[0]
    sideways = way - (way @ normal) * normal
    rows, columns = first.spacing
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([columns * first.across, rows * first.down, steps.step * normal], axis=1)
    matrix[:3, 3] = first.position
    image = sitk.GetImageFromArray(voxels)
    if np.linalg.norm(sideways) <= max(MAX_ROUNDING_MM, 2 * steps.rounding):  # of the first and the last slice
        place(image, matrix)
        return image, remarks
    matrix[:3, 2] += sideways * steps.step / height
    place(image, matrix)
    return straighten(image), (*remarks, straightened(name))


def _unit(series: Series) -> tuple[str, float | None, tuple[str, ...]]:
    """Return the unit, the factor that brings the values to it, and remarks."""
    header: Dataset = series.headers[0]
    if header.Modality == "CT":
        return str(header.get("RescaleType", "HU")), None, ()
    if header.Modality != "PT":
        return "", None, ()
    factor, why_not = suv_factor(series.headers)
    if factor is None:
        unit = str(header.get("Units", ""))
        return unit, None, (f"The PET is not in SUV but in {unit or 'an unknown unit'}: {why_not}.",)
    return "SUVbw", factor, ()
