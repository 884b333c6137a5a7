"""Distances between landmarks on both volumes, before and after registration."""

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.inverse import carry_points_back
from BSAFusionLib.pipeline.report import LandmarkError
from BSAFusionLib.pipeline.result import Result


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
    registered, _ = carry_points_back(result.transform(), moving_points)
    return LandmarkError.between(fixed_points, moving_points, registered)
