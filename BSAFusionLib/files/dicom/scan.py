"""One series of a DICOM folder as a volume: values in their unit, modality from the tags, nothing of the patient."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.misc import is_dicom

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.frames import Frame, frames_in_order, grid
from BSAFusionLib.files.dicom.series import Series, choose_series
from BSAFusionLib.files.dicom.suv import suv_factor
from BSAFusionLib.modalities import from_dicom


@dataclass(frozen=True)
class Scan:
    """A volume and what its tags say.

    Attributes:
        image: In LPS and mm, without metadata of the files.
        modality: "mri", or a name in `MODALITIES`.
        unit: "HU", "SUVbw" (g/ml, by body weight), a PET's own unit as in (0054,1001), or "" where unknown.
        series_uid: Series Instance UID.
        frame_of_reference_uid: Frame of Reference UID, "" where there is none.
        remark: What the user should know, if anything.
    """

    image: sitk.Image
    modality: str
    unit: str
    series_uid: str
    frame_of_reference_uid: str
    remark: str | None


def is_dicom_path(path: Path) -> bool:
    """Tell whether a path is read as DICOM: a folder, or a file that is one by its first bytes."""
    return path.is_dir() or (path.is_file() and is_dicom(path))


def read_scan(path: Path, wanted: tuple[str, ...], series_uid: str | None = None) -> Scan:
    """Read the one series of a wanted modality; a PET comes in SUV where its tags allow.

    Args:
        path: A folder, with all below it, or a file. No error names it, since it is often called after the patient.
        wanted: Modalities, as in `MODALITIES`, or "mri".
        series_uid: Series Instance UID of the series to take, or None.

    Raises:
        FusionError: There is no such series or more than one, or it is no whole volume.
    """
    series = choose_series(path, wanted, series_uid)
    frames = frames_in_order(series.headers)
    image = _in_space(_values(frames), frames)
    unit, factor, remark = _unit(series)
    if factor is not None:
        image = sitk.Cast(sitk.Cast(image, sitk.sitkFloat64) * factor, sitk.sitkFloat32)
    header = series.headers[0]
    return Scan(
        image,
        from_dicom(header.Modality) or "",
        unit,
        series.uid,
        str(header.get("FrameOfReferenceUID", "")),
        remark,
    )


def _values(frames: list[Frame]) -> np.ndarray:
    """Return voxels (slice, row, column) in the order of the frames, rescaled; integers stay integers."""
    files = list(dict.fromkeys(str(frame.path) for frame in frames))
    if len(files) not in (1, len(frames)):
        raise FusionError("The DICOM series is spread over several multi-frame files; give one of them by itself.")
    scales = {(frame.slope, frame.intercept) for frame in frames}
    whole = len(scales) == 1 and all(value.is_integer() for value in next(iter(scales)))
    kind = sitk.sitkUnknown if whole else sitk.sitkFloat32  # the type that fits the first file need not fit the others
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # of spacings, which `frames` has measured
    try:
        if len(files) == 1:
            voxels = sitk.GetArrayFromImage(sitk.ReadImage(files[0], kind, imageIO="GDCMImageIO"))
            voxels = voxels.reshape(-1, *voxels.shape[-2:])[[frame.index for frame in frames]]
        else:
            voxels = sitk.GetArrayFromImage(sitk.ReadImage(files, kind, imageIO="GDCMImageIO"))
    except (RuntimeError, IndexError) as error:
        raise FusionError("An image of the DICOM series is cut short or damaged; send the series again.") from error
    return voxels


def _in_space(voxels: np.ndarray, frames: list[Frame]) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    place = grid(frames)
    image.SetOrigin(place.origin)
    image.SetSpacing(place.spacing)
    image.SetDirection(place.direction)
    return image


def _unit(series: Series) -> tuple[str, float | None, str | None]:
    """Return the unit, the factor that brings the values to it, and a remark."""
    header: Dataset = series.headers[0]
    if header.Modality == "CT":
        return str(header.get("RescaleType", "HU")), None, None
    if header.Modality != "PT":
        return "", None, None
    factor, why_not = suv_factor(series.headers)
    if factor is None:
        unit = str(header.get("Units", ""))
        return unit, None, f"The PET is not in SUV but in {unit or 'an unknown unit'}: {why_not}."
    return "SUVbw", factor, None
