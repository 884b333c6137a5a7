"""The head in 3D is closed and in its place, and its cuts show what the slice views show there."""

from collections.abc import Iterator

import numpy as np
import pytest
import SimpleITK as sitk
from slicer.util import arrayFromVTKMatrix
from trame_slicer.core import SlicerApp
from trame_slicer.views import NoScheduleRendering, SliceView
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkFeatureEdges, vtkMassProperties

from BSAFusionLib.files.vtk_messages import quiet
from BSAFusionLib.mrml.convert import content_from_image
from BSAFusionLib.mrml.display import link_and_fit, show_volumes
from BSAFusionLib.mrml.nodes import put_volume
from BSAFusionLib.mrml.rendering import require_opengl
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.viewer.cut_head import CutHead
from Testing.phantoms import make_grid, make_head

WINDOW = 0.0, 255.0


@pytest.fixture
def application() -> SlicerApp:
    return SlicerApp()


@pytest.fixture(params=["axis-aligned", "oblique"])
def head(request: pytest.FixtureRequest) -> sitk.Image:
    return make_head(make_grid(request.param), "mri")


@pytest.fixture
def view(application: SlicerApp, head: sitk.Image) -> Iterator[SliceView]:
    """A coronal view of the head."""
    require_opengl()
    with quiet():
        view = SliceView(
            application.scene, application.app_logic, "Green", scheduled_render_strategy=NoScheduleRendering()
        )
        view.render_window().SetSize(300, 200)
        view.update_size(300, 200)
    view.set_orientation("Coronal")
    volume = put_volume(application.scene, content_from_image(head), "MRI", window=WINDOW)
    show_volumes(volume)
    link_and_fit(application.app_logic, volume)
    yield view
    view.interactor().RemoveAllObservers()
    view.finalize()


@pytest.fixture
def cut(application: SlicerApp, head: sitk.Image, view: SliceView) -> CutHead:
    cut = CutHead(application.scene, head_mask(head))
    cut.follow([view], application.app_logic)
    return cut


def surface_of(application: SlicerApp, name: str) -> vtkPolyData:
    return application.scene.GetFirstNodeByName(name).GetPolyData()


def area_and_volume(surface: vtkPolyData) -> tuple[float, float]:
    mass = vtkMassProperties()
    mass.SetInputData(surface)
    return mass.GetSurfaceArea(), mass.GetVolume()


def test_the_surface_is_closed_and_lies_where_the_head_is(application: SlicerApp, head: sitk.Image) -> None:
    mask = head_mask(head)
    CutHead(application.scene, mask)
    surface = surface_of(application, "Head")
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    left, posterior, superior = shape.GetCentroid(1)
    assert np.array(surface.GetCenter()) == pytest.approx((-left, -posterior, superior), abs=4.0)
    assert area_and_volume(surface)[1] == pytest.approx(shape.GetPhysicalSize(1), rel=0.05)
    edges = vtkFeatureEdges()
    edges.SetInputData(surface)
    edges.FeatureEdgesOff()
    edges.Update()
    assert edges.GetOutput().GetNumberOfCells() == 0  # neither open nor doubled


def test_a_cut_is_the_heads_area_in_the_slice(
    application: SlicerApp, head: sitk.Image, view: SliceView, cut: CutHead
) -> None:
    face = surface_of(application, "Cut Green")
    slice_to_ras = arrayFromVTKMatrix(view.get_view_node().GetSliceToRAS())
    points = vtk_to_numpy(face.GetPoints().GetData())
    depths = (points - slice_to_ras[:3, 3]) @ slice_to_ras[:3, 2]
    assert np.abs(depths).max() < 0.01  # mm
    mask = head_mask(head)
    across, up = (np.arange(-150.0, 150.0) for _ in range(2))
    lattice = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2) @ slice_to_ras[:3, :2].T
    inside = [at(mask, point) for point in lattice + points.mean(axis=0) if mask_holds(mask, point)]
    assert area_and_volume(face)[0] == pytest.approx(sum(inside), rel=0.05)  # of squares of 1 mm


def test_a_cut_bears_what_the_volume_is_there(
    application: SlicerApp, head: sitk.Image, view: SliceView, cut: CutHead
) -> None:
    node = application.scene.GetFirstNodeByName("Cut Green")
    points = vtk_to_numpy(node.GetPolyData().GetPoints().GetData()).astype(float)
    places = vtk_to_numpy(node.GetPolyData().GetPointData().GetTCoords()).astype(float)
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 2000)  # points within, between three of the outline
    corners = np.random.default_rng(1).integers(len(points), size=(2000, 3))
    inner = np.einsum("nc,ncd->nd", weights, points[corners])
    texture = node.GetDisplayNode().GetTextureImageDataConnection().GetProducer()
    texture.Update()
    columns, rows, _ = texture.GetOutput().GetDimensions()
    colors = vtk_to_numpy(texture.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
    column, row = (np.einsum("nc,ncd->nd", weights, places[corners]) * (columns, rows)).T
    drawn = colors[row.astype(int), column.astype(int), 0].astype(float)
    values = np.array([at(head, point) for point in inner])
    assert np.ptp(values) > 100
    assert np.corrcoef(drawn, values)[0, 1] > 0.96  # half a pixel beside it would be 0.95
    assert np.median(np.abs(drawn - np.clip(values, *WINDOW))) < 6


def test_a_cut_follows_its_slice(application: SlicerApp, view: SliceView, cut: CutHead) -> None:
    before = surface_of(application, "Cut Green").GetCenter()
    view.set_slice_value(view.get_slice_value() + 20.0)
    after = surface_of(application, "Cut Green").GetCenter()
    normal = arrayFromVTKMatrix(view.get_view_node().GetSliceToRAS())[:3, 2]
    assert np.subtract(after, before) @ normal == pytest.approx(20.0, abs=1.0)


def test_a_slice_beside_the_head_cuts_nothing(application: SlicerApp, view: SliceView, cut: CutHead) -> None:
    view.set_slice_value(view.get_slice_range()[1] + 300.0)
    assert surface_of(application, "Cut Green").GetNumberOfPolys() == 0


def test_the_head_can_be_whole(application: SlicerApp, cut: CutHead) -> None:
    displays = [application.scene.GetFirstNodeByName(name).GetDisplayNode() for name in ("Head", "Cut Green")]
    assert displays[0].GetClipping() and displays[1].GetVisibility()
    cut.show(is_cut=False)
    assert not displays[0].GetClipping() and not displays[1].GetVisibility()


def at(image: sitk.Image, ras: np.ndarray) -> float:
    """Return an image's value at a point in RAS."""
    return image.EvaluateAtPhysicalPoint((-ras[0], -ras[1], ras[2]), sitk.sitkLinear)


def mask_holds(image: sitk.Image, ras: np.ndarray) -> bool:
    index = image.TransformPhysicalPointToContinuousIndex((-ras[0], -ras[1], ras[2]))
    return all(0 <= along <= size - 1 for along, size in zip(index, image.GetSize(), strict=True))
