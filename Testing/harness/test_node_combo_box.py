"""qMRMLNodeComboBox follows the scene as the C++ class and its tests do (Slicer, Libs/MRML/Widgets)."""

import time

import pytest
import qt
import slicer
from PySide6 import QtTest

from Testing import harness


@pytest.fixture
def selector(scene):
    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.addEnabled = widget.removeEnabled = False
    widget.noneEnabled = True
    widget.setMRMLScene(scene)
    return widget


@pytest.fixture
def heard(selector):
    names = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: names.append(node and node.GetName()))
    return names


def choose(selector, text):
    """Open the list and click on a row, as a user does."""
    box = selector.findChild(qt.QComboBox)
    row = box.findText(text)
    assert row >= 0, f"no item {text} among {[box.itemText(i) for i in range(box.count)]}"
    selector.show()
    box.showPopup()
    view = box.view()
    index = box.model().index(row, 0, box.rootModelIndex())
    view.scrollTo(index)
    time.sleep(qt.QApplication.doubleClickInterval() / 1000)  # the click would else count as part of opening the list
    QtTest.QTest.mouseClick(view.viewport(), qt.Qt.LeftButton, qt.Qt.NoModifier, view.visualRect(index).center())
    slicer.app.processEvents()


def test_it_is_disabled_until_it_has_a_scene(scene):
    widget = slicer.qMRMLNodeComboBox()
    assert not widget.enabled
    widget.setMRMLScene(scene)
    assert widget.enabled


def test_a_node_asked_for_before_there_is_a_scene_is_selected_with_it(scene, add_volume):
    volume, widget = add_volume("MRI"), slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setCurrentNodeID(volume.GetID())
    widget.setMRMLScene(scene)
    assert widget.currentNode() is volume


def test_none_stays_selected_where_it_is_allowed(selector, add_volume):
    add_volume("MRI")
    assert selector.currentNode() is None
    assert selector.nodeCount() == 1


def test_the_first_node_is_selected_where_none_is_not_allowed(scene, add_volume):
    first, _ = add_volume("MRI"), add_volume("PET")
    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setMRMLScene(scene)
    assert widget.currentNode() is first


def test_setting_the_current_node_is_signaled_once(selector, heard, add_volume):
    volume = add_volume("MRI")
    selector.setCurrentNode(volume)
    selector.setCurrentNode(volume)
    selector.setCurrentNode(None)
    assert heard == ["MRI", None]
    assert selector.currentNodeID == ""


def test_the_signal_of_validity_comes_too(selector, add_volume):
    valid, ids = [], []
    selector.connect("currentNodeChanged(bool)", valid.append)
    selector.connect("currentNodeIDChanged(QString)", ids.append)
    selector.setCurrentNode(add_volume("MRI"))
    assert valid == [True]
    assert ids == ["vtkMRMLScalarVolumeNode1"]


def test_only_the_wanted_classes_are_listed(selector, scene, add_volume):
    add_volume("MRI")
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "transform")
    assert selector.nodeCount() == 2  # a label map is a kind of scalar volume
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 1


def test_nodes_hidden_from_editors_are_not_listed_unless_asked_for(selector, scene):
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetHideFromEditors(True)
    scene.AddNode(volume)
    assert selector.nodeCount() == 0
    selector.showHidden = True
    assert selector.nodeCount() == 1


def test_a_node_that_is_hidden_later_stays_until_the_filter_is_asked_again(selector, add_volume):
    """Only a changed name changes a row, and only a changed row is filtered again."""
    volume = add_volume("MRI")
    volume.SetHideFromEditors(True)
    volume.Modified()
    assert selector.nodeCount() == 1
    volume.SetName("T1")
    assert selector.nodeCount() == 0


@pytest.mark.parametrize(("value", "count"), [("a", 1), ("b", 0), ("", 1), (None, 2)])
def test_nodes_are_filtered_by_attribute(selector, add_volume, value, count):
    add_volume("none")
    add_volume("empty").SetAttribute("kind", "")
    add_volume("valid").SetAttribute("kind", "a")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind", value)
    assert selector.nodeCount() == count


def test_a_renamed_node_is_shown_by_its_new_name(selector, add_volume):
    volume = add_volume("MRI")
    selector.setCurrentNode(volume)
    volume.SetName("T1")
    assert selector.findChild(qt.QComboBox).currentText == "T1"


def test_when_the_current_node_goes_the_one_after_it_is_selected(selector, heard, scene, add_volume):
    first, second, third = add_volume("1"), add_volume("2"), add_volume("3")
    selector.setCurrentNode(second)
    scene.RemoveNode(second)
    scene.RemoveNode(third)
    scene.RemoveNode(first)
    assert heard == ["2", "3", "1", None]


def test_when_another_node_goes_the_selection_stays(selector, heard, scene, add_volume):
    first, second = add_volume("1"), add_volume("2")
    selector.setCurrentNode(second)
    scene.RemoveNode(first)
    assert heard == ["2"]
    assert selector.currentNode() is second


def test_closing_the_scene_leaves_nothing_selected(selector, scene, add_volume):
    selector.setCurrentNode(add_volume("MRI"))
    add_volume("PET")
    scene.Clear(False)
    assert selector.currentNode() is None
    assert selector.nodeCount() == 0


def test_a_user_creates_a_node_named_after_base_name(selector, heard):
    selector.addEnabled = True
    selector.baseName = "Fused"
    by_user = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", by_user.append)
    choose(selector, "Create new Volume")
    assert heard == ["Fused"]
    assert by_user == [selector.currentNode()]
    assert selector.addNode().GetName() == "Fused_1"


def test_a_user_deletes_the_current_node(selector, scene, add_volume):
    selector.removeEnabled = True
    selector.setCurrentNode(add_volume("MRI"))
    choose(selector, "Delete current Volume")
    assert selector.currentNode() is None
    assert scene.GetFirstNodeByName("MRI") is None


def test_a_user_selects_a_node(selector, heard, add_volume):
    add_volume("MRI")
    choose(selector, "MRI")
    choose(selector, "None")
    assert heard == ["MRI", None]


def test_another_text_for_none_selects_the_first_node(selector, heard, add_volume):
    """The row is removed and inserted again; Qt's combo box moves to the row that takes its place."""
    first, _ = add_volume("MRI"), add_volume("PET")
    selector.noneDisplay = "Create 'MRI + PET'"
    assert selector.currentNode() is first
    assert set(heard) == {"MRI"}
    assert selector.findChild(qt.QComboBox).itemText(0) == "Create 'MRI + PET'"


def test_the_same_text_for_none_changes_nothing(selector, heard, add_volume):
    add_volume("MRI")
    selector.noneDisplay = "None"
    assert selector.currentNode() is None
    assert heard == []


def test_another_text_for_none_without_any_node_leaves_none(selector, heard):
    selector.noneDisplay = "Create new"
    assert selector.currentNode() is None


@pytest.fixture
def other_scene(tmp_path):
    """A saved scene with one volume."""
    path = tmp_path / "other.mrb"
    with harness.running() as other:
        other.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Added")
        assert slicer.util.saveScene(str(path))
    return path


def test_adding_a_scene_unselects_what_is_selected(other_scene, selector, heard, scene, add_volume):
    """The rows of all nodes are removed and made again, and None is what remains meanwhile."""
    selector.setCurrentNode(add_volume("MRI"))
    slicer.util.loadScene(str(other_scene))
    assert [node.GetName() for node in selector.nodes()] == ["MRI", "Added"]
    assert selector.currentNode() is None
    assert heard == ["MRI", None]


def test_rows_are_made_again_once_the_import_has_ended(other_scene, selector, scene, add_volume):
    states, counts = [], []
    selector.setCurrentNode(add_volume("MRI"))
    selector.connect("currentNodeChanged(bool)", lambda valid: states.append(bool(scene.IsImporting())))
    scene.AddObserver(scene.StartImportEvent, lambda *_: counts.append(selector.nodeCount()))
    scene.AddObserver(scene.EndImportEvent, lambda *_: counts.append(selector.nodeCount()))
    slicer.util.loadScene(str(other_scene))
    assert states == [False]
    assert counts == [1, 2]
