"""The overlay in a scene: PET, SPECT and bone in color over the MRI, with a legend, as the report draws it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import slicer
from slicer.util import arrayFromVolume

from BSAFusionLib.color_maps import COLOR_MAPS
from BSAFusionLib.mrml.display import add_slice_views, show_volumes
from BSAFusionLib.mrml.hierarchy import unit_of
from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.mrml.overlay import ERROR_OPACITY, color_node, show_expected_error, show_overlay
from BSAFusionLib.mrml.rendering import OffscreenSliceView
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.pipeline.summary import doubt_of
from BSAFusionLib.report.overlay import OPACITY, blend, colors_at
from Testing.dicom.conftest import write_series
from Testing.scene.conftest import lattice, rigid


@pytest.fixture
def heads(add_head):
    return add_head("MRI"), add_head("PET", "pet", lattice(rigid((3, 0, 2))))


def legend_of(volume):
    return slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume.GetDisplayNode())


def layers(scene):
    return {
        (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID(), round(view.GetForegroundOpacity(), 3))
        for view in nodes_of_class(scene, "vtkMRMLSliceCompositeNode")
    }


def test_after_a_run_the_registered_volume_lies_in_color_over_the_fixed_one(application, scene, heads, process):
    add_slice_views(application.app_logic, scene)
    result = process(*heads)
    registered, window = result.registeredVolume, result.pictures.overlay
    display = registered.GetDisplayNode()
    assert layers(scene) == {(heads[0].GetID(), registered.GetID(), OPACITY)}
    assert display.GetColorNode().GetName() == "Inferno"
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((window.low, window.high))
    assert window.low < display.GetLowerThreshold() < 0.2 * window.high
    assert display.GetApplyThreshold()
    assert legend_of(registered).GetTitleText() == "PET (relative)"
    assert not result.gridTransform.GetDisplayNode().GetVisibility()  # its lines would hide the uptake


def test_a_slice_view_draws_what_the_report_draws(application, heads, process):
    fixed, _ = heads
    view = OffscreenSliceView(application, (300, 300))
    result = process(*heads)
    legend_of(result.registeredVolume).SetVisibility(False)
    view.look_at(fixed)
    gray = view.draw(fixed)[..., 0] / 255
    registered, window = result.registeredVolume, result.pictures.overlay
    drawn = view.draw(fixed, registered, OPACITY) / 255
    registered.GetDisplayNode().ApplyThresholdOff()
    registered.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    values = window.low + view.draw(registered)[..., 0] / 255 * (window.high - window.low)
    level = (values - window.low) / (window.high - window.low)
    clear = (level < 0.13) | ((level > 0.17) & (level < 1))  # elsewhere a step of the gray is a step of opacity
    assert (level[clear] > 0.17).sum() > 5000
    assert (level[clear] < 0.13).sum() > 5000
    assert np.abs(drawn - blend(gray, values, window))[clear].max() < 0.03


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_the_color_node_has_the_maps_own_colors_and_slicers_id(scene, name):
    """Of Slicer's PET maps, too, whose points are written down for programs without Slicer."""
    node = color_node(scene, name)
    kind = "PETProceduralColorNode" if "PET" in COLOR_MAPS[name].label else "ColorTableNodeFile"
    assert node.GetID().removesuffix(".txt") == f"vtkMRML{kind}{COLOR_MAPS[name].label}"
    assert not node.GetSaveWithScene()
    assert color_node(scene, name) is node
    table = node.CreateLookupTableCopy()
    drawn = [table.GetTableValue(entry)[:3] for entry in range(table.GetNumberOfTableValues())]
    np.testing.assert_allclose(drawn, colors_at(np.linspace(0, 1, len(drawn)), name), atol=0.01)


def test_a_scene_with_slicers_colors_keeps_them(scene):
    logic = slicer.vtkMRMLColorLogic()
    logic.SetMRMLScene(scene)
    slicers = scene.GetNodeByID("vtkMRMLPETProceduralColorNodePET-DICOM")
    assert slicers is not None
    assert color_node(scene, "pet-dicom") is slicers


def test_the_chosen_color_map_is_that_of_the_registered_volume(heads, process):
    result = process(*heads, color_map="pet-dicom")
    display = result.registeredVolume.GetDisplayNode()
    assert display.GetColorNode().GetName() == "PET-DICOM"
    assert result.pictures.overlay.color_map == "pet-dicom"
    assert "color_map='pet-dicom'" in result.record.command


def test_the_legend_stands_beside_the_overlay_alone(application, heads, process):
    view = OffscreenSliceView(application, (300, 300))
    result = process(*heads)
    view.look_at(heads[0])

    def right_of_the_head():
        return view.picture()[:, 280:].max()

    show_overlay(heads[0], result.registeredVolume)
    assert right_of_the_head() > 200
    show_volumes(result.fusedVolume)
    assert right_of_the_head() < 100


def test_the_legend_follows_the_window_and_the_colors_that_are_set_under_volumes(application, heads, process):
    view = OffscreenSliceView(application, (300, 300))
    result = process(*heads)
    view.look_at(heads[0])
    show_overlay(heads[0], result.registeredVolume)
    display = result.registeredVolume.GetDisplayNode()

    def legend():
        return view.picture()[:, 240:].astype(int)

    pictures = [legend()]
    numbers = {legend_of(result.registeredVolume).GetLabelFormat() % value for value in (0, 7.35, 0.1, 0.125, 0.15)}
    assert numbers == {"0", "7.35", "0.1", "0.125", "0.15"}  # of another window, too
    display.SetWindowLevelMinMax(1, 40)
    pictures.append(legend())
    display.SetAndObserveColorNodeID(color_node(application.scene, "viridis").GetID())
    pictures.append(legend())
    changed = [np.abs(after - before).max(axis=-1) > 60 for before, after in pairwise(pictures)]
    assert [part.sum() > 50 for part in changed] == [True, True]  # other numbers, then other colors
    green = pictures[2][..., 1] - pictures[2][..., 0] > 60
    assert green[:, -40:].any() and not (pictures[1][..., 1] - pictures[1][..., 0] > 60).any()


@pytest.mark.parametrize(
    ("value", "title"),
    [
        ("{SUVbw}g/ml", "PET (SUV)"),
        ("{SUVlbm}g/ml", "PET (SUV lbm)"),
        ("Bq/mL", "PET (Bq/mL)"),
        ("1", "PET (relative)"),
        (None, "PET (relative)"),
    ],
)
def test_the_legend_has_the_unit_that_slicer_stores_with_the_moving_volume(value, title, heads, process):
    if value is not None:
        units = slicer.vtkCodedEntry()
        units.SetValueSchemeMeaning(value, "UCUM", "a unit")
        heads[1].SetVoxelValueUnits(units)
    registered = process(*heads).registeredVolume
    assert legend_of(registered).GetTitleText() == title
    if value is not None:
        assert registered.GetVoxelValueUnits().GetCodeValue() == value


class DicomDatabase:
    """Answers as Slicer's database of DICOM files does: with the text of a tag in the file of an instance."""

    def __init__(self, folder):
        self.headers = [pydicom.dcmread(path) for path in folder.iterdir()]

    def instanceValue(self, instance, tag):
        (header,) = (header for header in self.headers if instance == header.SOPInstanceUID)
        return str(header[tag.replace(",", "")].value) if tag.replace(",", "") in header else ""


@pytest.mark.parametrize(
    ("tags", "title"),
    [
        ({"Units": "BQML"}, "PET (Bq/mL)"),
        ({"Units": "CNTS"}, "PET (counts)"),
        ({"Units": "GML"}, "PET (SUV)"),
        ({"Units": "GML", "SUVType": "LBMJAMES128"}, "PET (SUV lbmjames128)"),
        ({}, "PET (relative)"),
    ],
)
def test_of_a_pet_from_slicers_dicom_import_the_files_tell_the_unit(tags, title, heads, process, tmp_path, monkeypatch):
    write_series(tmp_path, sitk.Image(8, 8, 3, sitk.sitkInt16), "PT", **tags)
    database = DicomDatabase(tmp_path)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    heads[1].SetAttribute("DICOM.instanceUIDs", " ".join(header.SOPInstanceUID for header in database.headers))
    registered = process(*heads).registeredVolume
    assert legend_of(registered).GetTitleText() == title
    assert unit_of(registered) == unit_of(heads[1])  # so that another run of it has it, too


@pytest.mark.parametrize(("added", "unit"), [(0, "HU"), (-1024, "HU -1024"), (1024, "HU +1024")])
def test_of_a_ct_the_bone_is_shown_also_where_its_values_were_shifted(added, unit, add_head, process):
    ct = add_head("CT", "ct")
    arrayFromVolume(ct)[:] += added
    result = process(add_head("MRI"), ct, modality="ct")
    assert result.pictures.overlay.low == 150 + added
    assert legend_of(result.registeredVolume).GetTitleText() == f"CT ({unit})"


def test_a_pet_in_color_keeps_its_colors_and_is_transparent_where_it_is_dark(application, add_head, process):
    view = OffscreenSliceView(application, (200, 200))
    fixed = add_head("MRI")
    result = process(fixed, add_head("PET", "rgb"))
    view.look_at(fixed)
    drawn, own, gray = (
        layers.astype(int)
        for layers in (
            view.draw(fixed, result.registeredVolume, OPACITY),
            view.draw(result.registeredVolume),
            view.draw(fixed),
        )
    )
    assert legend_of(result.registeredVolume) is None  # a map of values is not its own
    bright, dark = own.min(axis=-1) > 80, own.max(axis=-1) == 0
    assert np.abs(drawn - (OPACITY * own + (1 - OPACITY) * gray))[bright].max() <= 2
    np.testing.assert_array_equal(drawn[dark], gray[dark])


def test_a_node_that_is_filled_again_keeps_the_display_that_the_user_gave_it(heads, process):
    first = process(*heads)
    display = first.registeredVolume.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.SetWindowLevelMinMax(1, 2)
    process(*heads, first.fusedVolume, first.gridTransform, first.registeredVolume)
    assert display.GetColorNode().GetName() == "Grey"
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (1, 2)


def test_the_highest_values_of_a_later_run_are_shown_and_the_legend_names_its_quantity(heads, process):
    """They would be above the threshold of the former run, and so look like no uptake at all."""
    first = process(*heads)
    display = first.registeredVolume.GetDisplayNode()
    display.SetLowerThreshold(0.5)  # the user's
    arrayFromVolume(heads[1])[:] *= 3
    heads[1].GetImageData().Modified()
    outputs = first.fusedVolume, first.gridTransform, first.registeredVolume
    most = arrayFromVolume(process(*heads, *outputs, modality="spect").registeredVolume).max()
    assert display.GetLowerThreshold() == 0.5
    assert display.GetUpperThreshold() >= most > 15
    assert legend_of(first.registeredVolume).GetTitleText() == "SPECT (relative)"


def test_a_threshold_that_hides_the_highest_values_stays(heads, process):
    first = process(*heads)
    display = first.registeredVolume.GetDisplayNode()
    display.SetUpperThreshold(3.0)  # the user's
    process(*heads, first.fusedVolume, first.gridTransform, first.registeredVolume)
    assert display.GetUpperThreshold() == 3.0


def test_the_fused_volume_says_what_its_brightness_shows(add_head, heads, process):
    assert "Read no uptake from it" in process(*heads).fusedVolume.GetDescription()
    assert "nor Hounsfield units" in process(heads[0], add_head("CT", "ct"), modality="ct").fusedVolume.GetDescription()


def test_the_nodes_of_a_doubtful_result_say_so_until_a_later_run_is_not_doubtful(heads, weights):
    logic, choices = BSAFusionLogic(), {"weights": weights, "device": "cpu", "prealignment": "none", "modality": "pet"}
    computed = logic.compute(job := logic.prepare(*heads, **choices))
    first = logic.fill(job, computed)
    doubt = doubt_of(first.report.as_dict())
    nodes = {name: getattr(first, name) for name in ("fusedVolume", "registeredVolume", "gridTransform")}
    assert doubt and all(node.GetDescription().startswith(doubt) for node in nodes.values())
    right = replace(computed.report, verdict=replace(first.verdict, doubtful=False, reasons=()))
    logic.fill(logic.prepare(*heads, outputs=nodes, **choices), replace(computed, report=right))
    assert not any("Doubtful" in (node.GetDescription() or "") for node in nodes.values())


def test_the_expected_error_is_a_volume_in_mm_in_color_over_the_fixed_volume(application, add_head):
    """With the shipped weights, which are calibrated."""
    view = OffscreenSliceView(application, (200, 200))
    fixed = add_head("MRI")
    choices = {"device": "cpu", "prealignment": "none", "modality": "pet", "three_axes": False}
    outputs = {"makeExpectedError": True}
    result = BSAFusionLogic().process(fixed, add_head("PET", "pet"), outputs=outputs, **choices)
    error = result.expectedErrorVolume
    assert error.GetName() == "PET to MRI (expected error)"
    assert result.verdict.doubtful  # ellipsoids are no heads
    assert legend_of(error).GetTitleText() == "Expected error, if right (mm)"
    display, values = error.GetDisplayNode(), arrayFromVolume(error)
    least, most = np.nanmin(values), np.nanmax(values)
    assert 0 < least <= display.GetWindowLevelMin() < display.GetWindowLevelMax() <= most
    assert least < result.report.expected_error.head < most
    legend_of(error).SetVisibility(False)
    view.look_at(fixed)
    gray = view.draw(fixed).astype(int)
    show_expected_error(fixed, error)
    drawn = view.draw(fixed, error, ERROR_OPACITY).astype(int)
    in_color = np.ptp(drawn, axis=-1) > 5
    assert in_color[gray[..., 0] > 70].mean() > 0.95
    np.testing.assert_array_equal(drawn[gray[..., 0] < 3], gray[gray[..., 0] < 3])  # outside the head

    logic, again = BSAFusionLogic(), {"outputs": {"expectedErrorVolume": error}, **choices}
    job = logic.prepare(fixed, result.registeredVolume, **again)
    computed = logic.compute(job)
    unknown = replace(computed, expectedError=None)  # as with weights that are not calibrated
    assert logic.fill(job, unknown).expectedErrorVolume is None
    assert error.GetImageData() is not None  # that of the PET
    assert logic.fill(job, computed).expectedErrorVolume is error
    assert error.GetImageData() is not None
    of_error = error, display, legend_of(error)
    assert logic.fill(job, unknown).expectedErrorVolume is None
    assert [node.GetScene() for node in of_error] == [None] * 3  # else they would stay beside those of the next run
