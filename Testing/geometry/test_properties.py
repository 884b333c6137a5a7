"""The grid transform carries points and voxels as the pipeline does, and back, wherever two volumes lie in space."""

from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as some
from slicer.util import (
    arrayFromMarkupsControlPoints,
    updateMarkupsControlPointsFromArray,
    updateTransformMatrixFromArray,
    vtkMatrixFromArray,
)
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from BSAFusionLib.geometry.fields import compose_field, compose_transform, fade_to_zero
from BSAFusionLib.geometry.folds import remove_folds
from BSAFusionLib.mrml.convert import (
    RAS_LPS,
    TransformContent,
    content_from_image,
    image_from_volume,
    transform_from_field,
    transform_from_node,
)
from BSAFusionLib.mrml.nodes import put_grid_transform, put_volume
from BSAFusionLib.mrml.placement import parent_to_world
from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline.calibration import uncalibrated
from BSAFusionLib.pipeline.observed import observe
from BSAFusionLib.pipeline.posterior import infer, posterior_field
from BSAFusionLib.pipeline.slicing import slice_grid
from Testing.scene.conftest import rigid

WAVELENGTH_MM = 300.0  # of the pattern in the images: smooth, so that interpolation hardly changes it
LARGEST_DISPLACEMENT_MM = 5.0  # of the network's field


@dataclass(frozen=True)
class Placed:
    """The placement of a volume: spacing (mm), axes, position (4 x 4) and parent transforms (4 x 4)."""

    spacing: tuple[float, float, float]
    axes: tuple[int, int, int]
    flips: tuple[int, int, int]
    place: np.ndarray
    parents: tuple[np.ndarray, ...]


degrees, mm = some.integers(-180, 180), some.integers(-99, 99)  # whole numbers, for people to read
rigids = some.builds(rigid, some.tuples(degrees, degrees, degrees), some.tuples(mm, mm, mm))
percent = some.integers(80, 125)
stretches = some.builds(lambda *percents: np.diag([*percents, 100]) / 100, percent, percent, percent)
shears = some.builds(lambda by: np.eye(4) + by / 100 * np.eye(4, k=1) * (1, 1, 1, 0), some.integers(-30, 30))
signs = some.sampled_from((1, -1))
placings = some.builds(
    Placed,
    some.tuples(*[some.sampled_from((2.5, 3.0, 4.0, 5.0))] * 3),
    some.permutations((0, 1, 2)).map(tuple),
    some.tuples(signs, signs, signs),
    rigids,
    some.lists(some.one_of(rigids, stretches, shears), max_size=2).map(tuple),
)
starts = some.builds(rigid, some.tuples(*[some.integers(-40, 40)] * 3), some.tuples(*[some.integers(-20, 20)] * 3))


@pytest.fixture(scope="module")
def application():
    return SlicerApp()


def shown(points: np.ndarray) -> np.ndarray:
    """Return a smooth pattern that differs everywhere near the origin; points (..., 3) in mm."""
    return np.sin(2 * np.pi / WAVELENGTH_MM * points @ [1.0, 0.3, -0.2]) + np.cos(
        2 * np.pi / WAVELENGTH_MM * points @ [0.2, 1, 0.9]
    )


def volume_around(center: np.ndarray, extent: float, how: Placed) -> sitk.Image:
    """Make a volume around a point of the world (LPS) with the voxels and axes of `how`."""
    image = sitk.Image([round(extent / spacing) for spacing in how.spacing], sitk.sitkFloat32)
    image.SetSpacing(how.spacing)
    image.SetDirection((how.place[:3, :3][:, how.axes] * how.flips).ravel().tolist())
    middle = image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in image.GetSize()])
    image.SetOrigin((center - np.array(middle)).tolist())
    return image


def points_of(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(
        sitk.PhysicalPointSource(
            sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
        )
    )


def filled(image: sitk.Image, values: np.ndarray) -> sitk.Image:
    new = sitk.GetImageFromArray(values.astype(np.float32))
    new.CopyInformation(image)
    return new


def into_scene(scene, image: sitk.Image, name: str, parents: tuple[np.ndarray, ...]):
    """Put an image in the scene, below parents that leave it where it lies in the world."""
    node = put_volume(scene, content_from_image(image), name)
    parent = None
    for matrix in parents:
        above, parent = parent, scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        updateTransformMatrixFromArray(parent, matrix)
        parent.SetAndObserveTransformNodeID(above.GetID() if above else None)
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
        node.ApplyTransformMatrix(vtkMatrixFromArray(np.linalg.inv(parent_to_world(node))))
    return node


def network_field(fixed: sitk.Image, axis: str, seed: int) -> sitk.Image:
    """Make a field as a network estimates it from slices across an axis: smooth, some mm, with a margin."""
    grid = slice_grid(fixed, axis, 32)
    along, rows, columns = np.mgrid[0 : 1 : grid.GetSize()[2] * 1j, 0:1:8j, 0:1:8j]
    waves = np.random.default_rng(seed).uniform(-1.5, 1.5, (2, 3))
    mean = np.stack([np.sin(a * rows + b * columns + c * along) for a, b, c in waves], axis=1)
    precision = np.tile(np.array((5.0, 5.0, 0.0), np.float32)[:, None, None], (len(mean), 1, 8, 8))
    evidence = Evidence(grid, (LARGEST_DISPLACEMENT_MM / grid.GetSpacing()[0] * mean).astype(np.float32), precision)
    posterior = infer(observe([evidence], fixed, (20.0, 20.0, 20.0)), uncalibrated(grid.GetSpacing()[0]))
    return remove_folds(fade_to_zero(posterior_field(posterior, fixed)))[0]


def to_itk(matrix: np.ndarray) -> sitk.AffineTransform:
    matrix = RAS_LPS @ matrix @ RAS_LPS
    return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())


@dataclass(frozen=True)
class Case:
    fixed: sitk.Image
    moving: sitk.Image
    moving_node: object
    network_field: sitk.Image
    start: sitk.Transform
    grid_transform: object


def make_case(scene, fixed_how: Placed, moving_how: Placed, start: np.ndarray, axis: str, seed: int) -> Case:
    """Make two volumes that show the same pattern, and the grid transform node of a field between them."""
    scene.Clear(False)
    center = (RAS_LPS @ fixed_how.place)[:3, 3]
    # From the nodes, as the logic takes them: so both are in the world, whatever their parents are.
    fixed = image_from_volume(into_scene(scene, volume_around(center, 60, fixed_how), "fixed", fixed_how.parents))
    start_itk = to_itk(start)
    moving = volume_around(np.array(start_itk.TransformPoint(center)), 160, moving_how)
    moving = filled(moving, shown(points_of(moving) - center))
    moving_node = into_scene(scene, moving, "moving", moving_how.parents)
    moving = image_from_volume(moving_node)
    field = network_field(fixed, axis, seed)
    from_parent = transform_from_field(field, start_itk, parent_to_world(moving_node))
    node = put_grid_transform(scene, TransformContent(from_parent, 10.0, 0.0, 10.0, np.eye(4), None), "grid")
    return Case(fixed, moving, moving_node, field, start_itk, node)


cases = some.tuples(placings, placings, starts, some.sampled_from(("auto", "i", "j", "k")), some.integers(0, 10**6))


@given(cases)
def test_hardening_the_moving_volume_is_the_pipelines_own_resampling(application, given_case):
    case = make_case(application.scene, *given_case)
    total = compose_transform(case.network_field, case.start)
    registered = sitk.Resample(case.moving, case.fixed, total, sitk.sitkLinear, -9.0)
    case.moving_node.SetAndObserveTransformNodeID(case.grid_transform.GetID())
    assert case.moving_node.HardenTransform()
    hardened = sitk.Resample(image_from_volume(case.moving_node), case.fixed, sitk.Transform(), sitk.sitkLinear, -9.0)
    expected, found = (sitk.GetArrayViewFromImage(image) for image in (registered, hardened))
    covered = (expected > -3) & (found > -3)
    assert covered.mean() > 0.5
    # Of values from -2 to 2: a shift of 0.6 mm shows. Slicer's cubic and ITK's linear interpolation of the field differ
    # by up to 0.026 on the coarsest grids.
    assert np.abs(expected - found)[covered].max() < 0.03


@given(cases)
def test_the_node_carries_every_voxel_of_the_fixed_volume_as_the_pipeline_does(application, given_case):
    case = make_case(application.scene, *given_case)
    points = points_of(case.fixed).reshape(-1, 3)[:: max(1, case.fixed.GetNumberOfPixels() // 300)]
    total = compose_transform(case.network_field, case.start)
    to_volume = np.linalg.inv(parent_to_world(case.moving_node))
    expected = np.array([total.TransformPoint(point) for point in points.tolist()]) * (-1, -1, 1)
    expected = expected @ to_volume[:3, :3].T + to_volume[:3, 3]
    from_world = vtkGeneralTransform()
    case.grid_transform.GetTransformFromWorld(from_world)
    found = np.array([from_world.TransformPoint(point) for point in points * (-1, -1, 1)])
    assert np.abs(found - expected).max() < 2e-3  # mm; the node's grid is of single precision


@given(cases)
def test_points_hardened_and_unhardened_are_where_they_were(application, given_case):
    case = make_case(application.scene, *given_case)
    from_world = vtkGeneralTransform()
    case.grid_transform.GetTransformFromWorld(from_world)
    on_fixed = points_of(case.fixed).reshape(-1, 3)[::97] * (-1, -1, 1)
    before = np.array([from_world.TransformPoint(point) for point in on_fixed])
    markups = application.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    updateMarkupsControlPointsFromArray(markups, before)
    for there in (on_fixed, before):
        markups.SetAndObserveTransformNodeID(case.grid_transform.GetID())
        assert markups.HardenTransform()
        case.grid_transform.Inverse()
        assert np.abs(arrayFromMarkupsControlPoints(markups) - there).max() < 0.1 * min(case.fixed.GetSpacing())


@given(placings, starts)
def test_an_initial_transform_and_its_inverse_cancel(application, how, start):
    scene = application.scene
    scene.Clear(False)
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    updateTransformMatrixFromArray(node, start)
    there = transform_from_node(node)
    node.Inverse()
    back = transform_from_node(node)
    fixed = volume_around(how.place[:3, 3], 40, how)
    nothing = sitk.Image(fixed.GetSize(), sitk.sitkVectorFloat64, 3)
    nothing.CopyInformation(fixed)
    for first, second in ((there, back), (back, there)):
        left = compose_field(nothing, sitk.CompositeTransform([first, second]))
        assert np.abs(sitk.GetArrayViewFromImage(left)).max() < 1e-6
    undone = compose_field(compose_field(nothing, there), back)
    assert np.abs(sitk.GetArrayViewFromImage(undone)).max() < 1e-6
