"""What a folder of results holds, and the volumes that it was made from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.inputs import read_input
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.geometry.fields import compose_transform, field_from_transform
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.modalities import MODALITIES

expected = "give the folder that `run.py fuse` or `run.py demo` wrote, or that of one case of `run.py batch`"
same_place = 1e-3  # how far apart two grids may be, mm: NIfTI keeps places in single precision


@dataclass(frozen=True)
class Found:
    """One result, as it was read; images, fields and transforms as in Result.

    name: of the folder. modality: of the moving volume, "ct", "pet" or "spect". rigid_start: whether there was a
    pre-alignment.
    fixed, moving: the volumes that it was made from; None where they were not found, which `missing` says in words.
    """

    name: str
    modality: str
    rigid_start: bool
    fused: sitk.Image
    registered: sitk.Image
    coarse_field: sitk.Image
    network_field: sitk.Image
    prealignment: sitk.Transform
    fixed: sitk.Image | None
    moving: sitk.Image | None
    missing: tuple[str, ...]


def read_result(place: Path, fixed: Path | None = None, moving: Path | None = None) -> Found:
    """All that there is to see of one result.

    place: its folder, or its report where a folder holds those of several cases.
    fixed, moving: a file or a DICOM folder; by default the files that the report names, where they still are.
    Raises FusionError for what the user can mend.
    """
    path = _find_report(place)
    report, folder = _read_report(path), path.parent
    names = {**asdict(Names()), **report.get("files", {})}
    files = {what: folder / names[what] for what in ("fused", "registered", "deformation")}
    for file in files.values():
        if not file.is_file():
            raise FusionError(f"The result in {folder} lacks {file.name}: make it anew, or {expected}.")
    fused = read_volume(files["fused"])
    prealignment, network_field = _read_deformation(files["deformation"])
    sources = {"fixed": fixed or _named(report, "fixed", folder), "moving": moving or _named(report, "moving", folder)}
    images = {role: _read_source(source, role, report) for role, source in sources.items()}
    if images["fixed"] is not None and not _same_grid(images["fixed"], fused):
        raise FusionError(f"The volume that was found as the MRI of {folder} is another: give the right --fixed.")
    return Found(
        folder.resolve().name,
        report["modality"],
        report["prealignment"] != "none",
        fused,
        read_volume(files["registered"]),
        field_from_transform(
            compose_transform(network_field, prealignment), lattice_over(fused, network_field.GetSpacing())
        ),
        network_field,
        prealignment,
        images["fixed"],
        images["moving"],
        tuple(_sentence(role, report) for role, image in images.items() if image is None),
    )


def _find_report(place: Path) -> Path:
    if place.is_file():
        return place
    if not place.is_dir():
        raise FusionError(f"There is no folder {place}: {expected}.")
    reports = sorted(path for path in place.glob("*.json") if path.name.endswith(Names.report))
    if not reports:
        raise FusionError(f"There is no result in {place}: {expected}.")
    if len(reports) > 1:
        listed = ", ".join(path.name for path in reports)
        raise FusionError(f"There are several results in {place}: give the report of one of them ({listed}).")
    return reports[0]


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FusionError(f"The report {path} cannot be read: make the result anew.") from error
    if not isinstance(report, dict) or report.get("modality") not in MODALITIES or "prealignment" not in report:
        raise FusionError(f"{path} is no report of a result: {expected}.")
    return report


def _read_deformation(path: Path) -> tuple[sitk.Transform, sitk.Image]:
    """The start and the field that comes before it, which the program wrote as one composite transform."""
    try:
        parts = sitk.CompositeTransform(sitk.ReadTransform(str(path)))
        *start, last = (parts.GetNthTransform(n) for n in range(parts.GetNumberOfTransforms()))
        return sitk.CompositeTransform(start), sitk.DisplacementFieldTransform(last).GetDisplacementField()
    except (RuntimeError, ValueError) as error:
        raise FusionError(f"The deformation {path} is damaged, or not one of BSAFusion: make it anew.") from error


def _named(report: dict[str, Any], role: str, folder: Path) -> Path | None:
    """The file that the report names as an input, if it is there; its path is relative to the report's folder."""
    named = report.get("inputs", {}).get(role)
    return folder / named if named and (folder / named).is_file() else None


def _read_source(path: Path | None, role: str, report: dict[str, Any]) -> sitk.Image | None:
    if path is None:
        return None
    modality = "mri" if role == "fixed" else report["modality"]
    series = report.get("dicom", {}).get(role, {}).get("SeriesInstanceUID")
    return read_input(path, (modality,), series, modality).image


def _same_grid(one: sitk.Image, other: sitk.Image) -> bool:
    """Whether two images have the same number of voxels in the same places."""
    if one.GetSize() != other.GetSize():
        return False
    corners = np.array(np.meshgrid(*((0, size - 1) for size in one.GetSize()))).reshape(3, -1).T.tolist()
    apart = [
        np.subtract(one.TransformIndexToPhysicalPoint(corner), other.TransformIndexToPhysicalPoint(corner))
        for corner in corners
    ]
    return bool(np.abs(apart).max() <= same_place)


def _sentence(role: str, report: dict[str, Any]) -> str:
    what, lost = (
        ("MRI", "The fused volume is shown in its place")
        if role == "fixed"
        else (report["modality"].upper(), "How it lay before cannot be shown")
    )
    why = "is not where the report says" if role in report.get("inputs", {}) else "is not named in the report"
    return f"The {what} {why}. {lost}; start again with --{role} and its file or DICOM folder."
