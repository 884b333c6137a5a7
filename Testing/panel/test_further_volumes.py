"""Several moving volumes are run one after the other: a line each, outputs each; Cancel keeps what is complete."""

import json

import numpy as np
import pytest
import qt
import slicer
from slicer.util import arrayFromVolume

from BSAFusionLib.mrml.scene import save_scene
from BSAFusionLib.pipeline.summary import one_line, sentences
from Testing import harness
from Testing.panel.conftest import lattice, rigid, state


@pytest.fixture
def second(ready, add_head):
    """A follow-up beside the first moving volume, checked."""
    volume = add_head("Follow-up", "pet", lattice(rigid((0, 4, 0))))
    ready.ui.furtherVolumesSelector.setCheckState(volume, qt.Qt.Checked)
    return volume


def names(scene, kind="vtkMRMLGridTransformNode"):
    return sorted(node.GetName() for node in slicer.util.getNodesByClass(kind))


def test_each_volume_has_its_line_and_its_outputs_and_the_first_is_shown(ready, second, finish, scene):
    ready.logic.getParameterNode().gridInSlices = True
    finish()
    first, last = ready.ui.messageLabel.text.splitlines()
    assert first.startswith("PET: Done")
    assert last.startswith("Follow-up: Done. ") and "The PET was" in last and "expected error" in last
    assert names(scene) == ["Follow-up to MRI", "PET to MRI"]
    parameters = ready.logic.getParameterNode()
    assert parameters.gridTransform.GetName() == "PET to MRI"
    assert parameters.reportMovingVolume.GetName() == "PET"
    shown = {name: slicer.util.getNode(name).GetDisplayNode().GetVisibility2D() for name in names(scene)}
    assert shown == {"Follow-up to MRI": 0, "PET to MRI": 1}
    assert ready.ui.applyButton.visible and not ready.run.running


def rows(ui):
    table = ui.volumesTable
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}


def shown(scene):
    """Return the volume over the fixed one in the slice views, and the transforms whose grids are drawn there."""
    view = scene.GetNthNodeByClass(0, "vtkMRMLSliceCompositeNode")
    displays = {name: slicer.util.getNode(name).GetDisplayNode() for name in names(scene)}
    visible = [name for name, display in displays.items() if display.GetVisibility() and display.GetVisibility2D()]
    return scene.GetNodeByID(view.GetForegroundVolumeID()).GetName(), visible


def test_each_volume_has_a_row_and_a_whole_report_of_its_own(ready, second, finish, scene, tmp_path, monkeypatch):
    for name in ("Red", "Green", "Yellow"):
        scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name)
    ready.logic.getParameterNode().gridInSlices = True
    finish()
    ui, parameters = ready.ui, ready.logic.getParameterNode()
    assert ui.volumesTable.visible
    assert list(rows(ui)) == ["PET", "Follow-up"]
    assert ui.volumesTable.currentRow() == 0
    for row, (name, grid) in enumerate((("PET", "PET to MRI"), ("Follow-up", "Follow-up to MRI"))):
        ui.volumesTable.selectRow(row)
        assert parameters.reportMovingVolume.GetName() == name
        assert parameters.reportGridTransform.GetName() == grid
        report = json.loads(parameters.report)
        assert rows(ui)[name] == one_line(report)
        assert rows(ui)[name].startswith("Doubtful" if report["verdict"]["doubtful"] else "Moved by ")
        assert ui.summaryLabel.text == "\n\n".join(sentences(report))
        assert shown(scene) == (f"{name} registered", [grid])
    harness.click(ui.gridOfNetworkCheckBox)
    ui.volumesTable.selectRow(0)
    parts = names(scene)
    for row in (1, 0):
        ui.volumesTable.selectRow(row)
        assert names(scene) == parts  # each row keeps the network's part that was made for it
    ui.volumesTable.selectRow(1)
    target = tmp_path / "report.html"  # of the last one that was selected, which is not the first volume's
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *asked: str(target))
    harness.click(ui.savePageButton)
    assert "<h1>Follow-up to MRI</h1>" in target.read_text(encoding="utf-8")


def test_another_run_fills_the_first_ones_nodes_also_while_another_row_is_selected(ready, second, finish, scene):
    finish()
    parameters = ready.logic.getParameterNode()
    harness.click(ready.ui.gridOfNetworkCheckBox)
    made = parameters.fusedVolume, parameters.gridTransform, parameters.registeredVolume
    ready.ui.volumesTable.selectRow(1)
    follow_up, parts = parameters.reportGridTransform, names(scene)
    ready.ui.furtherVolumesSelector.setCheckState(second, qt.Qt.Unchecked)
    finish()
    assert (parameters.fusedVolume, parameters.gridTransform, parameters.registeredVolume) == made
    assert parameters.reportGridTransform is made[1]
    assert names(scene) == parts
    assert list(rows(ready.ui)) == ["PET", "Follow-up"]  # whose result is still there
    ready.ui.volumesTable.selectRow(1)
    assert parameters.reportGridTransform is follow_up
    ready.ui.movingVolumeSelector.setCurrentNode(second)
    assert parameters.gridTransform is None  # another volume's is never filled


def test_the_rows_are_saved_with_the_scene_and_leave_with_their_volumes(ready, second, finish, scene, tmp_path):
    finish()
    lines = rows(ready.ui)
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    assert not ready.ui.resultsCollapsibleButton.visible
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert rows(ready.ui) == lines
    ready.ui.volumesTable.selectRow(1)
    assert ready.logic.getParameterNode().reportMovingVolume.GetName() == "Follow-up"
    assert not ready.ui.savePageButton.enabled  # its pictures are not in the scene
    scene.RemoveNode(slicer.util.getNode("PET"))
    assert not ready.ui.volumesTable.visible


def test_a_row_leaves_with_the_node_of_its_result(ready, second, finish, scene):
    finish()
    assert list(rows(ready.ui)) == ["PET", "Follow-up"]
    scene.RemoveNode(slicer.util.getNode("BSAFusion result of Follow-up"))
    assert list(rows(ready.ui)) == ["PET"]
    assert not ready.ui.volumesTable.visible


def test_cancel_keeps_the_complete_one_and_leaves_no_trace_of_the_other(ready, second, control, scene):
    heard = []
    ready.run._onDone = lambda *arguments, do=ready.run._onDone: (
        do(*arguments),
        heard.append(1),
        control.hold("begun"),
    )
    harness.click(ready.ui.applyButton)
    harness.wait_until(lambda: heard and ready.ui.progressBar.value == 50, seconds=60)
    before = state(scene)
    harness.click(ready.ui.cancelButton)
    harness.wait_until(lambda: not ready.run.running, seconds=30)
    assert state(scene) == before
    assert names(scene) == ["PET to MRI"]
    assert ready.ui.messageLabel.text.splitlines()[1] == "Follow-up: Stopped; nothing was changed."


def test_cancel_in_the_first_run_stops_the_others_too(ready, second, begin, scene):
    before = state(scene)
    begin()
    harness.click(ready.ui.cancelButton)
    harness.wait_until(lambda: not ready.run.running, seconds=30)
    assert state(scene) == before


def test_a_further_volume_that_leaves_the_scene_fails_alone(ready, second, begin, control, scene):
    begin()
    scene.RemoveNode(second)
    control.let_go()
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    first, last = ready.ui.messageLabel.text.splitlines()
    assert first.startswith("PET: Done")
    assert last == "Follow-up: 'Follow-up' was removed from the scene."
    assert names(scene) == ["PET to MRI"]


def test_nothing_more_is_started_once_the_module_is_gone(ready, second, begin, worker):
    begin()
    run = ready.run
    ready.cleanup()
    ready.worker = ready.run = None  # the harness cleans up once more
    run._startNext()  # a timer that was due
    assert worker._tasks == {}


def test_the_fixed_volume_cannot_be_one_of_them(ready, heads):
    ready.ui.furtherVolumesSelector.setCheckState(heads[0], qt.Qt.Checked)
    assert "both the fixed and the moving volume" in ready.ui.applyButton.toolTip


def test_none_of_them_can_be_an_output(ready, second):
    before = arrayFromVolume(second).copy()
    ready.ui.registeredVolumeSelector.setCurrentNode(second)
    assert not ready.ui.applyButton.enabled
    ready.run.start()  # as a script may
    for text in (ready.ui.applyButton.toolTip, ready.ui.messageLabel.text):
        assert text.startswith("'Follow-up' is chosen under Also register and is an output")
    assert not ready.run.running
    np.testing.assert_array_equal(arrayFromVolume(second), before)


def test_they_are_checked_again_with_their_scene(ready, second, scene, tmp_path):
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    assert ready.ui.furtherVolumesSelector.checkedNodes() == ()
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert [node.GetName() for node in ready.ui.furtherVolumesSelector.checkedNodes()] == ["Follow-up"]
