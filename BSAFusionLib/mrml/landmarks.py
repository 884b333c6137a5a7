"""How far landmarks on the moving volume lie from the same ones on the fixed volume, before and after a result."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import slicer
from slicer.util import arrayFromMarkupsControlPoints
from vtkmodules.vtkCommonTransforms import vtkAbstractTransform, vtkGeneralTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.placement import parent_to_world
from BSAFusionLib.mrml.scene import quiet
from BSAFusionLib.pipeline.report import LandmarkError

storages = {".json": "vtkMRMLMarkupsJsonStorageNode", ".fcsv": "vtkMRMLMarkupsFiducialStorageNode"}


class LandmarkPairs(NamedTuple):
    """Points (n, 3) in the world, mm, RAS, where they lie before: the first belongs to the first, and so on."""

    fixed: np.ndarray
    moving: np.ndarray


def landmark_pairs(
    fixed_landmarks: slicer.vtkMRMLMarkupsNode, moving_landmarks: slicer.vtkMRMLMarkupsNode
) -> LandmarkPairs:
    """The points of two lists; FusionError where the lists do not go together."""
    fixed, moving = _points(fixed_landmarks), _points(moving_landmarks)
    if len(fixed) != len(moving):
        raise FusionError(
            f"'{fixed_landmarks.GetName()}' has {len(fixed)} points and '{moving_landmarks.GetName()}' {len(moving)}: "
            "give both the same points in the same order."
        )
    return LandmarkPairs(fixed, moving)


def error_of_pairs(pairs: LandmarkPairs, moving_to_world: np.ndarray, to_world: vtkAbstractTransform) -> LandmarkError:
    """The distances with the moving volume where it lay before, and under the transform of a result.

    moving_to_world: what that volume's parents amounted to before, 4 x 4, mm, RAS. to_world: the transform that took
    their place.
    """
    in_volume = _carried(pairs.moving, np.linalg.inv(moving_to_world))
    after = np.array([to_world.TransformPoint(point) for point in in_volume])
    before, left = (np.linalg.norm(points - pairs.fixed, axis=1) for points in (pairs.moving, after))
    return LandmarkError(float(before.mean()), float(before.max()), float(left.mean()), float(left.max()))


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
    to_world = vtkGeneralTransform()
    grid_transform.GetTransformToWorld(to_world)
    return error_of_pairs(landmark_pairs(fixed_landmarks, moving_landmarks), parent_to_world(moving_volume), to_world)


def read_landmarks(scene: slicer.vtkMRMLScene, path: Path) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Adds the points of a file that Slicer's Markups saved to a scene; FusionError where it is none."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", path.name)
    read = False
    if path.suffix in storages:
        storage = scene.AddNewNodeByClass(storages[path.suffix])
        storage.SetFileName(str(path))
        with quiet():
            read = storage.ReadData(node)
    if not read:
        raise FusionError(f"The file {path} holds no list of points; give a .mrk.json or .fcsv file of Slicer's.")
    return node


def _points(markups: slicer.vtkMRMLMarkupsNode) -> np.ndarray:
    """The points (n, 3) in the world, mm, RAS; FusionError where there are none, or one has no place yet."""
    count = markups.GetNumberOfControlPoints()
    if count == 0 or markups.GetNumberOfDefinedControlPoints() < count:
        raise FusionError(f"'{markups.GetName()}' has no points, or one that is not placed yet: place them all.")
    return _carried(arrayFromMarkupsControlPoints(markups), parent_to_world(markups))


def _carried(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (n, 3) through a 4 x 4 matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]
