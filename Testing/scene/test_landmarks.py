"""The landmark error is the distance in the world, before and after, of points that belong together."""

from dataclasses import astuple

import numpy as np
import pytest
import slicer
from slicer.util import updateMarkupsControlPointsFromArray

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.landmarks import landmark_error
from Testing.scene.conftest import rigid

points = np.array([[0.0, 0, 0], [20, -10, 5], [-15, 25, -20]])


@pytest.fixture
def add_points(scene):
    def add_points(name, places, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        updateMarkupsControlPointsFromArray(node, np.array(places))
        node.SetAndObserveTransformNodeID(parent.GetID() if parent else None)
        return node

    return add_points


@pytest.fixture
def moved(add_head, add_transform, process):
    """A PET under a turned parent, and a result that carries it by 4 mm along y in the world, and nothing else."""
    parent = add_transform(rigid((0, 0, 20), (3, 0, 0)))
    heads = add_head("MRI"), add_head("PET", "pet", parent=parent)
    start = add_transform(rigid(shift=(0, 4, 0)))
    return heads[1], lambda **choices: process(*heads, prealignment=start, strength=0.0, **choices)


def world(parent, local):
    matrix = rigid((0, 0, 20), (3, 0, 0))
    return local @ matrix[:3, :3].T + matrix[:3, 3]


def test_the_error_is_the_mean_and_the_largest_distance_before_and_after(moved, add_points):
    pet, run = moved
    grid, parent = run().gridTransform, pet.GetParentTransformNode()
    fixed = add_points("On MRI", world(parent, points) + np.array([(0, 4, 0), (0, 4, 0), (0, 10, 0)]))
    moving = add_points("On PET", points, parent)
    found = landmark_error(fixed, moving, pet, grid)
    np.testing.assert_allclose(astuple(found), (6, 10, 2, 6), atol=2e-3)


def test_the_error_is_the_same_when_list_and_volume_were_carried_along(moved, add_points):
    pet, run = moved
    parent = pet.GetParentTransformNode()
    fixed = add_points("On MRI", world(parent, points) + np.array((0, 4, 0)))
    moving = add_points("On PET", points, parent)
    grid = run(carry=[pet, moving]).gridTransform
    assert moving.GetParentTransformNode() is grid
    np.testing.assert_allclose(astuple(landmark_error(fixed, moving, pet, grid)), (4, 4, 0, 0), atol=2e-3)


def test_the_report_has_the_error_of_the_points_as_they_were_before_the_run(moved, add_points):
    pet, run = moved
    parent = pet.GetParentTransformNode()
    fixed = add_points("On MRI", world(parent, points) + np.array([(0, 4, 0), (0, 4, 0), (0, 10, 0)]))
    moving = add_points("On PET", points, parent)

    def drag(*_):
        fixed.SetNthControlPointPosition(0, 90, 90, 90)

    report = run(fixedLandmarks=fixed, movingLandmarks=moving, progress=drag).report
    np.testing.assert_allclose(astuple(report.landmarks), (6, 10, 2, 6), atol=2e-3)
    assert report.as_dict()["landmarks"]["largest_after"] == report.landmarks.largest_after


def test_points_on_one_volume_only_are_rejected(moved, add_points):
    with pytest.raises(FusionError, match="on one of the volumes only"):
        moved[1](fixedLandmarks=add_points("On MRI", points))


def test_lists_of_different_points_are_rejected(add_head, add_points, add_transform):
    pet, grid = add_head("PET", "pet"), add_transform(np.eye(4))
    three, two = add_points("Three", points), add_points("Two", points[:2])
    with pytest.raises(FusionError, match="'Three' has 3 points and 'Two' 2"):
        landmark_error(three, two, pet, grid)
    two.UnsetNthControlPointPosition(1)
    with pytest.raises(FusionError, match="'Two' has no points, or one that is not placed yet"):
        landmark_error(two, two, pet, grid)


def test_points_that_were_hardened_without_their_volume_or_the_other_way_round_are_not_measured(moved, add_points):
    """They were shown as moved twice."""
    pet, run = moved
    parent = pet.GetParentTransformNode()
    fixed = add_points("On MRI", world(parent, points) + np.array((0, 4, 0)))
    moving = [add_points(name, points, parent) for name in ("On PET", "Also on PET")]
    grid = run(carry=[pet, *moving]).gridTransform
    moving[0].HardenTransform()
    with pytest.raises(FusionError, match="'On PET' was hardened under the result 'PET to MRI', or taken out"):
        landmark_error(fixed, moving[0], pet, grid)
    pet.HardenTransform()
    with pytest.raises(FusionError, match="'PET' was hardened or moved since this result; run again"):
        landmark_error(fixed, moving[0], pet, grid)
    with pytest.raises(FusionError, match="'Also on PET' lies under the result 'PET to MRI', but 'PET' was hardened"):
        run(fixedLandmarks=fixed, movingLandmarks=moving[1])
    report = run(fixedLandmarks=fixed, movingLandmarks=moving[0]).report
    np.testing.assert_allclose(astuple(report.landmarks), (0, 0, 4, 4), atol=2e-3)  # the start moves it once more


def test_the_point_below_the_mouse_does_not_count_until_it_is_placed(add_head, add_points, add_transform):
    pet, grid = add_head("PET", "pet"), add_transform(np.eye(4))
    fixed, moving = add_points("On MRI", points), add_points("On PET", points)

    def hover(status):  # as Slicer's views do while points are placed
        mouse = slicer.vtkMRMLInteractionEventData()
        mouse.SetWorldPosition((1, 2, 3))
        moving.GetDisplayNode().UpdateActiveControlPointWorld(-1, mouse, np.eye(3).ravel(), "", "", status)

    moving.CreateDefaultDisplayNodes()
    hover(moving.PositionPreview)
    assert moving.GetNumberOfControlPoints() == 4
    np.testing.assert_allclose(astuple(landmark_error(fixed, moving, pet, grid)), 0, atol=1e-6)
    hover(moving.PositionDefined)
    with pytest.raises(FusionError, match="'On PET' 4"):
        landmark_error(fixed, moving, pet, grid)
    moving.RemoveNthControlPoint(3)
    moving.UnsetNthControlPointPosition(0)
    hover(moving.PositionPreview)  # for the first point of the list, which lacks its place
    with pytest.raises(FusionError, match="one that is not placed yet"):
        landmark_error(fixed, moving, pet, grid)
