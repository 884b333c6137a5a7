"""The panel's choice of nodes that move along with the moving volume, and of landmarks that measure the result."""

import re
from html import unescape
from types import SimpleNamespace

import pytest
import qt
import slicer

from BSAFusionLib.mrml.placement import put_back
from Testing import harness


@pytest.fixture
def add_points(scene):
    def add_points(name, *places):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        for place in places:
            node.AddControlPoint(place)
        return node

    return add_points


def figures(ui):
    table = ui.resultsTable
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}


def test_what_is_ticked_goes_along_with_the_moving_volume(ready, finish, heads, add_points, scene):
    points, model = add_points("Points", (0, 0, 0)), scene.AddNewNodeByClass("vtkMRMLModelNode", "Model")
    selector = ready.ui.carrySelector
    assert {heads[1], points, model} < set(selector.uncheckedNodes())
    selector.check(heads[1])
    selector.check(points)
    finish()
    grid = ready.ui.gridTransformSelector.currentNode()
    assert [node.GetParentTransformNode() for node in (heads[1], points, model)] == [grid, grid, None]
    assert ready.ui.afterButton.checked
    finish()  # again, from where they lay before
    assert ready.ui.messageLabel.text.startswith("Done")
    put_back(points)
    assert points.GetParentTransformNode() is None


def test_a_node_that_cannot_be_carried_is_reported_before_the_run(ready, heads):
    ready.ui.carrySelector.check(heads[0])
    assert not ready.ui.applyButton.enabled
    assert "'MRI' cannot move along" in ready.ui.applyButton.toolTip
    ready.ui.carrySelector.uncheck(heads[0])
    assert ready.ui.applyButton.enabled


def test_landmarks_on_the_fixed_volume_cannot_move_along(ready, add_points):
    points = add_points("Points", (0, 0, 0))
    ready.ui.carrySelector.check(points)
    assert ready.ui.applyButton.enabled
    ready.ui.fixedLandmarksSelector.setCurrentNode(points)
    assert "'Points' cannot move along" in ready.ui.applyButton.toolTip


def test_ticks_are_kept_with_the_scene_and_forgotten_with_their_nodes(ready, add_points, scene):
    points, others = add_points("Points", (0, 0, 0)), add_points("Others", (0, 0, 0))
    ready.ui.carrySelector.check(points)
    ready.ui.carrySelector.check(others)
    scene.RemoveNode(points)
    assert ready.ui.carrySelector.checkedNodes() == (others,)
    assert ready.ui.applyButton.enabled
    path = f"{slicer.app.temporaryPath}/ticks.mrb"
    assert slicer.util.saveScene(path)
    scene.Clear()
    slicer.util.loadScene(path)
    assert [node.GetName() for node in ready.ui.carrySelector.checkedNodes()] == ["Others"]


def test_removing_what_goes_along_stops_the_run(ready, begin, add_points, scene):
    points = add_points("Points", (0, 0, 0))
    ready.ui.carrySelector.check(points)
    begin()
    scene.RemoveNode(points)
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    assert "'Points' was removed" in ready.ui.messageLabel.text


def test_the_results_tell_the_distances_of_landmarks_and_follow_them(ready, finish, add_points):
    finish()
    fixed, moving = add_points("F", (0, 0, 0), (5, 5, 5)), add_points("M", (0, 3, 4), (5, 5, 6))
    ready.ui.fixedLandmarksSelector.setCurrentNode(fixed)
    assert "Landmarks, before" not in figures(ready.ui)
    ready.ui.movingLandmarksSelector.setCurrentNode(moving)
    assert figures(ready.ui)["Landmarks, before"] == "mean 3.0, maximum 5.0 mm"
    assert float(figures(ready.ui)["Landmarks, after"].split()[-2]) > 0
    moving.SetNthControlPointPosition(0, (0, 6, 8))
    assert figures(ready.ui)["Landmarks, before"].endswith("maximum 10.0 mm")
    harness.click(ready.ui.copyButton)
    assert "maximum 10.0 mm" in slicer.app.clipboard().text()


def test_lists_of_different_points_are_reported_beside_the_results(ready, finish, add_points):
    finish()
    moving = add_points("M", (0, 3, 4))
    ready.ui.fixedLandmarksSelector.setCurrentNode(add_points("F", (0, 0, 0), (5, 5, 5)))
    ready.ui.movingLandmarksSelector.setCurrentNode(moving)
    assert ready.ui.landmarksProblemLabel.visible
    assert "'F' has 2 points and 'M' 1" in ready.ui.landmarksProblemLabel.text
    moving.AddControlPoint((5, 5, 5))
    assert not ready.ui.landmarksProblemLabel.visible


def test_landmarks_belong_to_their_pair_of_volumes(ready, finish, add_points, add_head, heads):
    fixed, moving = add_points("F", (0, 0, 0), (5, 5, 5)), add_points("M", (0, 3, 4), (5, 5, 6))
    ready.ui.fixedLandmarksSelector.setCurrentNode(fixed)
    ready.ui.movingLandmarksSelector.setCurrentNode(moving)
    finish()
    assert "Landmarks, before" in figures(ready.ui)
    ready.ui.movingVolumeSelector.setCurrentNode(add_head("Other PET", "pet"))
    assert ready.ui.movingLandmarksSelector.currentNode() is None
    assert "Landmarks, before" in figures(ready.ui)  # of the first one, which is shown
    moving.SetNthControlPointPosition(0, (0, 6, 8))
    assert figures(ready.ui)["Landmarks, before"].endswith("maximum 10.0 mm")
    finish()
    assert "Landmarks, before" not in figures(ready.ui)
    ready.ui.movingVolumeSelector.setCurrentNode(None)
    ready.ui.movingVolumeSelector.setCurrentNode(heads[1])
    assert ready.ui.movingLandmarksSelector.currentNode() is moving


def test_landmarks_that_were_chosen_first_stay_when_the_volumes_are_swapped(ready, add_points, heads):
    fixed, moving = add_points("F", (0, 0, 0)), add_points("M", (0, 3, 4))
    ready.ui.fixedLandmarksSelector.setCurrentNode(fixed)
    ready.ui.movingLandmarksSelector.setCurrentNode(moving)
    ready.ui.fixedVolumeSelector.setCurrentNode(heads[1])
    ready.ui.movingVolumeSelector.setCurrentNode(heads[0])
    assert ready.ui.fixedLandmarksSelector.currentNode() is fixed
    assert ready.ui.movingLandmarksSelector.currentNode() is moving


def test_ticks_of_another_moving_volume_stay_with_it(ready, finish, add_points, add_head, heads):
    points, free = add_points("Points", (0, 0, 0)), add_points("Free", (0, 0, 0))
    ready.ui.carrySelector.check(points)
    finish()
    ready.ui.carrySelector.check(free)
    ready.ui.movingVolumeSelector.setCurrentNode(add_head("Other PET", "pet"))
    assert ready.ui.carrySelector.checkedNodes() == (free,)
    ready.ui.movingVolumeSelector.setCurrentNode(heads[1])
    assert ready.ui.carrySelector.checkedNodes() == (points,)


def test_the_report_with_its_pictures_is_saved_where_the_user_says(ready, finish, tmp_path, monkeypatch, add_points):
    assert not ready.ui.savePageButton.visible
    finish()
    ready.ui.fixedLandmarksSelector.setCurrentNode(add_points("F", (0, 0, 0)))
    ready.ui.movingLandmarksSelector.setCurrentNode(add_points("M", (0, 3, 4)))
    target = tmp_path / "Bericht ü.html"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *asked: str(target))  # a text, as PythonQt gives it
    harness.click(ready.ui.savePageButton)
    page = target.read_text(encoding="utf-8")
    assert "<h1>PET to MRI</h1>" in page
    command = re.search("<code>(.*?)</code>", unescape(page))[1]
    assert command.startswith("BSAFusionLogic().process(getNode('MRI'), getNode('PET'), modality='pet', ")
    size = " x ".join(map(str, ready.ui.movingVolumeSelector.currentNode().GetImageData().GetDimensions()))
    assert f"<tr><th>PET</th><td>PET</td><td>{size}</td>" in page
    assert "<th>Landmarks, before</th><td>mean 5.0, maximum" in page
    assert list(tmp_path.iterdir()) == [target]


def test_the_report_is_that_of_the_result_that_was_shown_when_save_was_clicked(ready, finish, tmp_path, monkeypatch):
    finish()
    target = tmp_path / "report.html"

    def closed_meanwhile(*asked):
        slicer.mrmlScene.Clear()
        return str(target)

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", closed_meanwhile)
    harness.click(ready.ui.savePageButton)
    assert "<h1>PET to MRI</h1>" in target.read_text(encoding="utf-8")


def test_a_report_named_without_a_suffix_gets_one_and_replaces_nothing(ready, finish, tmp_path, monkeypatch):
    finish()
    told = []
    monkeypatch.setattr(slicer.util, "errorDisplay", told.append)
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *asked: str(tmp_path / "case.7"))
    harness.click(ready.ui.savePageButton)
    (saved,) = tmp_path.iterdir()
    assert saved.name == "case.7.html"
    saved.write_text("another report")
    harness.click(ready.ui.savePageButton)
    assert "There is a file" in told[0]
    assert saved.read_text() == "another report"


def test_a_report_that_cannot_be_written_is_reported_and_none_is_kept(ready, finish, tmp_path, monkeypatch):
    finish()
    (tmp_path / "file").touch()
    told = []
    monkeypatch.setattr(slicer.util, "errorDisplay", told.append)
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *asked: str(tmp_path / "file" / "report.html"))
    harness.click(ready.ui.savePageButton)
    assert "is a file; choose another folder" in told[0]


@pytest.mark.parametrize("of", ["volume", "its DICOM files", "scene"])
def test_a_report_is_not_saved_over_a_file_of_the_scene(ready, finish, scene, heads, tmp_path, monkeypatch, of):
    finish()
    path = tmp_path / "input.html"
    path.write_text("voxels")
    if of == "volume":
        storage = scene.AddNewNodeByClass("vtkMRMLNRRDStorageNode")
        heads[1].SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(str(tmp_path / "input.nrrd"))
        storage.AddFileName(str(path))  # as of a series of files
    elif of == "scene":
        scene.SetURL(str(path))
    else:
        files = {"1.2.3": str(tmp_path / "other"), "1.2.4": str(path)}
        monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(fileForInstance=files.__getitem__), raising=False)
        heads[0].SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    told = []
    monkeypatch.setattr(slicer.util, "errorDisplay", told.append)
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *asked: str(path))
    harness.click(ready.ui.savePageButton)
    (sentence,) = told
    assert str(path) in sentence
    assert "choose another" in sentence
    assert path.read_text() == "voxels"
    assert list(tmp_path.iterdir()) == [path]


def test_the_pictures_are_still_there_after_a_look_at_another_module(ready, finish, tmp_path):
    finish()
    (tmp_path / "Other.py").write_text(
        "from slicer.ScriptedLoadableModule import *\n"
        "class Other(ScriptedLoadableModule): pass\n"
        "class OtherWidget(ScriptedLoadableModuleWidget): pass\n"
    )
    harness.load_module(tmp_path / "Other.py")
    slicer.util.selectModule("Other")
    slicer.util.selectModule("BSAFusion")
    assert ready.ui.savePageButton.enabled


def test_pictures_of_another_session_are_offered_only_after_another_run(ready, finish, tmp_path, scene):
    finish()
    assert ready.ui.savePageButton.enabled
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert ready.ui.resultsCollapsibleButton.visible
    assert not ready.ui.savePageButton.enabled
    assert "run again" in ready.ui.savePageButton.toolTip
