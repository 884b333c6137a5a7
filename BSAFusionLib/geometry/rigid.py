"""Fit rotations and rigid transforms to points."""

import numpy as np
import SimpleITK as sitk


def nearest_rotation(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the rotation that turns centered points onto centered targets with the least squared distance.

    Args:
        points: (n, 3).
        targets: (n, 3), in the same order.

    Returns:
        (3, 3). (Kabsch, 1976.)
    """
    left, _, right = np.linalg.svd((targets - targets.mean(axis=0)).T @ (points - points.mean(axis=0)))
    rotation: np.ndarray = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return rotation


def rigid_through(points: np.ndarray, targets: np.ndarray) -> sitk.Euler3DTransform:
    """Fit the rigid transform that carries points onto targets with the least squared distance.

    Args:
        points: (n, 3), mm, LPS.
        targets: (n, 3), in the same order.
    """
    center, target = points.mean(axis=0), targets.mean(axis=0)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(center.tolist())
    transform.SetMatrix(nearest_rotation(points, targets).ravel().tolist(), 1e-8)
    transform.SetTranslation((target - center).tolist())
    return transform
