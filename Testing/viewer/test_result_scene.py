"""What the viewer puts into a scene: the overlay as panel and report show it, grids, the error map, the head."""

from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk
import slicer
from slicer.util import arrayFromTransformMatrix, arrayFromVolume
from trame_slicer.core import SlicerApp

from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.viewer.result_folder import read_result
from BSAFusionLib.viewer.result_scene import ResultScene
from Testing.viewer.conftest import BENT_MM, ERROR_MM


@pytest.fixture
def application() -> SlicerApp:
    return SlicerApp()


@pytest.fixture
def shown(application: SlicerApp, bent_result: Path) -> ResultScene:
    return ResultScene(application, read_result(bent_result))


def test_all_that_can_lie_over_the_mri_is_offered(shown: ResultScene) -> None:
    assert list(shown.overlays) == ["Before", "Rigid initialization", "Registered", "BSAFusion fused", "Expected error"]


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        ({"moving": None}, ["Registered", "BSAFusion fused"]),
        ({"has_initialization": False}, ["Before", "Registered", "BSAFusion fused"]),
    ],
)
def test_what_does_not_exist_is_not_offered(
    application: SlicerApp, result: Path, change: dict, labels: list[str]
) -> None:
    assert list(ResultScene(application, replace(read_result(result), **change)).overlays) == labels


@pytest.mark.parametrize("label", ["Before", "Rigid initialization", "Registered"])
def test_the_moving_volume_is_shown_as_the_report_shows_it(shown: ResultScene, bent_result: Path, label: str) -> None:
    display, window = shown.overlays[label].GetDisplayNode(), read_result(bent_result).window
    assert shown.bar_window(label) == window
    assert display.GetColorNode().GetName() == "Inferno"
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((window.low, window.high))
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == pytest.approx(window.shown_from)
    assert display.GetUpperThreshold() >= arrayFromVolume(shown.overlays[label]).max()
    assert not slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display).GetVisibility()  # the page has its own


def test_a_moving_volume_in_color_keeps_its_colors_and_has_no_color_bar(
    application: SlicerApp, bent_result: Path
) -> None:
    found = read_result(bent_result)
    color = sitk.Cast(sitk.Compose([sitk.RescaleIntensity(found.registered, 0, 200)] * 3), sitk.sitkVectorUInt8)
    shown = ResultScene(application, replace(found, registered=color, moving=color))
    displays = [shown.overlays[label].GetDisplayNode() for label in ("Before", "Rigid initialization", "Registered")]
    displays[0].SetWindowLevelMinMax(20, 90)  # as dragging does
    assert {(display.GetWindowLevelMin(), display.GetWindowLevelMax()) for display in displays} == {(20, 90)}
    shown.windows["Registered"].reset()
    assert {(display.GetWindowLevelMin(), display.GetWindowLevelMax()) for display in displays} == {(0, 255)}
    assert displays[2].GetLowerThreshold() == pytest.approx(found.window.shown_from)
    with_bar = [label for label in shown.overlays if shown.bar_window(label) is not None]
    assert with_bar == ["Expected error"]
    assert slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(displays[2]) is None


def test_the_rigid_initialization_moves_the_volume_as_the_deformation_does_far_from_the_mri(
    shown: ResultScene, bent_result: Path
) -> None:
    transform = sitk.ReadTransform(str(bent_result / "deformation.h5"))
    x, y, z = transform.TransformPoint((-900.0, 900.0, 0.0))  # LPS, where there is no network's part
    to_world = arrayFromTransformMatrix(shown.overlays["Rigid initialization"].GetParentTransformNode())
    assert to_world @ (-x, -y, z, 1) == pytest.approx((900, -900, 0, 1), abs=1e-3)


def test_the_expected_error_is_shown_in_the_head_alone(shown: ResultScene, bent_result: Path) -> None:
    node, found = shown.overlays["Expected error"], read_result(bent_result)
    values = arrayFromVolume(node)
    drawn = values[values >= node.GetDisplayNode().GetLowerThreshold()]
    assert node.GetDisplayNode().GetApplyThreshold()
    assert drawn.mean() == pytest.approx(ERROR_MM, abs=0.03)
    share = (sitk.GetArrayFromImage(head_mask(found.fixed)) > 0).mean()
    assert drawn.size / values.size == pytest.approx(share, abs=0.05)
    low, high = shown.windows["Expected error"].current.low, shown.windows["Expected error"].current.high
    assert ERROR_MM - 0.25 <= low < drawn.min() + 0.05 and drawn.max() - 0.05 < high <= ERROR_MM + 0.25


def test_the_grid_of_the_networks_part_is_offered_beside_the_total(shown: ResultScene) -> None:
    assert list(shown.grids) == ["Total", "Network's part"]
    assert shown.displacement_range("Network's part") == pytest.approx((0.0, BENT_MM), abs=0.2)
    assert shown.displacement_range("Total")[1] > 15  # 10 mm and a turn of 0.3


def test_one_grid_is_shown_at_a_time(shown: ResultScene) -> None:
    def seen(label: str) -> tuple[bool, bool]:
        display = shown.grids[label].GetDisplayNode()
        visible = bool(display.GetVisibility())
        return visible and bool(display.GetVisibility2D()), visible and bool(display.GetVisibility3D())

    assert (seen("Total"), seen("Network's part")) == ((False, False), (False, False))
    shown.show_grid("Network's part", in_slices=True, in_3d=False)
    assert (seen("Total"), seen("Network's part")) == ((False, False), (True, False))
    shown.show_grid("Total", in_slices=False, in_3d=True)
    assert (seen("Total"), seen("Network's part")) == ((False, True), (False, False))


def test_the_registered_volume_has_values_where_the_deformation_leads_into_the_moving_one(
    application: SlicerApp, bent_result: Path
) -> None:
    found = read_result(bent_result)
    half = found.moving[: found.moving.GetWidth() // 2, :, :]
    total, grid = sitk.ReadTransform(str(bent_result / "deformation.h5")), found.registered
    inside = sitk.Resample(half * 0 + 1, grid, total, sitk.sitkNearestNeighbor)
    voxels = [(column, row, 5) for column in range(0, grid.GetWidth(), 4) for row in range(0, grid.GetHeight(), 4)]
    points = [grid.TransformIndexToPhysicalPoint(voxel) for voxel in voxels]
    for moving, expected in ((half, [inside[voxel] == 1 for voxel in voxels]), (None, [True] * len(voxels))):
        probes = ResultScene(application, replace(found, moving=moving)).probes("Registered")
        (registered,) = [probe for probe in probes if probe.name == "PET registered"]
        assert [not registered.read(point).endswith(": outside") for point in points] == expected
    assert 0.2 < sum(inside[voxel] for voxel in voxels) / len(voxels) < 0.7


def test_a_network_that_adds_nothing_has_no_grid(application: SlicerApp, result: Path) -> None:
    assert list(ResultScene(application, read_result(result)).grids) == ["Total"]
