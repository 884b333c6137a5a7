"""Read a folder of results and the volumes that they were made from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.inputs import read_input, read_moving
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.files.paths import readable_by_itk
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.geometry.fields import compose_transform, field_from_transform
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.modalities import MODALITIES, MRI
from BSAFusionLib.pipeline.input_checks import replace_non_finite, unwrap_ct
from BSAFusionLib.pipeline.summary import doubt_of, known_error, sentences
from BSAFusionLib.report.overlay import OverlayWindow
from BSAFusionLib.viewer.windows import overlay_window

REQUIRED = {"prealignment", "displacement", "network_displacement"}  # of a report
EXPECTED = "give the folder that `run.py fuse` or `run.py demo` wrote, or that of one case of `run.py batch`"
UNDEFORMED_SPACING_MM = 20.0  # of the field that is shown where the network adds nothing
SAME_GRID_MM = 1e-3  # largest distance of two grids: NIfTI stores positions in single precision


@dataclass(frozen=True)
class Found:
    """A result and its inputs; images, fields and transforms as in `Result`, mm, LPS.

    Attributes:
        name: Name of the folder.
        modality: Modality of the moving volume, "ct", "pet" or "spect".
        has_initialization: True where there was an initial transform.
        fused: The fused volume.
        registered: The registered volume.
        coarse_field: The whole displacement, on a coarse grid.
        network_field: The network's displacement.
        prealignment: The initial transform, which is applied after the network's displacement.
        fixed: The MRI; None where it was not found.
        moving: The moving volume, of a dynamic one the mean of the registered frames; None where it was not found, or
            could not be read.
        missing: Messages about volumes that were not found or could not be read.
        window: Of the registered volume over the MRI.
        expected_error: Expected length of the error, mm, NaN outside the head; None where it is not known.
        sentences: What was moved and by how much; the expected error and its place.
        doubt: "Doubtful: " and the reasons; "" where the result is not doubtful.
        warnings: Of the report, a sentence or more each.
    """

    name: str
    modality: str
    has_initialization: bool
    fused: sitk.Image
    registered: sitk.Image
    coarse_field: sitk.Image
    network_field: sitk.Image
    prealignment: sitk.Transform
    fixed: sitk.Image | None
    moving: sitk.Image | None
    missing: tuple[str, ...]
    window: OverlayWindow
    expected_error: sitk.Image | None
    sentences: tuple[str, str]
    doubt: str
    warnings: tuple[str, ...]


def read_result(place: Path, fixed: Path | None = None, moving: Path | None = None) -> Found:
    """Read a result.

    Args:
        place: Its folder, or its report where a folder holds several cases.
        fixed: File or DICOM folder of the MRI; by default the file that the report names, where it still exists.
        moving: The same for the moving volume.

    Raises:
        FusionError: A problem that the user can fix.
    """
    path = _find_report(place)
    report, folder = _read_report(path), path.parent
    names = {**asdict(Names()), **report.get("files", {})}
    files = {what: folder / names[what] for what in ("fused", "registered", "deformation")}
    for file in files.values():
        if not file.is_file():
            raise FusionError(f"The result in {folder} lacks {file.name}; run fuse again, or {EXPECTED}.")
    fused, registered = read_volume(files["fused"]), read_volume(files["registered"])
    prealignment, network_field = _read_deformation(files["deformation"], fused)
    sources = {"fixed": fixed or _named(report, "fixed", folder), "moving": moving or _named(report, "moving", folder)}
    fixed_image = _read_fixed(sources["fixed"], report)
    if fixed_image is not None:
        if not _same_grid(fixed_image, fused):
            raise FusionError(
                f"The MRI {sources['fixed']} is not on the grid of the result in {folder}; give the right --fixed."
            )
        fixed_image, _ = replace_non_finite(fixed_image, "fixed")
    moving_image, problem = _read_moving(sources["moving"], report, folder)
    missing = [*([_sentence("fixed", report)] if fixed_image is None else []), *([problem] if problem else [])]
    return Found(
        folder.resolve().name,
        report["modality"],
        report["prealignment"] != "none",
        fused,
        registered,
        field_from_transform(
            compose_transform(network_field, prealignment), lattice_over(fused, network_field.GetSpacing())
        ),
        network_field,
        prealignment,
        fixed_image,
        moving_image,
        tuple(missing),
        overlay_window(report, registered),
        _read_expected_error(report, folder),
        sentences(report),
        doubt_of(report),
        tuple(report.get("warnings", ())),
    )


def _find_report(place: Path) -> Path:
    if place.is_file():
        if place.suffix != ".json":
            raise FusionError(f"{place} is not a report; give the folder that holds it.")
        return place
    if not place.is_dir():
        raise FusionError(f"There is no folder {place}; {EXPECTED}.")
    reports = sorted(path for path in place.glob("*.json") if path.name.endswith(Names.report))
    if not reports:
        raise FusionError(f"There is no result in {place}; {EXPECTED}.")
    if len(reports) > 1:
        listed = ", ".join(path.name for path in reports)
        raise FusionError(f"There are several results in {place}; give the report of one of them ({listed}).")
    return reports[0]


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FusionError(f"The report {path} cannot be read; run fuse again.") from error
    if not isinstance(report, dict) or report.get("modality") not in MODALITIES or not report.keys() >= REQUIRED:
        raise FusionError(f"{path} is not the report of a result; {EXPECTED}.")
    return report


def _read_deformation(path: Path, fused: sitk.Image) -> tuple[sitk.Transform, sitk.Image]:
    """Return the initial transform and the network's field from the composite transform in a file.

    Where the network added nothing, there is no field in it, and one of zeros over the fused volume is returned.
    """
    try:
        with readable_by_itk(path) as name:
            total = sitk.ReadTransform(name)
        parts = sitk.CompositeTransform(total)
        *initial, last = (parts.GetNthTransform(n) for n in range(parts.GetNumberOfTransforms()))
        if last.IsLinear():
            return total, field_from_transform(sitk.Transform(), lattice_over(fused, [UNDEFORMED_SPACING_MM] * 3))
        return sitk.CompositeTransform(initial), sitk.DisplacementFieldTransform(last).GetDisplacementField()
    except (RuntimeError, ValueError) as error:
        raise FusionError(f"The deformation {path} is damaged or not from BSAFusion; run fuse again.") from error


def _read_expected_error(report: dict[str, Any], folder: Path) -> sitk.Image | None:
    """Return the expected error that the report names; None where it names none, and where the result is doubtful."""
    name = report.get("files", {}).get("expected_error")
    if name is None or known_error(report) is None:
        return None
    if not (folder / name).is_file():
        raise FusionError(f"The result in {folder} lacks {name}; run fuse again, or {EXPECTED}.")
    return read_volume(folder / name)


def _named(report: dict[str, Any], role: str, folder: Path) -> Path | None:
    """Return the input file that the report names, relative to its folder; None where it does not exist."""
    named = report.get("inputs", {}).get(role)
    return folder / named if named and (folder / named).is_file() else None


def _read_fixed(path: Path | None, report: dict[str, Any]) -> sitk.Image | None:
    return None if path is None else read_input(path, (MRI,), _series(report, "fixed"), MRI).image


def _read_moving(path: Path | None, report: dict[str, Any], folder: Path) -> tuple[sitk.Image | None, str]:
    """Return the moving volume as it was registered, or None and why its place before that cannot be shown."""
    if path is None:
        return None, _sentence("moving", report)
    series, frames = _series(report, "moving"), _registered_frames(report, folder)
    try:
        image = read_moving(path, report["modality"], series, frames).image
        finite, _ = replace_non_finite(image, "moving")
        return unwrap_ct(finite, report["modality"])[0], ""
    except FusionError as error:
        return None, f"The place of the {report['modality'].upper()} before registration cannot be shown. {error}"


def _series(report: dict[str, Any], role: str) -> str | None:
    series: str | None = report.get("dicom", {}).get(role, {}).get("SeriesInstanceUID")
    return series


def _registered_frames(report: dict[str, Any], folder: Path) -> str | None:
    """Return the frames that were registered, such as "2,3"; None where that is not known, and for a still volume.

    Older reports lack them, but the file with the times of the frames, which they name, has them.
    """
    numbers = report.get("registered_frames")
    name = report.get("files", {}).get("frame_times")
    if numbers is None and name is not None:
        try:
            numbers = json.loads((folder / name).read_text(encoding="utf-8"))["RegisteredFrames"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return ",".join(map(str, numbers)) if isinstance(numbers, list) and numbers else None


def _same_grid(one: sitk.Image, other: sitk.Image) -> bool:
    """Return True for two images with the same voxel grid."""
    if one.GetSize() != other.GetSize():
        return False
    corners = np.array(np.meshgrid(*((0, size - 1) for size in one.GetSize()))).reshape(3, -1).T.tolist()
    distances_mm = [
        np.subtract(one.TransformIndexToPhysicalPoint(corner), other.TransformIndexToPhysicalPoint(corner))
        for corner in corners
    ]
    return bool(np.abs(distances_mm).max() <= SAME_GRID_MM)


def _sentence(role: str, report: dict[str, Any]) -> str:
    name, consequence = (
        ("MRI", "The fused volume is shown instead")
        if role == "fixed"
        else (report["modality"].upper(), "Its place before registration cannot be shown")
    )
    why = "is not where the report says" if role in report.get("inputs", {}) else "is not named in the report"
    return f"The {name} {why}. {consequence}; run view again with --{role} and its file or DICOM folder."
