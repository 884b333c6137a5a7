"""qMRMLCheckableNodeComboBox keeps ticks with its rows as the C++ class does (Slicer, Libs/MRML/Widgets; CTK)."""

import pytest
import qt
import slicer


@pytest.fixture
def selector(scene):
    widget = slicer.qMRMLCheckableNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setMRMLScene(scene)
    return widget


@pytest.fixture
def heard(selector):
    names = []
    selector.connect("checkedNodesChanged()", lambda: names.append([n.GetName() for n in selector.checkedNodes()]))
    return names


def test_nothing_is_ticked_at_first(selector, add_volume):
    volume = add_volume("MRI")
    assert selector.noneChecked()
    assert not selector.allChecked()
    assert selector.uncheckedNodes() == (volume,)


def test_a_check_is_signaled_once_and_stays_with_its_node(selector, heard, add_volume, scene):
    first, second = add_volume("MRI"), add_volume("PET")
    selector.setCheckState(second, qt.Qt.Checked)
    selector.check(second)
    assert heard == [["PET"]]
    scene.RemoveNode(first)
    add_volume("CT")
    assert selector.checkedNodes() == (second,)
    assert selector.checkState(second) == qt.Qt.Checked
    selector.uncheck(second)
    assert heard == [["PET"], []]


def test_a_tick_goes_with_its_row_when_a_scene_is_added(selector, heard, add_volume, scene, tmp_path):
    volume = add_volume("MRI")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    selector.check(volume)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert len(selector.uncheckedNodes()) == 2
    assert selector.checkedNodes() == ()
    assert heard == [["MRI"], []]


def test_a_check_removed_with_its_node_is_signaled_with_the_next_change_only(selector, heard, add_volume, scene):
    ticked, other = add_volume("MRI"), add_volume("PET")
    selector.check(ticked)
    scene.RemoveNode(ticked)
    assert heard == [["MRI"]]
    other.SetName("CT")
    assert heard == [["MRI"], []]


def test_a_node_that_left_the_scene_is_not_ticked(selector, add_volume, scene):
    volume = add_volume("MRI")
    selector.check(volume)
    scene.RemoveNode(volume)
    assert selector.checkedNodes() == ()
    assert selector.checkState(None) == qt.Qt.Unchecked
