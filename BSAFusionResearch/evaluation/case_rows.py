"""What is measured on each designed case, ours and the rivals', and what it comes to."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.geometry.fields import compose_transform, error_mm, field_from_transform
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.pipeline.result import Result
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation import rivals
from BSAFusionResearch.evaluation.cases import Case, factors

harm_mm = 0.1  # a case that ends worse than its start by more than this was harmed
measures = {"error_mm": "of the declared truth", "motion_error_mm": "of the motion"}
unmoved_spacing = 4.0  # mm; what is found is so smooth that linear interpolation on such a grid is exact to 0.01 mm
inverse_points = 20_000  # of the head, at most, are carried there and back

# Points (N, 3), mm, LPS, there and back through a result's transform.
ThereAndBack = Callable[[Result, np.ndarray], np.ndarray]


class CaseVolumes:
    """The volumes that cases are made of, read once: mri_t1.nii.gz, pet.nii.gz and ct.nii.gz of a folder."""

    def __init__(self, folder: Path) -> None:
        self.fixed = read_volume(folder / "mri_t1.nii.gz")
        self._folder = folder

    def shown(self, case: Case) -> tuple[sitk.Image, sitk.Image, sitk.Transform]:
        """The fixed and the moving volume of a case, and the truth, fixed point -> moving point, mm, LPS."""
        moving = sitk.Cast(read_volume(self._folder / f"{case.modality}.nii.gz"), sitk.sitkFloat32)
        return *case.volumes(self.fixed, moving), case.motion.transform(self.fixed)


class Unmoved:
    """What is found in pairs that are shown as their cases show them, but left unmoved; each once, when asked for.

    settings: by modality; the slice axis is the case's.
    """

    def __init__(self, volumes: CaseVolumes, settings: dict[str, Settings]) -> None:
        self._volumes, self._settings = volumes, settings
        self._found: dict[Case, dict[str, sitk.Transform]] = {}

    def found(self, case: Case) -> dict[str, sitk.Transform]:
        """What `found_in` says, each on a coarse grid over the fixed volume."""
        unmoved = replace(case, number=0, degrees=0.0, mm=0.0, elastic_mm=0.0)
        if unmoved not in self._found:
            fixed, moving, _ = self._volumes.shown(unmoved)
            settings = replace(self._settings[case.modality], slice_axis=case.slice_axis)
            grid = lattice_over(fixed, [unmoved_spacing] * 3)
            found = found_in(register_and_fuse(fixed, moving, settings))
            self._found[unmoved] = {
                name: sitk.DisplacementFieldTransform(field_from_transform(transform, grid))
                for name, transform in found.items()
            }
        return self._found[unmoved]


def found_in(result: Result) -> dict[str, sitk.Transform]:
    """What a run found, fixed point -> moving point, mm, LPS: by the pre-alignment, by the network if all of its
    deformation were followed, and after all, when that was taken back where it did not help."""
    start = result.prealignment
    return {"prealigned": start, "undamped": compose_transform(result.found_field, start), "after": result.transform()}


def measure_case(
    case: Case, volumes: CaseVolumes, unmoved: Unmoved, settings: Settings, there_and_back: ThereAndBack
) -> tuple[dict, Result]:
    """The row of a case, registered by these settings but along its own slice axis, and the result it was measured on.

    Errors are means inside the head of the fixed volume as the case shows it, in mm. Those of the motion hold what was
    found against where the true motion carries what the same means find in the pair unmoved, for the pair itself may
    not be quite aligned. The inverse error is the largest distance there, in voxels of that volume, between a point and
    where it is after going there and back. The seconds pass on the clock, the CPU seconds do not count what else the
    machine is at. `report` is the whole report.
    """
    fixed, moving, truth = volumes.shown(case)
    settings = replace(settings, slice_axis=case.slice_axis)
    begun = _clocks()
    result = register_and_fuse(fixed, moving, settings)
    seconds, cpu_seconds = _clocks() - begun
    head = head_mask(fixed)
    found = {"before": sitk.Transform(3, sitk.sitkIdentity), **found_in(result)}
    points = points_in(head)
    off = in_voxels(there_and_back(result, points) - points, fixed)
    row = {
        **asdict(case),
        "error_mm": {name: error_mm(transform, truth, head) for name, transform in found.items()},
        "motion_error_mm": {
            name: error_mm(found[name], sitk.CompositeTransform([truth, own]), head)  # the last one acts first
            for name, own in unmoved.found(case).items()
        },
        "smallest_jacobian": result.report.smallest_jacobian,
        "inverse_error_voxels": float(np.linalg.norm(off, axis=1).max()),
        "seconds": float(seconds),
        "cpu_seconds": float(cpu_seconds),
        "report": result.report.as_dict(),
    }
    return row, result


def measure_rivals(case: Case, volumes: CaseVolumes, python: Path, threads: int) -> dict[str, dict]:
    """Mean error in mm after each rival's rigid part and after all, and seconds; or what it said when it gave up."""
    fixed, moving, truth = volumes.shown(case)
    head = head_mask(fixed)
    rows: dict[str, dict] = {}
    for method in rivals.titles:
        try:
            found = rivals.register(method, fixed, moving, python, threads)
        except FusionError as error:
            rows[method] = {"gave_up": str(error)}
            continue
        rows[method] = {
            "error_mm": {"prealigned": error_mm(found.rigid, truth, head), "after": error_mm(found.whole, truth, head)},
            "seconds": found.seconds,
            "cpu_seconds": found.cpu_seconds,
        }
    return rows


def harm(row: dict, measure: str = "error_mm") -> float:
    """By how many mm a case ended worse than its start, by one of the `measures`; below zero it ended better."""
    return row[measure]["after"] - row[measure]["prealigned"]


def harmed(rows: list[dict], measure: str = "error_mm") -> list[dict]:
    """The cases that ended worse than their start by more than `harm_mm`, the worst first."""
    worse = [row for row in rows if harm(row, measure) > harm_mm]
    return sorted(worse, key=lambda row: harm(row, measure), reverse=True)


def by_level(rows: list[dict]) -> dict[str, list[dict]]:
    """The rows of all cases and of every level of every factor, by its name, in the design's order."""
    groups = {"all": rows}
    for factor in factors:
        for level in sorted({row[factor] for row in rows}, key=lambda level: (isinstance(level, str), level)):
            groups[f"{factor.replace('_', ' ')} {level}"] = [row for row in rows if row[factor] == level]
    return groups


def summary(rows: list[dict]) -> dict[str, float]:
    """What some rows come to."""
    return {
        "cases": len(rows),
        **{name: _mean(rows, "error_mm", name) for name in ("before", "prealigned", "after")},
        "worst_harm": max(map(harm, rows)),
        "harmed": len(harmed(rows)),
        **{f"motion_{name}": _mean(rows, "motion_error_mm", name) for name in ("prealigned", "after")},
        "motion_worst_harm": max(harm(row, "motion_error_mm") for row in rows),
        "motion_harmed": len(harmed(rows, "motion_error_mm")),
        "smallest_jacobian": min(row["smallest_jacobian"] for row in rows),
        "inverse_error_voxels": max(row["inverse_error_voxels"] for row in rows),
        "seconds": float(np.mean([row["seconds"] for row in rows])),
    }


def verdicts(rows: list[dict], measure: str = "error_mm") -> dict[str, dict[str, int]]:
    """What was decided on the deformations that were found, by what all of one truly would have made of its case.

    `worse` is by more than `harm_mm` than the start, `better` likewise, `same` is between. All of a deformation was
    kept, some of it or none; `right` are the cases that ended within `harm_mm` of the better one of all and none. The
    mutual information of what was kept rose or fell.
    """
    counts = {
        truly: dict.fromkeys(("cases", "all", "some", "none", "right", "rose", "fell"), 0)
        for truly in ("better", "same", "worse")
    }
    for row in rows:
        errors, report = row[measure], row["report"]
        change = errors["undamped"] - errors["prealigned"]
        count = counts["worse" if change > harm_mm else "better" if change < -harm_mm else "same"]
        count["cases"] += 1
        kept = report["verdict"]["kept"]
        count["none" if kept == 0 else "all" if kept == 1 and report["verdict"]["slices_damped"] == 0 else "some"] += 1
        count["right"] += errors["after"] <= min(errors["undamped"], errors["prealigned"]) + harm_mm
        rose = report["mutual_information_after"] >= report["mutual_information_prealigned"]
        count["rose" if rose else "fell"] += 1
    return counts


def _mean(rows: list[dict], measure: str, name: str) -> float:
    return float(np.mean([row[measure][name] for row in rows]))


def side_by_side(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Mean error after each method's rigid part and after all and mean seconds, ours and the rivals', on those cases on
    which all of them came through; and how many those are."""
    rows = [row for row in rows if "rivals" in row]
    shared = [row for row in rows if not any("gave_up" in rival for rival in row["rivals"].values())]
    methods = {"ours": shared, **{method: [row["rivals"][method] for row in shared] for method in rivals.titles}}
    return {
        method: {
            "cases": len(each),
            "gave_up": sum("gave_up" in row["rivals"].get(method, ()) for row in rows),
            "prealigned": float(np.mean([one["error_mm"]["prealigned"] for one in each])),
            "after": float(np.mean([one["error_mm"]["after"] for one in each])),
            "seconds": float(np.mean([one["seconds"] for one in each])),
            "cpu_seconds": float(np.mean([one["cpu_seconds"] for one in each])),
        }
        for method, each in methods.items()
        if each
    }


def points_in(head: sitk.Image) -> np.ndarray:
    """Evenly chosen voxels of a mask as points (N, 3), mm, LPS; `inverse_points` at most."""
    indices = np.argwhere(sitk.GetArrayViewFromImage(head) > 0)[:, ::-1]
    indices = indices[:: max(1, -(-len(indices) // inverse_points))]
    return indices * head.GetSpacing() @ np.array(head.GetDirection()).reshape(3, 3).T + head.GetOrigin()


def _clocks() -> np.ndarray:
    """Seconds on the clock, and of this process on all CPUs."""
    return np.array([time.perf_counter(), time.process_time()])


def in_voxels(vectors: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """Vectors (N, 3) in mm, LPS, along the index axes of a grid, in its voxels."""
    return vectors @ np.array(grid.GetDirection()).reshape(3, 3) / grid.GetSpacing()
