"""Distances between landmarks on both volumes, before and after registration."""

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.report import LandmarkError
from BSAFusionLib.pipeline.result import Result

MOST_ITERATIONS = 50
TOLERANCE_MM = 1e-4


def landmark_error(fixed_points: np.ndarray, moving_points: np.ndarray, result: Result) -> LandmarkError:
    """Measure how far landmarks on the moving volume are from the same ones on the fixed volume.

    Args:
        fixed_points: (n, 3), mm, LPS, on the fixed volume.
        moving_points: (n, 3), mm, LPS, on the moving volume as it was placed, in the same order.
        result: The registration; its transform goes from a fixed point to a moving point.

    Returns:
        Distances in mm.

    Raises:
        FusionError: The lists have different lengths.
    """
    if len(fixed_points) != len(moving_points):
        raise FusionError(
            f"There are {len(fixed_points)} landmarks on the fixed volume and {len(moving_points)} on the moving one: "
            "give the same points in the same order."
        )
    registered = np.array([_inverse(point, result) for point in moving_points])
    return LandmarkError.between(fixed_points, moving_points, registered)


def _inverse(point: np.ndarray, result: Result) -> np.ndarray:
    """Return the fixed point that the transform carries to a moving point.

    Fixed-point iteration of y = R^-1(p) - u(y), which converges because a field free of folds contracts.
    """
    transform, back = result.transform(), result.prealignment.GetInverse()
    target = np.array(back.TransformPoint(point.tolist()))
    guess = target
    for _ in range(MOST_ITERATIONS):
        # back(T(y)) = y + u(y), since the linear part acts last
        carried = np.array(back.TransformPoint(transform.TransformPoint(guess.tolist())))
        guess = guess + target - carried
        if np.linalg.norm(target - carried) < TOLERANCE_MM:
            break
    return guess
