"""Fit rotations to points."""

import numpy as np


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
