"""Compare two volumes coarsely, for any transform between them."""

from collections.abc import Iterable

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import find_objects

from BSAFusionLib.geometry.grids import downsample, voxel_centers
from BSAFusionLib.pipeline.brain_only import brain_ball, brain_only, divide_ramp
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.measures import corrected_information
from BSAFusionLib.pipeline.network_input import NetworkInput

SPACING_MM = 6.0
BINS = 16  # of a side of the joint histogram
LEAST_VOXELS = 100  # fewer say nothing of the mutual information
RANDOM_POSES = 24
RANDOM_SHIFT_MM = 30.0  # along each axis, at most
REACH_MM = 110.0  # of a head from its brain's center; what is farther is noise, or other organs
NEARBY_SHIFT_MM = 12.0
NEARBY_TURN_DEG = 12.0


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
                hides what both volumes share, and the head is looked for around it; None to leave the volume as it is.
        """
        self.volumes = volumes
        self._spacing_mm = spacing_mm
        self._grid, moving = (_on_dark_background(downsample(image, spacing_mm)) for image in volumes)
        if brain_center is None:
            fixed_head = head_mask(self._grid)
        else:
            self._grid = divide_ramp(self._grid, brain_center)
            fixed_head = _head_around(self._grid, brain_center)
        near_head = sitk.GetArrayFromImage(sitk.BinaryDilate(fixed_head, (1, 1, 1)))
        # Only the box around the head is ever compared: (slice, row, column), all of the grid where there is no head.
        self._box = next(iter(find_objects(near_head)), tuple(slice(0, size) for size in near_head.shape))
        self._compared = self._grid[self._box[::-1]]
        self._near_head = near_head[self._box] > 0
        self._fixed_head = sitk.GetArrayFromImage(fixed_head)[self._box] > 0
        self._fixed = sitk.GetArrayFromImage(self._compared)
        self._moving = moving
        # The air of a CT's window is left out, which smoothing leads below 0: counted, it makes right results of
        # simulated pairs less distinct from wrong ones.
        self._space = sitk.Cast(moving >= 0, sitk.sitkFloat32)

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
        moving, seen = self._resampled(transform)
        inside = self._near_head & seen
        if inside.sum() < LEAST_VOXELS:
            return 0.0
        return corrected_information(_ranks(self._fixed[inside]), _ranks(moving[inside]), BINS)

    def random_information(self, transform: sitk.Transform) -> float:
        """Return the mean mutual information over random poses about a transform, the same ones in every run."""
        random = np.random.default_rng(0)
        motions = []
        for _ in range(RANDOM_POSES):
            versor = random.standard_normal(4)
            shift_mm = random.uniform(-RANDOM_SHIFT_MM, RANDOM_SHIFT_MM, 3)
            motions.append((versor / np.linalg.norm(versor), shift_mm))
        return float(np.mean(self._informations(transform, motions)))

    def nearby_information(self, transform: sitk.Transform) -> float:
        """Return the mean mutual information over the more similar half of the poses near a transform.

        They are shifted along an axis or turned about one. Where both volumes match, it is less than that of the
        transform itself; in a wrong place, some of them are as good.
        """
        half = np.radians(NEARBY_TURN_DEG) / 2
        motions = []
        for direction in np.concatenate([np.eye(3), -np.eye(3)]):
            motions.append((np.array((0.0, 0.0, 0.0, 1.0)), NEARBY_SHIFT_MM * direction))
            motions.append((np.append(np.sin(half) * direction, np.cos(half)), np.zeros(3)))
        return float(np.mean(sorted(self._informations(transform, motions))[len(motions) // 2 :]))

    def _informations(self, transform: sitk.Transform, motions: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[float]:
        """Return the mutual information after motions, by versor and shift in mm, about the fixed head's center."""
        center = voxel_centers(self._compared)[self._fixed_head].mean(axis=0).tolist()
        values = []
        for versor, shift_mm in motions:
            motion = sitk.VersorRigid3DTransform()
            motion.SetCenter(center)
            motion.SetRotation(versor.tolist())
            motion.SetTranslation(shift_mm.tolist())
            values.append(self.information(sitk.CompositeTransform([transform, motion])))
        return values

    def overlap(self, transform: sitk.Transform) -> float:
        """Return the share of the smaller head that lies in the other one, within both fields of view.

        The moving head is looked for in what lies in the fixed volume's view: the largest bright region of a whole body
        is no head.

        Args:
            transform: Fixed point to moving point, mm, LPS.
        """
        _, seen = self._resampled(transform)
        in_view = sitk.Resample(self._moving, self._grid, transform, sitk.sitkLinear, 0.0)
        moving = sitk.GetArrayFromImage(head_mask(in_view)) > 0
        fixed = self._fixed_head & seen
        smaller = min(fixed.sum(), moving.sum())
        return float((fixed & moving[self._box]).sum() / smaller) if smaller > 0 else 0.0

    def _resampled(self, transform: sitk.Transform) -> tuple[np.ndarray, np.ndarray]:
        """Return the moving volume in the compared box, and where that lies in its space and not in a CT's air, bool.

        Both are (slice, row, column).
        """
        # One after the other: ITK takes half as long again for one image of two components.
        values, seen = (
            sitk.GetArrayFromImage(sitk.Resample(image, self._compared, transform, sitk.sitkLinear, 0.0))
            for image in (self._moving, self._space)
        )
        return values, seen > 0.5


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the share of values (n,) below each one, in [0, 1]; equal values have their middle rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    shares: np.ndarray = (np.cumsum(counts) - counts / 2) / values.size
    return shares[places]


def _head_around(image: sitk.Image, brain_center: tuple[float, ...]) -> sitk.Image:
    """Segment the head around a brain's center (mm, LPS), as far as it reaches; a ball where nothing there is bright.

    Neither hot spots nor noise in the air count: both would hide which region the head is.
    """
    reach = brain_ball(image, brain_center, REACH_MM)
    head: sitk.Image = head_mask(brain_only(image, brain_center)) * reach
    return head if sitk.GetArrayFromImage(head).any() else reach


def _on_dark_background(image: sitk.Image) -> sitk.Image:
    """Turn intensities in [0, 1] over where the air around the head is bright, so that the head is found in it.

    The air is what lies at the edges of the volume's box.
    """
    values = sitk.GetArrayFromImage(image)
    at_end = [np.isin(np.arange(length), (0, length - 1)) for length in values.shape]
    edges = at_end[0][:, None, None].astype(int) + at_end[1][:, None] + at_end[2] >= 2
    if np.median(values[edges]) <= (values.min() + values.max()) / 2:
        return image
    turned_over: sitk.Image = 1.0 - image
    return turned_over
