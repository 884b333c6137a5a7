"""How far landmarks on the moving volume lie from the same ones on the fixed volume, before and after a result."""

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.util import arrayFromMarkupsControlPoints
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.scene import parent_to_world


@dataclass(frozen=True)
class LandmarkError:
    """Distances in the world, mm, between the points of two lists, the first with the first and so on."""

    mean_before: float
    largest_before: float
    mean_after: float
    largest_after: float


def landmark_error(
    fixed_landmarks: slicer.vtkMRMLMarkupsNode,
    moving_landmarks: slicer.vtkMRMLMarkupsNode,
    moving_volume: slicer.vtkMRMLVolumeNode,
    grid_transform: slicer.vtkMRMLTransformNode,
) -> LandmarkError:
    """The distances with the moving volume where it lay before, and under the grid transform of a result.

    moving_landmarks: as they lie in the world on the moving volume before; under the result they count as lying there.
    Raises FusionError where the lists do not go together.
    """
    fixed, moving = _points(fixed_landmarks), _points(moving_landmarks)
    if len(fixed) != len(moving):
        raise FusionError(
            f"'{fixed_landmarks.GetName()}' has {len(fixed)} points and '{moving_landmarks.GetName()}' {len(moving)}: "
            "give both the same points in the same order."
        )
    in_volume = _carried(moving, np.linalg.inv(parent_to_world(moving_volume)))
    to_world = vtkGeneralTransform()
    grid_transform.GetTransformToWorld(to_world)
    after = np.array([to_world.TransformPoint(point) for point in in_volume])
    before, left = np.linalg.norm(moving - fixed, axis=1), np.linalg.norm(after - fixed, axis=1)
    return LandmarkError(float(before.mean()), float(before.max()), float(left.mean()), float(left.max()))


def _points(markups: slicer.vtkMRMLMarkupsNode) -> np.ndarray:
    """The points (n, 3) in the world, mm, RAS; FusionError where there are none, or one has no place yet."""
    count = markups.GetNumberOfControlPoints()
    if count == 0 or markups.GetNumberOfDefinedControlPoints() < count:
        raise FusionError(f"'{markups.GetName()}' has no points, or one that is not placed yet: place them all.")
    return _carried(arrayFromMarkupsControlPoints(markups), parent_to_world(markups))


def _carried(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (n, 3) through a 4 x 4 matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]
