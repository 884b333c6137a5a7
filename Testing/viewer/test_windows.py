"""Windows in the viewer: the report's, or chosen as the report would; shared, and changed together."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from BSAFusionLib.mrml.convert import content_from_image
from BSAFusionLib.mrml.nodes import put_volume
from BSAFusionLib.mrml.overlay import color_by_value
from BSAFusionLib.report.overlay import OverlayWindow
from BSAFusionLib.viewer.page import _ends
from BSAFusionLib.viewer.shared_window import SharedWindow
from BSAFusionLib.viewer.windows import error_window, overlay_window
from Testing.phantoms import make_grid, make_head, small_head

FIRST = OverlayWindow(0.0, 10.0, "SUV")


def test_the_reports_window_counts() -> None:
    report = {"modality": "pet", "overlay": {"low": 0.0, "high": 8.5, "unit": "SUV", "color_map": "viridis"}}
    assert overlay_window(report, small_head(0)) == OverlayWindow(0.0, 8.5, "SUV", "viridis")


def test_without_one_a_pets_window_ends_where_few_of_the_head_are_above() -> None:
    pet = make_head(make_grid("axis-aligned"), "pet")
    window = overlay_window({"modality": "pet"}, pet)
    values = sitk.GetArrayFromImage(pet)
    assert (window.low, window.unit) == (0.0, "relative")
    assert 0 < (values > window.high).sum() < 0.01 * (values > 20).sum()


def test_without_one_a_cts_window_begins_with_bone() -> None:
    window = overlay_window({"modality": "ct"}, make_head(make_grid("axis-aligned"), "ct"))
    assert (window.low, window.unit) == (150.0, "HU")


def test_the_expected_error_has_the_window_of_its_values_in_the_head() -> None:
    values = np.mgrid[:5, :5, :5][2] / 4
    error = sitk.GetImageFromArray(np.where(values < 0.6, values, np.nan))
    assert error_window(error) == OverlayWindow(0.0, 0.5, "mm")


def test_the_expected_error_has_a_window_where_it_is_the_same_everywhere() -> None:
    window = error_window(sitk.GetImageFromArray(np.full((3, 3, 3), 0.7)))
    assert (window.low, window.high) == pytest.approx((0.7, 0.8))


@pytest.fixture
def scene() -> slicer.vtkMRMLScene:
    return slicer.vtkMRMLScene()


@pytest.fixture
def volumes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLVolumeNode]:
    nodes = [put_volume(scene, content_from_image(small_head(shift)), "PET") for shift in (0, 3)]
    for node in nodes:
        color_by_value(node, FIRST, "PET", FIRST.shown_from)
    return nodes


def ends(volume: slicer.vtkMRMLVolumeNode) -> tuple[float, float]:
    display = volume.GetDisplayNode()
    return display.GetWindowLevelMin(), display.GetWindowLevelMax()


def test_volumes_follow_the_one_whose_window_changes(volumes: list[slicer.vtkMRMLVolumeNode]) -> None:
    window = SharedWindow(volumes, FIRST, transparent=True)
    told = []
    window.changed = lambda: told.append(window.current)
    volumes[1].GetDisplayNode().SetWindowLevel(20.0, 15.0)
    assert [ends(volume) for volume in volumes] == [(5.0, 25.0)] * 2
    assert told == [OverlayWindow(5.0, 25.0, "SUV")]
    thresholds = [volume.GetDisplayNode().GetLowerThreshold() for volume in volumes]
    assert thresholds == pytest.approx([window.current.shown_from] * 2) and 5 < thresholds[0] < 10
    assert all(volume.GetDisplayNode().GetUpperThreshold() >= 800 for volume in volumes)  # the hottest stays
    window.reset()
    assert [ends(volume) for volume in volumes] == [(FIRST.low, FIRST.high)] * 2
    assert told[-1] == FIRST


def test_a_window_cannot_be_dragged_to_nothing(volumes: list[slicer.vtkMRMLVolumeNode]) -> None:
    window = SharedWindow(volumes, FIRST)
    volumes[0].GetDisplayNode().SetWindowLevel(0.0, 3.0)
    assert window.current.high > window.current.low
    assert [ends(volume) for volume in volumes] == [(3.0, pytest.approx(3.1))] * 2


def test_the_ends_of_a_dragged_window_are_written_without_a_negative_zero() -> None:
    assert _ends(OverlayWindow(-1e-9, 2.0, "SUV")) == ["0.0", "2.0", "SUV"]
