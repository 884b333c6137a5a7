"""The grid transform works both ways, and beyond its grid it is the pre-alignment alone."""

import numpy as np
import pytest
import slicer
from slicer.util import (
    arrayFromMarkupsControlPoints,
    arrayFromModelPoints,
    arrayFromVolume,
    updateMarkupsControlPointsFromArray,
)
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform
from vtkmodules.vtkFiltersSources import vtkSphereSource

from Testing.scene.conftest import lattice, rigid

voxel = 6.0  # mm
start_turns = {"no start": (0, 0, 0), "turned start": (25, 0, 15), "start turned by 100 degrees": (0, 100, 0)}


@pytest.fixture(params=start_turns.values(), ids=start_turns.keys())
def start(request):
    return rigid(request.param, (4, -5, 6))


@pytest.fixture
def result(start, add_head, add_transform, process):
    """A run on a moving volume that lies under a turned parent and, in the world, off by the start."""
    parent = rigid((0, 0, 40), (10, 0, 0))
    placed = np.linalg.inv(parent) @ np.linalg.inv(start) @ lattice()
    moving = add_head("PET", "pet", placed, parent=add_transform(parent))
    return process(add_head("MRI"), moving, prealignment=add_transform(start))


def head_points(volume):
    """Return the voxels of the fixed volume's head, RAS."""
    k, j, i = np.nonzero(arrayFromVolume(volume) > 50)
    return (lattice() @ np.stack([i, j, k, np.ones_like(i)]))[:3].T[::7]


def carried(node, points, to_world):
    transform = vtkGeneralTransform()
    (node.GetTransformToWorld if to_world else node.GetTransformFromWorld)(transform)
    return np.array([transform.TransformPoint(point) for point in points])


def distance(first, second):
    return np.linalg.norm(np.subtract(first, second), axis=-1).max()


def test_there_and_back_is_within_a_tenth_of_a_voxel_in_the_whole_head(scene, result):
    points = head_points(scene.GetFirstNodeByName("MRI"))
    moving = carried(result.gridTransform, points, to_world=False)
    assert distance(carried(result.gridTransform, moving, to_world=True), points) < 0.1 * voxel
    back = carried(result.gridTransform, carried(result.gridTransform, moving, to_world=True), to_world=False)
    assert distance(back, moving) < 0.1 * voxel
    assert result.report.network_displacement.mean > 0.1 * voxel  # there was something to invert


def test_markups_and_models_hardened_and_unhardened_are_where_they_were(scene, result):
    points = carried(result.gridTransform, head_points(scene.GetFirstNodeByName("MRI"))[::20], to_world=False)
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    updateMarkupsControlPointsFromArray(markups, points)
    sphere = vtkSphereSource()
    sphere.SetRadius(40)
    sphere.SetCenter(points.mean(axis=0))
    sphere.Update()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode")
    model.SetAndObservePolyData(sphere.GetOutput())
    contents = {markups: arrayFromMarkupsControlPoints, model: arrayFromModelPoints}
    for node, read in contents.items():
        before = np.array(read(node))
        there = carried(result.gridTransform, before, to_world=True)
        node.SetAndObserveTransformNodeID(result.gridTransform.GetID())
        assert node.HardenTransform()
        assert distance(read(node), there) < 0.01 * voxel
        result.gridTransform.Inverse()
        node.SetAndObserveTransformNodeID(result.gridTransform.GetID())
        assert node.HardenTransform()
        result.gridTransform.Inverse()
        assert distance(read(node), before) < 0.1 * voxel


def test_a_segmentation_hardened_and_unhardened_keeps_its_closed_surface(scene, result):
    center = carried(result.gridTransform, [(5.0, -5.0, 5.0)], to_world=False)[0]
    sphere = vtkSphereSource()
    sphere.SetRadius(40)
    sphere.SetCenter(center)
    sphere.SetPhiResolution(20)
    sphere.SetThetaResolution(20)
    sphere.Update()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetSourceRepresentationToClosedSurface()
    segment = node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "Ball")

    def surface():
        closed = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        data = node.GetSegmentation().GetSegment(segment).GetRepresentation(closed)
        return np.array([data.GetPoint(n) for n in range(data.GetNumberOfPoints())])

    before = surface()
    for _ in range(2):
        node.SetAndObserveTransformNodeID(result.gridTransform.GetID())
        assert node.HardenTransform()
        result.gridTransform.Inverse()
    assert distance(surface(), before) < 0.1 * voxel


def test_beyond_the_grid_the_initial_transform_alone_acts_and_no_point_jumps(scene, result, start):
    parent = rigid((0, 0, 40), (10, 0, 0))
    expected = np.linalg.inv(parent) @ np.linalg.inv(start)
    way = np.linspace((0, 0, 0), (400, 30, -20), 4001)
    by_start = way @ expected[:3, :3].T + expected[:3, 3]
    added = carried(result.gridTransform, way, to_world=False) - by_start
    far = np.abs(way[:, 0]) > 300
    assert np.abs(added[far]).max() < 1e-3
    assert np.linalg.norm(np.diff(added, axis=0), axis=-1).max() < np.linalg.norm(way[1] - way[0])
