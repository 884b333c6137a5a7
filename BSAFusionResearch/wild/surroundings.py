"""What lies in view beside a head: a table, arms, a full bladder."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionResearch.wild.sources import with_hot_ball

TABLE_HU, RAIL_HU, ARM_HU, ARM_BONE_HU = -120, 300, 40, 700
ARMS_MM = 330.0  # from the top of the volume down: they are raised beside the head
BLADDER_ABOVE_MM = 90.0  # the volume's lower end
ARM_SHARE = 0.25  # of the 99th percentile of a PET


def with_table_and_arms(ct: sitk.Image) -> sitk.Image:
    """Add a table below the back, and both arms raised beside the head, to a CT in Hounsfield units."""
    points, (low, high) = _points_and_ends(ct)
    values = sitk.GetArrayFromImage(ct).astype(np.float32)
    from_table = np.abs(points[..., 1] - high[1] + 22.0)
    on_table = np.abs(points[..., 0] - (low[0] + high[0]) / 2) < 200
    values[on_table & (from_table < 10)] = RAIL_HU
    values[on_table & (from_table < 8)] = TABLE_HU
    for from_arm in _distances_from_arms(points, low, high):
        values[from_arm < 42] = ARM_HU
        values[from_arm < 14] = ARM_BONE_HU
    return _like(values, ct)


def with_bladder_and_arms(pet: sitk.Image, times: float = 60.0) -> sitk.Image:
    """Add a full bladder far hotter than the brain, and both arms raised beside the head, to a PET of a body.

    Args:
        pet: A PET from the head to the pelvis.
        times: Activity of the bladder over the 99th percentile.
    """
    points, (low, high) = _points_and_ends(pet)
    middle = (low + high) / 2
    hot = with_hot_ball(pet, (middle[0], middle[1] + 10, low[2] + BLADDER_ABOVE_MM), 200.0, times)
    values = sitk.GetArrayFromImage(hot)
    activity = ARM_SHARE * np.percentile(values, 99)
    for from_arm in _distances_from_arms(points, low, high):
        values[from_arm < 42] = np.maximum(values[from_arm < 42], activity)
    return _like(values, pet)


def _points_and_ends(image: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels' centers (slice, row, column, 3), and the least and the largest coordinates (2, 3), mm, LPS."""
    points = voxel_centers(image)
    flat = points.reshape(-1, 3)
    return points, np.stack([flat.min(axis=0), flat.max(axis=0)])


def _distances_from_arms(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """Return each voxel's distance from the axis of either arm, mm; infinite below the arms."""
    middle = (low + high) / 2
    beside = points[..., 2] > high[2] - ARMS_MM
    return [
        np.where(beside, np.hypot(points[..., 0] - middle[0] - side, points[..., 1] - middle[1]), np.inf)
        for side in (-150.0, 150.0)
    ]


def _like(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result
