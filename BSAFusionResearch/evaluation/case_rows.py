"""Measure our method and the baselines on the designed cases, one row a case."""

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
from BSAFusionResearch.evaluation import baselines
from BSAFusionResearch.evaluation.cases import Case
from BSAFusionResearch.evaluation.clock import clocks

UNMOVED_SPACING_MM = 4.0
"""Spacing of the estimated deformations that are kept: so smooth that linear interpolation is exact to 0.01 mm."""

MAX_INVERSE_POINTS = 20_000
"""Upper bound of the head's points that are sent there and back."""

ThereAndBack = Callable[[Result, np.ndarray], np.ndarray]
"""Sends points (N, 3), mm, LPS, through a result's transform and its inverse."""


class CaseVolumes:
    """Reads the volumes that cases are made of, once: `mri_t1.nii.gz` and `<modality>.nii.gz` of a folder.

    Raises:
        FusionError: A volume is missing or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.fixed = read_volume(folder / "mri_t1.nii.gz")
        self._folder = folder

    def prepare(self, case: Case) -> tuple[sitk.Image, sitk.Image, sitk.Transform]:
        """Return the fixed and the moving volume of a case, and the truth, fixed point -> moving point, mm, LPS."""
        moving = sitk.Cast(read_volume(self._folder / f"{case.modality}.nii.gz"), sitk.sitkFloat32)
        return *case.volumes(self.fixed, moving), case.motion.transform(self.fixed)


class CaseBench:
    """Measures cases on the volumes of a folder.

    Estimates for pairs left unmoved, which the error of the motion is taken against, are made once and kept.

    Args:
        folder: Holds the volumes, see `CaseVolumes`.
        weights: A checkpoint for each modality.
        there_and_back: Measures the inverse that users get.
        device: Of `Settings`.
        precision: Of `Settings`.
    """

    def __init__(
        self,
        folder: Path,
        weights: dict[str, Path],
        there_and_back: ThereAndBack,
        device: str = Settings.device,
        precision: str = Settings.precision,
    ) -> None:
        self.volumes = CaseVolumes(folder)
        self._settings = {
            modality: Settings(modality, weights=path, device=device, precision=precision)
            for modality, path in weights.items()
        }
        self._there_and_back = there_and_back
        self._unmoved: dict[Case, dict[str, sitk.Transform]] = {}

    def measure(self, case: Case) -> dict:
        """Register a case and return its row.

        Returns:
            The case's fields, and:
            error_mm: Mean errors inside the head of the fixed volume, as the case has it, in mm.
            motion_error_mm: The same against where the true motion carries the estimate for the unmoved pair, since the
                pair itself may not be quite aligned.
            inverse_error_voxels: Largest distance between a point of the head and itself there and back, in voxels of
                the fixed volume.
            seconds, cpu_seconds: Wall clock seconds, and CPU seconds of this process.
            smallest_jacobian, report: Of the result.
        """
        fixed, moving, truth = self.volumes.prepare(case)
        begun = clocks()
        result = register_and_fuse(fixed, moving, self._settings_for(case))
        seconds, cpu_seconds = clocks() - begun
        head = head_mask(fixed)
        estimated = {"before": sitk.Transform(3, sitk.sitkIdentity), **estimates(result)}
        points = points_in(head)
        off = in_voxels(self._there_and_back(result, points) - points, fixed)
        return {
            **asdict(case),
            "error_mm": {name: error_mm(transform, truth, head) for name, transform in estimated.items()},
            "motion_error_mm": {
                name: error_mm(estimated[name], sitk.CompositeTransform([truth, own]), head)  # the last one acts first
                for name, own in self._unmoved_estimates(case).items()
            },
            "smallest_jacobian": result.report.smallest_jacobian,
            "inverse_error_voxels": float(np.linalg.norm(off, axis=1).max()),
            "seconds": float(seconds),
            "cpu_seconds": float(cpu_seconds),
            "report": result.report.as_dict(),
        }

    def measure_baselines(self, case: Case, python: Path, threads: int) -> dict[str, dict]:
        """Register a case by each baseline.

        Args:
            case: The case.
            python: A Python with ANTs and elastix.
            threads: How many each may use.

        Returns:
            By the baseline's name: `error_mm` after its rigid part and after all, `seconds` and `cpu_seconds`; or
            `gave_up`, the message of a baseline that failed.
        """
        fixed, moving, truth = self.volumes.prepare(case)
        head = head_mask(fixed)
        rows: dict[str, dict] = {}
        for method in baselines.TITLES:
            try:
                found = baselines.register(method, fixed, moving, python, threads)
            except FusionError as error:
                rows[method] = {"gave_up": str(error)}
                continue
            errors = {"prealigned": error_mm(found.rigid, truth, head), "after": error_mm(found.whole, truth, head)}
            rows[method] = {"error_mm": errors, "seconds": found.seconds, "cpu_seconds": found.cpu_seconds}
        return rows

    def _settings_for(self, case: Case) -> Settings:
        return replace(self._settings[case.modality], slice_axis=case.slice_axis)

    def _unmoved_estimates(self, case: Case) -> dict[str, sitk.Transform]:
        """Return the estimates for the case's pair without its motion, each on a coarse grid over the fixed volume."""
        unmoved = replace(case, number=0, degrees=0.0, mm=0.0, elastic_mm=0.0)
        if unmoved not in self._unmoved:
            fixed, moving, _ = self.volumes.prepare(unmoved)
            grid = lattice_over(fixed, [UNMOVED_SPACING_MM] * 3)
            estimated = estimates(register_and_fuse(fixed, moving, self._settings_for(case)))
            self._unmoved[unmoved] = {
                name: sitk.DisplacementFieldTransform(field_from_transform(transform, grid))
                for name, transform in estimated.items()
            }
        return self._unmoved[unmoved]


def estimates(result: Result) -> dict[str, sitk.Transform]:
    """Return the transforms that a run estimated, fixed point -> moving point, mm, LPS.

    Returns:
        prealigned: The transform that the network went on from.
        undamped: With all of the network's deformation.
        after: With the share of the deformation that was applied.
    """
    return {
        "prealigned": result.searched,
        "undamped": compose_transform(result.estimated_field, result.prealignment),
        "after": result.transform(),
    }


def points_in(head: sitk.Image) -> np.ndarray:
    """Return evenly chosen voxels of a mask as points (N, 3), mm, LPS; at most `MAX_INVERSE_POINTS`."""
    indices = np.argwhere(sitk.GetArrayViewFromImage(head) > 0)[:, ::-1]
    indices = indices[:: max(1, -(-len(indices) // MAX_INVERSE_POINTS))]
    return indices * head.GetSpacing() @ np.array(head.GetDirection()).reshape(3, 3).T + head.GetOrigin()


def in_voxels(vectors: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """Convert vectors (N, 3) in mm, LPS, to voxels along the index axes of a grid."""
    return vectors @ np.array(grid.GetDirection()).reshape(3, 3) / grid.GetSpacing()
