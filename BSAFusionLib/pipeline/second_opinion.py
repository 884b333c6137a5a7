"""Measure evidence on a result that the registration did not choose it by; `doubt` decides from it."""

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import downsample, voxel_centers
from BSAFusionLib.pipeline.doubt import SecondOpinion
from BSAFusionLib.pipeline.head_start import HeadStart
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.measures import histogram_information
from BSAFusionLib.pipeline.network_input import NetworkInput

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose

SPACING_MM = 6.0  # of the volumes that are compared
BINS = 16  # of a side of the joint histogram
LEAST_VOXELS = 100  # fewer say nothing of the mutual information
RANDOM_POSES = 24
RANDOM_SHIFT_MM = 30.0  # along each axis, at most
BRAIN_RADIUS_MM = 60.0
TURNED_DEG = 60.0  # a head that is turned by less is taken to lie as its file says


class PairComparison:
    """Compares two volumes coarsely, for any transform between them."""

    def __init__(self, volumes: NetworkInput) -> None:
        """Prepare to compare two volumes.

        Args:
            volumes: Both in [0, 1], float32.
        """
        fixed, self._moving = (downsample(image, SPACING_MM) for image in volumes)
        self._grid = fixed
        self._fixed_values = sitk.GetArrayFromImage(fixed)
        self._fixed_head, moving_head = (
            sitk.GetArrayFromImage(head_mask(image)) > 0 for image in (fixed, self._moving)
        )
        self._moving_head = _image_like(moving_head.astype(np.float32), self._moving)
        self._moving_space = _image_like(np.ones_like(moving_head, np.float32), self._moving)
        self._near_head = sitk.GetArrayFromImage(sitk.BinaryDilate(head_mask(fixed), (1, 1, 1))) > 0

    def information(self, transform: sitk.Transform) -> float:
        """Return the mutual information in nats near the fixed head, corrected for the number of voxels.

        Args:
            transform: Fixed point to moving point, mm, LPS.

        Returns:
            0 where the volumes hardly overlap. (The correction is Miller's, 1955.)
        """
        inside = self._near_head & (self._resampled(self._moving_space, transform) > 0.5)
        count = int(inside.sum())
        if count < LEAST_VOXELS:
            return 0.0
        pairs = self._fixed_values[inside], self._resampled(self._moving, transform)[inside]
        joint, _, _ = np.histogram2d(*pairs, bins=BINS, range=((0, 1), (0, 1)))
        occupied = (joint > 0).sum() - (joint.sum(axis=0) > 0).sum() - (joint.sum(axis=1) > 0).sum() + 1
        return histogram_information(joint) - float(occupied) / (2 * count)

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
        """Return the share of the smaller head that lies in the other one, within both fields of view."""
        seen = self._resampled(self._moving_space, transform) > 0.5
        moving = self._resampled(self._moving_head, transform) > 0.5
        fixed = self._fixed_head & seen
        smaller = min(fixed.sum(), moving.sum())
        return float((fixed & moving).sum() / smaller) if smaller > 0 else 0.0

    def _resampled(self, image: sitk.Image, transform: sitk.Transform) -> np.ndarray:
        values: np.ndarray = sitk.GetArrayFromImage(sitk.Resample(image, self._grid, transform, sitk.sitkLinear, 0.0))
        return values


def measure_opinion(pair: PairComparison, heads: HeadStart, transform: sitk.Transform) -> SecondOpinion:
    """Measure the evidence on a result.

    Args:
        pair: Both volumes.
        heads: The heads' own poses.
        transform: The result, fixed point to moving point, mm, LPS.
    """
    gap_mm, gap_deg = pose_gap(heads, transform)
    return SecondOpinion(
        fixed_head=heads.fixed.found,
        moving_head=heads.moving.found,
        pose_gap_mm=gap_mm,
        pose_gap_deg=gap_deg,
        overlap=pair.overlap(transform),
        information=pair.information(transform),
        information_placed=pair.information(sitk.Transform()),
        information_random=pair.random_information(transform),
        turned_axis=turned_axis(heads.moving) if heads.moving.found else "",
    )


def pose_gap(heads: HeadStart, transform: sitk.Transform) -> tuple[float, float] | tuple[None, None]:
    """Measure how far a result lies from the motion between two heads' own poses.

    Args:
        heads: Both heads' own poses.
        transform: Fixed point to moving point, mm, LPS.

    Returns:
        Mean distance in mm over points of the fixed brain, and the angle between both rotations in degrees; None
        where a head was not found.
    """
    if heads.transform is None:
        return None, None
    offsets = BRAIN_RADIUS_MM * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    points = (heads.fixed.translation + offsets).tolist()
    by_poses, by_result = (
        np.array([motion.TransformPoint(point) for point in points]) for motion in (heads.transform, transform)
    )
    left, _, right = np.linalg.svd((by_result - by_result.mean(axis=0)).T @ (by_poses - by_poses.mean(axis=0)))
    turn = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return float(np.linalg.norm(by_result - by_poses, axis=1).mean()), _angle_deg(turn)


def turned_axis(head: "HeadPose") -> str:
    """Return the axis about which a head is turned against what its file says, as in `SecondOpinion`."""
    if _angle_deg(head.rotation) < TURNED_DEG:
        return ""
    for name, half_turn in zip("xyz", (2 * np.outer(axis, axis) - np.eye(3) for axis in np.eye(3)), strict=True):
        if _angle_deg(head.rotation @ half_turn.T) < TURNED_DEG:
            return name
    return "other"


def _angle_deg(rotation: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def _image_like(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result
