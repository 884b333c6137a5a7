"""Several moving volumes are run one after the other: a line each, outputs each; Cancel keeps what is complete."""

import pytest
import qt
import slicer

from BSAFusionLib.mrml.scene import save_scene
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


def test_they_are_checked_again_with_their_scene(ready, second, scene, tmp_path):
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    assert ready.ui.furtherVolumesSelector.checkedNodes() == ()
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert [node.GetName() for node in ready.ui.furtherVolumesSelector.checkedNodes()] == ["Follow-up"]
