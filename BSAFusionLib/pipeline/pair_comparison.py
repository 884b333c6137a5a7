"""Compare two volumes coarsely, for any transform between them."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import downsample, voxel_centers
from BSAFusionLib.pipeline.brain_only import divide_ramp
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.measures import corrected_information
from BSAFusionLib.pipeline.network_input import NetworkInput

SPACING_MM = 6.0
BINS = 16  # of a side of the joint histogram
LEAST_VOXELS = 100  # fewer say nothing of the mutual information
RANDOM_POSES = 24
RANDOM_SHIFT_MM = 30.0  # along each axis, at most


class PairComparison:
    """Compares two volumes coarsely, for any transform between them.

    Attributes:
        volumes: Both, as they were before they were made coarse.
    """

    def __init__(
        self, volumes: NetworkInput, spacing_mm: float = SPACING_MM, brain_center: tuple[float, ...] | None = None
    ) -> None:
        """Prepare to compare two volumes.

        Args:
            volumes: Both in [0, 1], float32.
            spacing_mm: Of the grids that they are compared on.
            brain_center: Of the fixed volume, mm, LPS: a coil's ramp is fitted around it and divided out, since it
                hides what both volumes share; None to leave the volume as it is.
        """
        self.volumes = volumes
        self._spacing_mm = spacing_mm
        self._grid, moving = (downsample(image, spacing_mm) for image in volumes)
        if brain_center is not None:
            self._grid = divide_ramp(self._grid, brain_center)
        fixed_head = head_mask(self._grid)
        self._fixed_head = sitk.GetArrayFromImage(fixed_head) > 0
        self._near_head = sitk.GetArrayFromImage(sitk.BinaryDilate(fixed_head, (1, 1, 1))) > 0
        self._fixed = sitk.GetArrayFromImage(self._grid)
        self._moving = moving
        self._moving_space = sitk.Cast(moving >= 0, sitk.sitkFloat32)

    def without_ramp(self, brain_center: np.ndarray) -> "PairComparison":
        """Return the comparison without a coil's ramp in the fixed volume.

        Args:
            brain_center: Of the fixed volume, (3,), mm, LPS.
        """
        return PairComparison(self.volumes, self._spacing_mm, tuple(brain_center.tolist()))

    def information(self, transform: sitk.Transform) -> float:
        """Return the mutual information of the intensities' ranks near the fixed head, corrected for their number.

        Ranks do not change if something outside the brain is far hotter than it. They are those of the compared voxels
        alone: among all of a wide field of view, those of a head are nearly equal.

        Args:
            transform: Fixed point to moving point, mm, LPS.

        Returns:
            Nats; 0 where the volumes hardly overlap.
        """
        inside = self._near_head & (self._resampled(self._moving_space, transform) > 0.5)
        if inside.sum() < LEAST_VOXELS:
            return 0.0
        moving = self._resampled(self._moving, transform)
        return corrected_information(_ranks(self._fixed[inside]), _ranks(moving[inside]), BINS)

    def random_information(self, transform: sitk.Transform) -> float:
        """Return the mean mutual information over random poses about a transform, the same ones in every run."""
        random = np.random.default_rng(0)
        center = voxel_centers(self._grid)[self._fixed_head].mean(axis=0)
        values = []
        for _ in range(RANDOM_POSES):
            turn = sitk.VersorRigid3DTransform()
            turn.SetCenter(center.tolist())
            versor = random.standard_normal(4)
            turn.SetRotation((versor / np.linalg.norm(versor)).tolist())
            turn.SetTranslation(random.uniform(-RANDOM_SHIFT_MM, RANDOM_SHIFT_MM, 3).tolist())
            values.append(self.information(sitk.CompositeTransform([transform, turn])))
        return float(np.mean(values))

    def overlap(self, transform: sitk.Transform) -> float:
        """Return the share of the smaller head that lies in the other one, within both fields of view.

        The moving head is looked for in what lies in the fixed volume's view: the largest bright region of a whole body
        is no head.

        Args:
            transform: Fixed point to moving point, mm, LPS.
        """
        seen = self._resampled(self._moving_space, transform) > 0.5
        in_view = sitk.Resample(self._moving, self._grid, transform, sitk.sitkLinear, 0.0)
        moving = sitk.GetArrayFromImage(head_mask(in_view)) > 0
        fixed = self._fixed_head & seen
        smaller = min(fixed.sum(), moving.sum())
        return float((fixed & moving).sum() / smaller) if smaller > 0 else 0.0

    def _resampled(self, image: sitk.Image, transform: sitk.Transform) -> np.ndarray:
        values: np.ndarray = sitk.GetArrayFromImage(sitk.Resample(image, self._grid, transform, sitk.sitkLinear, 0.0))
        return values


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the share of values (n,) below each one, in [0, 1]; equal values have their middle rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    shares: np.ndarray = (np.cumsum(counts) - counts / 2) / values.size
    return shares[places]
