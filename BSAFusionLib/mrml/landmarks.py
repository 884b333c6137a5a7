"""Distances of landmarks on the moving volume to those on the fixed volume, before and after registration."""

from typing import NamedTuple

import numpy as np
import slicer
from slicer.util import arrayFromMarkupsControlPoints
from vtkmodules.vtkCommonTransforms import vtkAbstractTransform, vtkGeneralTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.node_checks import checkOutsideResults
from BSAFusionLib.mrml.placement import parent_to_world
from BSAFusionLib.pipeline.report import LandmarkError


class LandmarkPairs(NamedTuple):
    """Corresponding points (n, 3) before registration, mm, RAS, in the world."""

    fixed: np.ndarray
    moving: np.ndarray


def landmark_pairs(
    fixed_landmarks: slicer.vtkMRMLMarkupsNode, moving_landmarks: slicer.vtkMRMLMarkupsNode
) -> LandmarkPairs:
    """Return the points of two lists.

    Args:
        fixed_landmarks: Points on the fixed volume.
        moving_landmarks: The same points on the moving volume, in the same order.

    Raises:
        FusionError: The lists differ in length, are empty, or have points that are not placed; or those on the fixed
            volume lie under a result.
    """
    checkOutsideResults(fixed_landmarks, "list of fixed landmarks")
    fixed, moving = _points(fixed_landmarks), _points(moving_landmarks)
    if len(fixed) != len(moving):
        raise FusionError(
            f"'{fixed_landmarks.GetName()}' has {len(fixed)} points and '{moving_landmarks.GetName()}' {len(moving)}; "
            "place the same points in the same order in both."
        )
    return LandmarkPairs(fixed, moving)


def error_of_pairs(pairs: LandmarkPairs, moving_to_world: np.ndarray, to_world: vtkAbstractTransform) -> LandmarkError:
    """Return the distances of landmark pairs before and after registration.

    Args:
        pairs: Points before registration, mm, RAS.
        moving_to_world: 4 x 4, mm, RAS: the moving volume's parents before registration.
        to_world: The transform that replaces them.
    """
    in_volume = _transformed(pairs.moving, np.linalg.inv(moving_to_world))
    after = np.array([to_world.TransformPoint(point) for point in in_volume])
    return LandmarkError.between(pairs.fixed, pairs.moving, after)


def landmark_error(
    fixed_landmarks: slicer.vtkMRMLMarkupsNode,
    moving_landmarks: slicer.vtkMRMLMarkupsNode,
    moving_volume: slicer.vtkMRMLVolumeNode,
    grid_transform: slicer.vtkMRMLTransformNode,
) -> LandmarkError:
    """Return the distances of landmarks in the scene before and after registration.

    Args:
        fixed_landmarks: Points on the fixed volume.
        moving_landmarks: The same points on the moving volume before registration, also where the list lies under the
            result now.
        moving_volume: The moving volume.
        grid_transform: The result.

    Raises:
        FusionError: As `landmark_pairs`.
    """
    to_world = vtkGeneralTransform()
    grid_transform.GetTransformToWorld(to_world)
    return error_of_pairs(landmark_pairs(fixed_landmarks, moving_landmarks), parent_to_world(moving_volume), to_world)


def _points(markups: slicer.vtkMRMLMarkupsNode) -> np.ndarray:
    """Return the points (n, 3) in the world, mm, RAS; raise FusionError where one is not placed, or none."""
    numbers = [number for number in range(markups.GetNumberOfControlPoints()) if not _is_preview(markups, number)]
    if not numbers or markups.GetNumberOfDefinedControlPoints() < len(numbers):
        raise FusionError(f"'{markups.GetName()}' has no points, or one that is not placed yet; place all points.")
    return _transformed(arrayFromMarkupsControlPoints(markups)[numbers], parent_to_world(markups))


def _is_preview(markups: slicer.vtkMRMLMarkupsNode, number: int) -> bool:
    """Return True for the point that Slicer adds below the mouse while the user places points, until it is clicked."""
    status = markups.GetNthControlPointPositionStatus(number)
    return bool(status == markups.PositionPreview and markups.GetNthControlPointAutoCreated(number))


def _transformed(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a 4 x 4 matrix to points (n, 3)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]
