"""The result is shown as chosen: fused, blended, as a checkerboard, before and after, under its grid."""

import json

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromTransformMatrix, arrayFromVolume, vtkMatrixFromArray

from BSAFusionLib.mrml.placement import FILLED_FROM
from BSAFusionLib.panel.parameters import View, kept_results
from BSAFusionLib.report.overlay import OPACITY
from Testing import harness
from Testing.panel.conftest import lattice, rigid

views = list(View)


@pytest.fixture
def done(ready, scene, finish):
    """The panel after a run, with three slice views."""
    for name in ("Red", "Green", "Yellow"):
        scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name)
    finish()
    return ready


@pytest.fixture
def parameters(done):
    return done.logic.getParameterNode()


def choose(widget, view):
    widget.ui.viewComboBox.currentIndex = views.index(view)


def layers(scene):
    """Return background, foreground and opacity of each slice view."""
    composites = [scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode") for n in range(3)]
    return {
        (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID(), round(view.GetForegroundOpacity(), 6))
        for view in composites
    }


def test_nothing_can_be_looked_at_before_there_is_a_result(ready):
    assert not ready.ui.viewsCollapsibleButton.visible
    assert not ready.ui.resultsCollapsibleButton.visible


def test_the_blend_goes_from_the_fixed_to_the_moving_volume(done, scene, heads):
    choose(done, View.BLEND)
    assert layers(scene) == {(heads[0].GetID(), heads[1].GetID(), 0.5)}
    done.ui.blendSlider.value = 0.8
    assert layers(scene) == {(heads[0].GetID(), heads[1].GetID(), 0.8)}
    choose(done, View.FUSED)
    assert {layer[:2] for layer in layers(scene)} == {(done.ui.fusedVolumeSelector.currentNodeID, None)}


def test_before_and_after_take_the_moving_volume_out_of_and_under_the_transform(done, heads, add_transform):
    parent = add_transform(rigid(shift=(1, 2, 3)))
    heads[1].SetAndObserveTransformNodeID(parent.GetID())
    choose(done, View.BLEND)
    harness.click(done.ui.afterButton)
    assert heads[1].GetParentTransformNode() is done.ui.gridTransformSelector.currentNode()
    assert done.ui.afterButton.checked
    harness.click(done.ui.beforeButton)
    assert heads[1].GetParentTransformNode() is parent
    assert done.ui.beforeButton.checked


def test_a_volume_that_the_user_put_under_the_result_goes_back_to_where_the_run_found_it(
    done, finish, heads, add_transform
):
    parent = add_transform(rigid(shift=(1, 2, 3)))
    heads[1].SetAndObserveTransformNodeID(parent.GetID())
    finish()
    heads[1].SetAndObserveTransformNodeID(done.ui.gridTransformSelector.currentNodeID)
    choose(done, View.BLEND)
    harness.click(done.ui.beforeButton)
    assert heads[1].GetParentTransformNode() is parent
    heads[1].SetAndObserveTransformNodeID(done.ui.gridTransformSelector.currentNodeID)
    finish()
    assert done.ui.messageLabel.text.startswith("Done")


def test_a_result_that_is_deleted_gives_back_what_lay_under_it(done, finish, heads, add_transform, scene):
    parent = add_transform(rigid(shift=(1, 2, 3)))
    heads[1].SetAndObserveTransformNodeID(parent.GetID())
    choose(done, View.BLEND)
    harness.click(done.ui.afterButton)
    scene.RemoveNode(done.ui.gridTransformSelector.currentNode())
    assert heads[1].GetParentTransformNode() is parent


def test_a_volume_that_was_hardened_stays_where_it_is_when_the_result_is_deleted(
    done, finish, heads, add_transform, scene
):
    heads[1].SetAndObserveTransformNodeID(add_transform(rigid(shift=(1, 2, 3))).GetID())
    choose(done, View.BLEND)
    harness.click(done.ui.afterButton)
    heads[1].HardenTransform()
    scene.RemoveNode(done.ui.gridTransformSelector.currentNode())
    assert heads[1].GetParentTransformNode() is None


def test_a_volume_that_was_hardened_is_not_moved_a_second_time(done, finish, heads):
    choose(done, View.BLEND)
    done.ui.flickerRateSpinBox.value = 10
    harness.click(done.ui.flickerCheckBox)
    harness.wait_until(lambda: heads[1].GetParentTransformNode() is not None)
    heads[1].HardenTransform()
    harness.wait_until(lambda: not done.ui.flickerCheckBox.checked)
    assert heads[1].GetParentTransformNode() is None
    assert "was moved or hardened since this result; run again" in done.ui.viewNoteLabel.text
    assert [done.ui.beforeButton.enabled, done.ui.afterButton.enabled, done.ui.flickerCheckBox.enabled] == [1, 0, 0]
    done.ui.afterButton.enabled = True  # as it was before the panel could know
    harness.click(done.ui.afterButton)
    assert heads[1].GetParentTransformNode() is None
    finish()
    assert done.ui.afterButton.enabled
    assert not done.ui.viewNoteLabel.visible


def test_choices_of_the_grid_leave_the_views_volumes_alone(done, parameters, scene, heads):
    for n in range(3):
        scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode").SetBackgroundVolumeID(heads[0].GetID())
    parameters.gridSpacing = 20.0
    assert {layer[0] for layer in layers(scene)} == {heads[0].GetID()}
    choose(done, View.BLEND)
    choose(done, View.FUSED)
    assert {layer[0] for layer in layers(scene)} == {done.ui.fusedVolumeSelector.currentNodeID}


def test_the_result_is_shown_as_an_overlay_at_first(done, parameters, scene, heads):
    assert layers(scene) == {(heads[0].GetID(), parameters.reportRegisteredVolume.GetID(), OPACITY)}
    assert "change the window under Volumes" in done.ui.viewNoteLabel.text
    choose(done, View.FUSED)
    assert "Read no uptake from it" in done.ui.viewNoteLabel.text
    choose(done, View.BLEND)
    assert not done.ui.viewNoteLabel.visible


def test_a_checkerboard_can_be_made_of_a_volume_that_is_not_shown(done, parameters, heads):
    heads[0].SetAndObserveDisplayNodeID(None)
    choose(done, View.CHECKERBOARD)
    assert parameters.checkerboardVolume is not None


def test_another_pair_gets_a_checkerboard_of_its_own(done, parameters, finish, add_head):
    choose(done, View.CHECKERBOARD)
    first = parameters.checkerboardVolume
    done.ui.movingVolumeSelector.setCurrentNode(add_head("Other PET", "pet"))
    finish()
    assert parameters.checkerboardVolume is not first
    assert "Other PET" in parameters.checkerboardVolume.GetName()


def test_the_flicker_goes_to_and_fro_until_it_is_switched_off(done, heads):
    choose(done, View.BLEND)
    done.ui.flickerRateSpinBox.value = 10
    harness.click(done.ui.flickerCheckBox)
    harness.wait_until(lambda: heads[1].GetParentTransformNode() is not None)
    harness.wait_until(lambda: heads[1].GetParentTransformNode() is None)
    harness.wait_until(lambda: heads[1].GetParentTransformNode() is not None)
    done.exit()
    assert not done.ui.flickerCheckBox.checked


def test_the_checkerboard_takes_its_fields_from_both_volumes_in_turn(done, scene, parameters, heads):
    registered = parameters.registeredVolume
    for volume, value in ((heads[0], 50), (registered, 2)):  # each in one even grey, unlike the other's
        arrayFromVolume(volume)[:] = value
        volume.GetDisplayNode().AutoWindowLevelOff()
        volume.GetDisplayNode().SetWindowLevelMinMax(0, 100 if volume is heads[0] else 10)
        volume.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        slicer.util.arrayFromVolumeModified(volume)
    done.ui.checkerFieldsSpinBox.value = 4
    choose(done, View.CHECKERBOARD)
    board = parameters.checkerboardVolume
    assert {layer[:2] for layer in layers(scene)} == {(board.GetID(), None)}
    grey = arrayFromVolume(board)[..., 0].astype(int)
    assert arrayFromVolume(board).shape[:3] == arrayFromVolume(heads[0]).shape
    first, second = grey[0, 0, 0], grey[0, 0, 9]
    assert sorted((first, second)) == pytest.approx([51, 127], abs=1)
    assert grey[0, 11, 0] == second
    assert grey[8, 0, 0] == second
    assert grey[8, 11, 0] == first
    nodes = scene.GetNumberOfNodes()
    done.ui.checkerFieldsSpinBox.value = 2
    assert scene.GetNumberOfNodes() == nodes
    assert arrayFromVolume(board)[0, 0, 9, 0] == first


def test_a_checkerboard_keeps_the_window_that_the_user_gave_it(done, parameters):
    choose(done, View.CHECKERBOARD)
    parameters.checkerboardVolume.GetDisplayNode().SetWindowLevel(100, 50)
    done.ui.checkerFieldsSpinBox.value = 4
    assert parameters.checkerboardVolume.GetDisplayNode().GetWindow() == 100


def test_without_a_registered_volume_the_panel_says_why_there_is_no_checkerboard(done, scene, finish):
    choose(done, View.CHECKERBOARD)
    assert not done.ui.viewNoteLabel.visible
    harness.click(done.ui.makeRegisteredCheckBox)
    finish()
    assert "needs the registered volume" in done.ui.viewNoteLabel.text
    assert done.ui.viewNoteLabel.visible
    assert not done.ui.checkerFieldsSpinBox.enabled
    assert {layer[:2] for layer in layers(scene)} == {(done.ui.fusedVolumeSelector.currentNodeID, None)}
    choose(done, View.OVERLAY)
    assert "needs the registered volume" in done.ui.viewNoteLabel.text
    choose(done, View.FUSED)
    assert "Read no uptake from it" in done.ui.viewNoteLabel.text


def test_the_grid_follows_its_choices(done, parameters):
    display = parameters.gridTransform.GetDisplayNode()
    assert not display.GetVisibility()  # its lines would hide the overlay
    harness.click(done.ui.gridInSlicesCheckBox)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    assert display.GetVisibility2D()
    assert not display.GetVisibility3D()
    assert legend.GetVisibility()
    assert done.ui.gridSpacingSlider.value == pytest.approx(display.GetGridSpacingMm())
    low, high = display.GetScalarRange()
    assert 0 <= low < high
    assert display.GetColorMap().GetColor(high) == (1, 0, 0)

    harness.click(done.ui.gridIn3DCheckBox)
    assert display.GetVisibility3D()
    assert display.GetRegionNode() is parameters.fixedVolume
    done.ui.gridSpacingSlider.value = 25
    assert display.GetGridSpacingMm() == 25
    harness.click(done.ui.gridByDisplacementCheckBox)
    assert not legend.GetVisibility()
    assert display.GetColorMap().GetColor(high) == display.GetColorMap().GetColor(low)
    harness.click(done.ui.gridIn3DCheckBox)
    harness.click(done.ui.gridInSlicesCheckBox)
    assert not display.GetVisibility()


def test_link_and_fit_shows_the_whole_fixed_volume_in_views_that_move_together(done, running, scene, heads):
    application = running.app
    logics = [slicer.vtkMRMLSliceLogic() for _ in range(2)]
    for logic, name in zip(logics, ("Red2", "Green2"), strict=True):
        logic.SetMRMLApplicationLogic(application.applicationLogic())
        logic.SetMRMLScene(scene)
        logic.AddSliceNode(name)
        application.applicationLogic().GetSliceLogics().AddItem(logic)
        logic.GetSliceNode().SetDimensions(200, 200, 1)
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(heads[0].GetID())
        logic.GetSliceNode().SetFieldOfView(10, 10, 1)
    harness.click(done.ui.fitButton)
    for logic in logics:
        assert min(logic.GetSliceNode().GetFieldOfView()[:2]) > 6 * 28
        assert logic.GetSliceCompositeNode().GetLinkedControl()


def test_the_last_result_stays_in_sight_while_other_outputs_are_chosen_for_the_next(done, scene, heads):
    ui = done.ui
    choose(done, View.FUSED)
    fused, grid = ui.fusedVolumeSelector.currentNode(), ui.gridTransformSelector.currentNode()
    ui.fusedVolumeSelector.setCurrentNode(None)
    ui.gridTransformSelector.setCurrentNode(scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Empty"))
    assert ui.viewsCollapsibleButton.visible
    ui.gridSpacingSlider.value = 25
    assert grid.GetDisplayNode().GetGridSpacingMm() == 25
    assert {layer[:2] for layer in layers(scene)} == {(fused.GetID(), None)}
    choose(done, View.BLEND)
    harness.click(ui.afterButton)
    assert heads[1].GetParentTransformNode() is grid


def test_the_grid_of_the_last_result_gives_way_to_that_of_the_next(done, finish, heads, parameters):
    ui = done.ui
    harness.click(ui.gridInSlicesCheckBox)
    choose(done, View.BLEND)
    harness.click(ui.afterButton)
    first = ui.gridTransformSelector.currentNode().GetDisplayNode()
    for selector in (ui.fusedVolumeSelector, ui.gridTransformSelector, ui.registeredVolumeSelector):
        selector.setCurrentNode(None)
    finish()
    second = ui.gridTransformSelector.currentNode().GetDisplayNode()
    assert [display.GetVisibility() for display in (first, second)] == [0, 1]
    legends = [slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display) for display in (first, second)]
    assert [legend.GetVisibility() for legend in legends] == [0, 1]
    assert heads[1].GetParentTransformNode() is parameters.reportGridTransform  # no more bent by the last result
    assert ui.afterButton.checked
    harness.click(ui.beforeButton)
    assert heads[1].GetParentTransformNode() is None


def test_without_its_nodes_there_is_nothing_to_look_at(done, scene):
    choose(done, View.BLEND)
    harness.click(done.ui.flickerCheckBox)
    scene.RemoveNode(done.ui.gridTransformSelector.currentNode())
    assert not done.ui.viewsCollapsibleButton.visible
    slicer.app.processEvents()


def test_displayed_values_are_never_changed_by_looking(done, parameters, heads):
    voxels = [
        arrayFromVolume(volume).copy() for volume in (*heads, parameters.fusedVolume, parameters.registeredVolume)
    ]
    for view in views:
        choose(done, view)
    for volume, kept in zip((*heads, parameters.fusedVolume, parameters.registeredVolume), voxels, strict=True):
        np.testing.assert_array_equal(arrayFromVolume(volume), kept)


def test_another_color_map_is_shown_at_once_and_its_flaw_is_named(done, parameters, finish):
    display = parameters.reportRegisteredVolume.GetDisplayNode()
    window = display.GetWindow(), display.GetLevel(), display.GetLowerThreshold()
    box = done.ui.colorMapComboBox
    for name, flaw in (("Viridis", ""), ("PET-DICOM", "PET-DICOM gets darker from 25 to 50 % of the window")):
        box.currentIndex = box.findText(name)
        assert display.GetColorNode().GetName() == name
        assert done.ui.viewNoteLabel.text.startswith(flaw or "Low values are transparent")
    assert (display.GetWindow(), display.GetLevel(), display.GetLowerThreshold()) == window
    done.ui.registeredVolumeSelector.setCurrentNode(None)
    finish()
    assert parameters.reportRegisteredVolume.GetDisplayNode() is not display
    assert parameters.reportRegisteredVolume.GetDisplayNode().GetColorNode().GetName() == "PET-DICOM"
    done.ui.advancedCollapsibleButton.collapsed = False
    harness.click(done.ui.resetButton)
    assert parameters.reportRegisteredVolume.GetDisplayNode().GetColorNode().GetName() == "Inferno"


def test_a_color_map_set_under_volumes_stays_until_another_is_chosen(done, parameters, finish):
    display = parameters.reportRegisteredVolume.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRed")
    finish()
    choose(done, View.BLEND)
    choose(done, View.OVERLAY)
    assert display.GetColorNodeID() == "vtkMRMLColorTableNodeRed"


def test_the_expected_error_of_a_doubtful_result_is_shown_with_a_warning(done, parameters, heads):
    parameters.reportExpectedErrorVolume = heads[1]  # any volume will do, since the note is asked for
    choose(done, View.EXPECTED_ERROR)
    doubtful = json.loads(parameters.report)["verdict"]["doubtful"]
    assert ("these colors hold only if it is right" in done.ui.viewNoteLabel.text) == doubtful
    report = json.loads(parameters.report)
    report["verdict"]["doubtful"] = not doubtful
    parameters.report = json.dumps(report)
    assert ("these colors hold only if it is right" in done.ui.viewNoteLabel.text) != doubtful


def test_the_grid_shows_the_networks_part_alone_and_the_total_again(done, parameters, scene):
    whole = parameters.gridTransform.GetDisplayNode()
    harness.click(done.ui.gridInSlicesCheckBox)
    harness.click(done.ui.gridOfNetworkCheckBox)
    network = parameters.reportNetworkTransform
    assert "(network)" in network.GetName()
    assert not whole.GetVisibility()
    assert network.GetDisplayNode().GetVisibility2D()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(network.GetDisplayNode())
    assert legend.GetVisibility()
    overlay = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(parameters.registeredVolume.GetDisplayNode())
    assert legend.GetPosition()[0] < 0.5 < overlay.GetPosition()[0]
    largest = json.loads(parameters.report)["network_displacement"]["maximum"]
    assert largest <= network.GetDisplayNode().GetScalarRange()[1] < 2 * largest  # on the margin around the volume, too
    harness.click(done.ui.gridOfNetworkCheckBox)
    assert [whole.GetVisibility(), network.GetDisplayNode().GetVisibility(), legend.GetVisibility()] == [1, 0, 0]
    count = scene.GetNumberOfNodesByClass("vtkMRMLTransformNode")
    harness.click(done.ui.gridOfNetworkCheckBox)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == count


def test_without_a_calibration_the_panel_says_that_the_expected_error_is_not_known(done, parameters, finish, scene):
    former = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Expected error")  # of calibrated weights
    former.SetNodeReferenceID(FILLED_FROM, parameters.movingVolume.GetID())
    kept_results(parameters)[0].reportExpectedErrorVolume = parameters.reportExpectedErrorVolume = former
    parameters.makeExpectedError = True
    finish()
    assert former.GetScene() is None
    assert done.ui.messageLabel.text.startswith("Done")
    assert done.ui.stageLabel.text != "Stopping"  # as where a node of the run is removed
    choose(done, View.EXPECTED_ERROR)
    assert parameters.reportExpectedErrorVolume is None
    assert "not known for these weights" in done.ui.viewNoteLabel.text
    assert {layer[:2] for layer in layers(scene)} == {(parameters.fusedVolume.GetID(), None)}


def test_both_parts_of_the_transform_are_made_and_filled_again_where_they_are_chosen(done, parameters, finish, scene):
    harness.click(done.ui.splitCheckBox)
    finish()
    parts = parameters.reportRigidTransform, parameters.reportNetworkTransform
    assert parts[0].GetParentTransformNode() is parts[1] is not None
    count = scene.GetNumberOfNodesByClass("vtkMRMLTransformNode")
    finish()
    assert (parameters.reportRigidTransform, parameters.reportNetworkTransform) == parts
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == count
    harness.click(done.ui.splitCheckBox)  # off; what lies under them would mix two runs
    parts[0].SetMatrixTransformToParent(vtkMatrixFromArray(rigid(shift=(9, 0, 0))))
    finish()
    assert (parameters.reportRigidTransform, parameters.reportNetworkTransform) == parts
    np.testing.assert_array_equal(arrayFromTransformMatrix(parts[0]), np.eye(4))  # the volumes start as placed


def test_filling_the_nodes_of_another_pair_replaces_its_result_and_frees_its_moving_volume(
    done, parameters, finish, heads, add_head
):
    ui, grid = done.ui, parameters.gridTransform
    choose(done, View.BLEND)
    harness.click(ui.afterButton)
    other = add_head("Other PET", "pet", lattice(rigid((3, 0, 2), (8, 0, 0))))
    ui.movingVolumeSelector.setCurrentNode(other)
    ui.gridTransformSelector.setCurrentNode(grid)
    finish()
    assert ui.messageLabel.text.startswith("Done")
    assert heads[1].GetParentTransformNode() is None
    assert [kept.reportMovingVolume for kept in kept_results(parameters)] == [other]
    assert parameters.reportGridTransform is grid and parameters.reportMovingVolume is other
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")]
    assert "BSAFusion result of PET" not in names
