"""One series of a DICOM folder as a volume: values in their unit, modality from the tags, nothing of the patient."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset

from BSAFusionLib.files.dicom.frames import Frame, frames_in_order
from BSAFusionLib.files.dicom.series import Series, choose_series
from BSAFusionLib.files.dicom.source import series_source
from BSAFusionLib.files.dicom.steps import about_steps, measure_steps
from BSAFusionLib.files.dicom.suv import stated_unit, suv_factor
from BSAFusionLib.files.dicom.time_points import points_times, time_points
from BSAFusionLib.files.dicom.unplaced import with_places
from BSAFusionLib.files.dicom.voxels import read_voxels, without_doubles
from BSAFusionLib.files.dynamic import Frames, as_floats, chosen_frames
from BSAFusionLib.files.orientation import MAX_ROUNDING_MM, says_nothing
from BSAFusionLib.files.straighten import even_slices, place, straighten, straightened
from BSAFusionLib.modalities import from_dicom


@dataclass(frozen=True)
class Scan:
    """A volume and what its tags say.

    Attributes:
        image: In LPS and mm, without metadata of the files; of a dynamic series the mean of the chosen frames.
        modality: "mri", or a name in `MODALITIES`.
        unit: "HU", "SUVbw" (g/ml, by body weight), a PET's own unit as in (0054,1001), SUV by another mass as
            "{SUVlbm}g/ml", or "" where unknown.
        series_uid: Series Instance UID.
        frame_of_reference_uid: Frame of Reference UID, "" where there is none.
        remarks: What the user should know, a sentence each.
        frames: All frames of a dynamic PET or SPECT; None of other series.
        placed: Whether the tags say how the head lies.
    """

    image: sitk.Image
    modality: str
    unit: str
    series_uid: str
    frame_of_reference_uid: str
    remarks: tuple[str, ...]
    frames: Frames | None = None
    placed: bool = True


class _Placed(NamedTuple):
    """A volume in space, and what was done to place it there."""

    image: sitk.Image
    remarks: tuple[str, ...]


def read_scan(path: Path, wanted: tuple[str, ...], series_uid: str | None = None, chosen: str | None = None) -> Scan:
    """Read the one series of a wanted modality; a PET comes in SUV where its tags allow.

    Args:
        path: A folder, with all below it, a DICOMDIR, or a file: all of a series or one image of it. No error names it,
            since it is often called after the patient.
        wanted: Modalities, as in `MODALITIES`, or "mri".
        series_uid: Series Instance UID of the series to take, or None.
        chosen: Frames of a dynamic series to take the mean of, counted from 1, such as "3-8,12"; None for all.

    Raises:
        FusionError: There is no such series or more than one, or it is no whole volume.
    """
    source = series_source(path, series_uid)
    series = choose_series(source.path, wanted, source.series_uid)
    headers, known_place = with_places(series.headers)
    frames = frames_in_order(headers)
    others = series.images - len(frames)
    frames, voxels, doubles = without_doubles(frames, read_voxels(frames))
    points = time_points(frames)
    placed = [_in_space(voxels[point], [frames[number] for number in point], series.name) for point in points]
    remarks = placed[0].remarks
    if doubles + series.doubles:
        twice = f"{doubles + series.doubles} images of {series.name} were there twice; each was taken once."
        remarks = (twice, *remarks)
    files = {frame.path for frame in frames}
    used = replace(series, headers=[header for header in series.headers if Path(str(header.filename)) in files])
    unit, factor, about_unit = _unit(used, in_color=placed[0].image.GetNumberOfComponentsPerPixel() > 1)
    images = [one.image if factor is None else _scaled(one.image, factor) for one in placed]
    dynamic = _dynamic(images, points_times(frames, points), chosen) if len(points) > 1 else None
    header = headers[0]
    return Scan(
        images[0] if dynamic is None else dynamic.mean(),
        from_dicom(header.Modality) or "",
        unit,
        series.uid,
        str(header.get("FrameOfReferenceUID", "")),
        (*source.remarks(series), *_about_images(series, others, known_place), *remarks, *about_unit),
        dynamic,
        known_place,
    )


def _about_images(series: Series, others: int, placed: bool) -> tuple[str, ...]:
    """Return what the user should know about the images of a series: some were left out, or their place is unknown."""
    left_out = (
        f"{others} of {series.images} images of {series.name} were left out: no slices of its volume (a localizer?)."
    )
    unplaced = says_nothing(f"T{series.name[1:]}")
    return (*((left_out,) if others else ()), *(() if placed else (unplaced,)))


def _dynamic(images: list[sitk.Image], times: dict[str, tuple[float, ...]], chosen: str | None) -> Frames:
    return Frames(
        as_floats(images),
        times["start"],
        times["duration"],
        chosen_frames(chosen, len(images)),
        times["reference"],
    )


def _scaled(image: sitk.Image, factor: float) -> sitk.Image:
    scaled: sitk.Image = sitk.Cast(sitk.Cast(image, sitk.sitkFloat64) * factor, sitk.sitkFloat32)
    return scaled


def _in_space(voxels: np.ndarray, frames: list[Frame], name: str) -> _Placed:
    """Return a volume on a right-angled grid of even spacing, and what was done for that.

    Args:
        voxels: (slice, row, column).
        frames: One a slice, in order.
        name: The series' in remarks.
    """
    steps = measure_steps(frames)
    remarks = about_steps(frames, steps, name)
    if not steps.even:
        steps_mm = np.diff(steps.heights)
        even = even_slices(voxels, steps.heights, steps.step)
        voxels = even if voxels.dtype.kind == "f" else np.rint(even).astype(voxels.dtype)
        remarks = (
            *remarks,
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
        return _Placed(image, remarks)
    matrix[:3, 2] += sideways * steps.step / height
    place(image, matrix)
    return _Placed(straighten(image), (*remarks, straightened(name)))


def _unit(series: Series, in_color: bool) -> tuple[str, float | None, tuple[str, ...]]:
    """Return the unit, the factor that brings the values to it, and remarks; colors have no unit.

    Args:
        series: With the headers of the volume's images only.
        in_color: Whether its voxels are colors.

    Raises:
        FusionError: The images of a PET state several units.
    """
    header: Dataset = series.headers[0]
    if in_color:
        return "", None, ()
    if header.Modality == "CT":
        units = sorted({str(header.get("RescaleType", "HU")) for header in series.headers})
        if len(units) > 1:
            return "", None, (f"The images of {series.name} state several units ({', '.join(units)}); none was taken.",)
        return units[0], None, ()
    if header.Modality != "PT":
        return "", None, ()
    factor, why_not = suv_factor(series.headers)
    if factor is None:
        unit, factor = stated_unit(series.headers)
        suv = "SUV by body weight" if unit.startswith("{SUV") else "SUV"
        return unit, factor, (f"The PET is not in {suv} but in {unit or 'an unknown unit'}: {why_not}.",)
    return "SUVbw", factor, ()
