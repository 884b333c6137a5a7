"""Distances of landmarks on the moving volume to those on the fixed volume, before and after registration."""

from typing import NamedTuple

import numpy as np
import slicer
from slicer.util import arrayFromMarkupsControlPoints
from vtkmodules.vtkCommonTransforms import vtkAbstractTransform, vtkGeneralTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.node_checks import checkFitsResult, checkOutsideResults
from BSAFusionLib.mrml.placement import PLACED_UNDER, fits_result, has_left_result_of, parent_to_world
from BSAFusionLib.pipeline.report import LandmarkError


class LandmarkPairs(NamedTuple):
    """Corresponding points (n, 3) before registration, mm, RAS, in the world."""

    fixed: np.ndarray
    moving: np.ndarray


def landmark_pairs(
    fixed_landmarks: slicer.vtkMRMLMarkupsNode,
    moving_landmarks: slicer.vtkMRMLMarkupsNode,
    moving_volume: slicer.vtkMRMLVolumeNode,
) -> LandmarkPairs:
    """Return the points of two lists.

    Args:
        fixed_landmarks: Points on the fixed volume.
        moving_landmarks: The same points on the moving volume, in the same order.
        moving_volume: The moving volume.

    Raises:
        FusionError: The lists differ in length, are empty, or have points that are not placed; those on the fixed
            volume lie under a result; or of the moving volume and its points, one was hardened without the other.
    """
    checkOutsideResults(fixed_landmarks, "list of fixed landmarks")
    _check_with_volume(moving_landmarks, moving_volume)
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
        FusionError: As `landmark_pairs`, or the moving volume was hardened since the result.
    """
    if not fits_result(moving_volume, grid_transform):
        raise FusionError(
            f"'{moving_volume.GetName()}' was hardened or moved since this result; run again to measure its landmarks."
        )
    to_world = vtkGeneralTransform()
    grid_transform.GetTransformToWorld(to_world)
    pairs = landmark_pairs(fixed_landmarks, moving_landmarks, moving_volume)
    return error_of_pairs(pairs, parent_to_world(moving_volume), to_world)


def _check_with_volume(landmarks: slicer.vtkMRMLMarkupsNode, volume: slicer.vtkMRMLVolumeNode) -> None:
    """Raise FusionError where a moving volume or the points on it were hardened under a result without the other."""
    name = landmarks.GetName()
    if has_left_result_of(landmarks, volume):
        raise FusionError(
            f"'{name}' was hardened under the result '{landmarks.GetNodeReference(PLACED_UNDER).GetName()}', or taken "
            "out of it, and would be measured as if it moved a second time; choose other landmarks, or put it back "
            "under that transform if it was only taken out."
        )
    checkFitsResult(landmarks, volume)


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
