"""A run by the button, from the choice of two volumes to the result in the scene, and every way in which it may end."""

import gc
import json
import logging
import weakref

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromVolume

from BSAFusionLib.errors import FusionError
from BSAFusionLib.panel import progress as progress_module
from BSAFusionLib.panel.parameters import Modality, View
from BSAFusionLib.panel.progress import Progress
from Testing import harness
from Testing.panel.conftest import lattice, rigid, state


def outputs(ui):
    selectors = ui.fusedVolumeSelector, ui.gridTransformSelector, ui.registeredVolumeSelector
    return [selector.currentNode() for selector in selectors]


def figures_of(table):
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}


def test_the_button_waits_for_two_volumes_and_says_why(widget, heads):
    ui = widget.ui
    assert not ui.applyButton.enabled
    assert "no fixed volume" in ui.applyButton.toolTip
    ui.fixedVolumeSelector.setCurrentNode(heads[0])
    assert "no moving volume" in ui.applyButton.toolTip
    ui.movingVolumeSelector.setCurrentNode(heads[0])
    assert "both the fixed and the moving" in ui.applyButton.toolTip
    ui.movingVolumeSelector.setCurrentNode(heads[1])
    assert ui.applyButton.enabled


def test_a_click_puts_the_result_into_the_scene_and_shows_it(ready, finish, scene, heads):
    view = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    finish()
    ui = ready.ui
    fused, transform, registered = outputs(ui)
    assert [node.GetName() for node in (fused, transform, registered)] == [
        "MRI + PET (BSAFusion fused)",
        "PET to MRI",
        "PET registered",
    ]
    assert fused.IsA("vtkMRMLVectorVolumeNode")
    assert (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) == (heads[0].GetID(), registered.GetID())
    assert ui.messageLabel.text == "Done, but the result is doubtful: see the results."  # ellipsoids are no heads
    assert ui.warningsLabel.text.startswith("Doubtful: No head was found in either volume")
    assert ui.applyButton.visible
    assert not ui.cancelButton.visible
    parameters = ready.logic.getParameterNode()
    assert json.loads(parameters.report)["modality"] == "pet"
    assert parameters.fusedVolume is fused
    moved, expected = ui.summaryLabel.text.split("\n\n")
    assert moved.startswith("The PET was taken as it was placed; the network bent it by ")
    assert expected.startswith("The expected error is unknown for these weights; compare ")
    assert figures_of(ui.resultsTable)["Shift"] == "0.0 mm (R 0.0, A 0.0, S 0.0)"
    assert "Fraction applied" not in figures_of(ui.resultsTable)
    assert ui.detailsCollapsibleButton.collapsed
    details = figures_of(ui.detailsTable)
    assert (details["Device"], details["Fraction applied"]) == ("cpu", "100 %, unchecked")
    first = ui.detailsTable.item(0, 0)
    assert first.text() == "Mutual information"
    assert "not an error in mm" in first.toolTip()


def test_another_run_fills_the_same_nodes_also_while_the_moving_volume_lies_under_its_result(ready, finish, heads):
    finish()
    first = outputs(ready.ui)
    voxels = arrayFromVolume(first[2]).copy()
    heads[1].SetAndObserveTransformNodeID(None)
    ready.ui.viewComboBox.currentIndex = list(View).index(View.BLEND)
    harness.click(ready.ui.afterButton)
    assert heads[1].GetParentTransformNode() is first[1]
    finish()
    assert ready.ui.messageLabel.text.startswith("Done")
    assert outputs(ready.ui) == first
    np.testing.assert_array_equal(arrayFromVolume(first[2]), voxels)  # it was taken from where it lay before


def test_another_run_leaves_colors_and_window_as_the_user_set_them(ready, finish):
    finish()
    displays = [outputs(ready.ui)[n].GetDisplayNode() for n in (0, 2)]
    assert displays[0].GetWindow() == 255
    for display in displays:
        display.SetWindowLevel(70, 30)
    displays[1].SetAndObserveColorNodeID("vtkMRMLColorTableNodeRed")
    finish()
    assert ready.ui.messageLabel.text.startswith("Done")
    assert [(display.GetWindow(), display.GetLevel()) for display in displays] == [(70, 30)] * 2
    assert displays[1].GetColorNodeID() == "vtkMRMLColorTableNodeRed"


def test_an_output_that_was_another_volume_is_shown_again(ready, finish, add_head):
    other = add_head("Something else", "mri")
    other.GetDisplayNode().AutoWindowLevelOff()
    other.GetDisplayNode().SetWindowLevel(1, 5000)
    ready.ui.registeredVolumeSelector.setCurrentNode(other)
    finish()
    assert 5 < other.GetDisplayNode().GetWindow() < 10  # the uptake of the head, from zero on
    assert other.GetDisplayNode().GetColorNode().GetName() == "Inferno"


def test_another_moving_volume_gets_outputs_of_its_own(ready, finish, add_head, scene):
    finish()
    first = outputs(ready.ui)
    voxels = arrayFromVolume(first[2]).copy()
    other = add_head("Other PET", "pet")
    ready.ui.movingVolumeSelector.setCurrentNode(other)
    assert outputs(ready.ui) == [None] * 3
    finish()
    names = [node.GetName() for node in outputs(ready.ui)]
    assert names == ["MRI + Other PET (BSAFusion fused)", "Other PET to MRI", "Other PET registered"]
    np.testing.assert_array_equal(arrayFromVolume(first[2]), voxels)
    ready.ui.movingVolumeSelector.setCurrentNode(add_head("Third PET", "pet"))
    ready.ui.fusedVolumeSelector.setCurrentNode(first[0])  # chosen after the inputs, it is filled
    assert outputs(ready.ui) == [first[0], None, None]


def test_another_modality_gets_a_fused_volume_of_its_own(ready, finish):
    finish()
    in_color = ready.ui.fusedVolumeSelector.currentNode()
    ready.ui.modalityComboBox.currentIndex = list(Modality).index(Modality.CT)
    assert ready.ui.fusedVolumeSelector.currentNode() is None
    finish()
    assert ready.ui.fusedVolumeSelector.currentNode() not in (None, in_color)


def test_a_run_that_has_ended_keeps_no_volumes(ready, finish):
    prepared, filled = ready.logic.prepare, ready.logic.fill
    seen = []

    def prepare(**arguments):
        job = prepared(**arguments)
        seen.append(weakref.ref(job))
        return job

    def fill(job, computed):
        seen.append(weakref.ref(computed))
        return filled(job, computed)

    ready.logic.prepare, ready.logic.fill = prepare, fill
    finish()
    gc.collect()
    assert ready.ui.messageLabel.text.startswith("Done")
    assert [volumes() for volumes in seen] == [None, None]


def test_a_grid_so_small_that_the_panel_cannot_show_it_is_drawn_at_the_finest_it_can(ready, finish, add_head):
    small = lattice(spacing=(0.25, 0.25, 0.25))
    ready.ui.fixedVolumeSelector.setCurrentNode(add_head("Small MRI", "mri", small))
    ready.ui.movingVolumeSelector.setCurrentNode(add_head("Small PET", "pet", small))
    finish()
    assert ready.ui.messageLabel.text.startswith("Done")
    assert ready.logic.getParameterNode().gridSpacing == 1.0
    assert ready.ui.resultsCollapsibleButton.visible


def test_the_registered_volume_is_made_only_if_asked_for(ready, finish):
    harness.click(ready.ui.makeRegisteredCheckBox)
    finish()
    assert outputs(ready.ui)[2] is None
    assert outputs(ready.ui)[0] is not None


def test_while_it_runs_the_panel_shows_how_far_it_is_and_offers_only_to_cancel(ready, begin):
    begin()
    ui = ready.ui
    harness.wait_until(lambda: ui.progressBar.value == 50)
    assert "Aligning, slice 12 of 91" in ui.stageLabel.text
    assert ui.cancelButton.visible
    assert not ui.applyButton.visible
    assert not ui.inputsCollapsibleButton.enabled


def test_cancel_leaves_the_scene_as_it_was(ready, scene, begin):
    before = state(scene)
    begin()
    harness.click(ready.ui.cancelButton)
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    assert state(scene) == before
    assert ready.ui.messageLabel.text == "Stopped; nothing was changed."
    assert ready.ui.applyButton.enabled


def test_cancel_stops_the_computing_itself(ready, scene):
    before = state(scene)
    harness.click(ready.ui.applyButton)
    harness.click(ready.ui.cancelButton)
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    assert state(scene) == before


@pytest.mark.parametrize("which", ["fixed", "moving", "fused"])
def test_a_node_deleted_while_it_is_in_use_ends_the_run(which, ready, scene, heads, finish, begin):
    if which == "fused":
        finish()
    node = {"fixed": heads[0], "moving": heads[1], "fused": ready.ui.fusedVolumeSelector.currentNode()}[which]
    begin()
    names = {entry[1] for entry in state(scene)}
    scene.RemoveNode(node)
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    assert f"'{node.GetName()}' was removed while it was in use" in ready.ui.messageLabel.text
    assert {entry[1] for entry in state(scene)} <= names
    assert ready.ui.applyButton.visible


def test_a_node_deleted_while_it_is_chosen_leaves_a_panel_that_asks_for_another(ready, scene, heads):
    scene.RemoveNode(heads[1])
    assert ready.logic.getParameterNode().movingVolume is None
    assert not ready.ui.applyButton.enabled
    assert "choose" in ready.ui.applyButton.toolTip


def test_no_other_node_takes_the_place_of_an_output_that_is_deleted(ready, scene, finish, add_head):
    """Slicer's selector moves to the node of the next row, which the next run would fill."""
    ready.ui.makeExpectedErrorCheckBox.checked = False
    finish()
    add_head("Another volume")
    for selector in (ready.ui.registeredVolumeSelector, ready.ui.fusedVolumeSelector, ready.ui.gridTransformSelector):
        scene.RemoveNode(selector.currentNode())
    assert outputs(ready.ui) == [None] * 3
    assert ready.ui.applyButton.enabled


def test_closing_the_scene_lets_go_of_its_volumes_and_of_what_was_said_of_them(ready, scene, finish):
    finish()
    freed = []
    ready.ui.registeredVolumeSelector.currentNode().AddObserver("DeleteEvent", lambda *_: freed.append(True))
    scene.Clear()
    gc.collect()
    assert freed
    assert not ready.ui.messageFrame.visible


def test_closing_the_scene_ends_the_run(ready, scene, begin):
    begin()
    scene.Clear()
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    assert not ready.ui.applyButton.enabled
    assert ready.logic.getParameterNode().parameterNode.GetScene() is scene


def test_reloading_the_module_ends_the_run_and_leaves_a_panel_that_works(ready, scene, begin, control):
    begin()
    before = state(scene)
    slicer.util.reloadScriptedModule("BSAFusion")
    control.let_go()
    again = slicer.util.getModuleWidget("BSAFusion")
    assert again is not ready
    assert not again.run.running
    assert again.ui.applyButton.enabled
    harness.click(again.ui.applyButton)
    harness.wait_until(lambda: not again.run.running, seconds=60)
    assert len([entry for entry in state(scene) if entry[1] == "MRI + PET (BSAFusion fused)"]) == 1
    assert len(state(scene)) > len(before)


def test_a_second_start_while_one_runs_does_nothing(ready, begin, control):
    begin()
    job = ready.run._job
    ready.run.start()
    assert ready.run._job is job
    control.let_go()
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    assert ready.ui.messageLabel.text.startswith("Done")


def test_a_problem_that_the_user_can_fix_is_one_sentence(ready, scene, finish):
    ready.logic.getParameterNode().weights = "/nowhere/weights.safetensors"
    before = state(scene)
    finish()
    text = ready.ui.messageLabel.text
    assert text.startswith("There is no weights file")
    assert "Traceback" not in text
    assert state(scene) == before
    assert ready.ui.applyButton.enabled


@pytest.mark.parametrize("error", [RuntimeError("planted"), MemoryError()])
def test_a_bug_in_the_middle_is_reported_and_logged_and_changes_nothing(error, ready, scene, begin, control, caplog):
    before = state(scene)
    begin()
    control.fail(error)
    with caplog.at_level(logging.ERROR):
        control.let_go()
        harness.wait_until(lambda: not ready.run.running, seconds=60)
    assert type(error).__name__ in ready.ui.messageLabel.text
    assert "Traceback" not in ready.ui.messageLabel.text
    assert type(error).__name__ in caplog.text
    assert state(scene) == before
    assert ready.ui.applyButton.enabled


def test_a_bug_at_the_very_beginning_is_reported_too(ready, monkeypatch):
    monkeypatch.setattr(ready.logic, "prepare", lambda **_: 1 / 0)
    harness.click(ready.ui.applyButton)
    assert "ZeroDivisionError" in ready.ui.messageLabel.text
    assert ready.ui.applyButton.enabled


def test_an_error_while_the_scene_is_filled_gives_the_last_result_back(ready, scene, finish, monkeypatch):
    finish()
    fused, transform, registered = outputs(ready.ui)
    kept = fused.GetImageData(), registered.GetImageData(), transform.GetTransformFromParent()
    ids = [entry[0] for entry in state(scene)]

    def fail(*_):
        raise FusionError("Planted.")

    monkeypatch.setattr("BSAFusionLib.mrml.logic.draw_grid", fail)
    finish()
    assert ready.ui.messageLabel.text == "Planted."
    assert [entry[0] for entry in state(scene)] == ids
    assert outputs(ready.ui) == [fused, transform, registered]
    now = fused.GetImageData(), registered.GetImageData(), transform.GetTransformFromParent()
    assert now == kept


def test_folds_are_damped_unless_the_box_is_unticked(ready, begin):
    ready.ui.expertCollapsibleButton.collapsed = False
    harness.click(ready.ui.foldFreeCheckBox)
    begin()
    assert not ready.run._job.settings.fold_free
    harness.click(ready.ui.cancelButton)
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    harness.click(ready.ui.foldFreeCheckBox)
    begin()
    assert ready.run._job.settings.fold_free


def test_initialization_by_a_transform_needs_one(ready, add_transform):
    ui = ready.ui
    assert not ui.startTransformSelector.visible
    ui.startComboBox.currentIndex = 2
    assert ui.startTransformSelector.visible
    assert "Choose the initial transform" in ui.applyButton.toolTip
    ui.startTransformSelector.setCurrentNode(add_transform(rigid(shift=(1, 2, 3))))
    assert ui.applyButton.enabled


def test_the_time_left_is_shown_once_it_is_known(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    progress = Progress()
    assert progress.text("pre-alignment", 0.02, None) == "Rigid registration"
    clock[0] += 10
    assert progress.text("registration", 0.5, (12, 24)) == "Aligning, slice 12 of 24; about 10 s left"
    clock[0] += 990
    assert progress.text("registration", 0.5, (6, 24)).endswith("about 17 min left")
