"""Every choice is saved with the scene and is there again when it is loaded."""

import pytest
import slicer

from BSAFusionLib.mrml.scene import save_scene
from BSAFusionLib.panel.parameters import RESULT, Modality, Precision, SliceAxis, Start, View, kept_results
from BSAFusionLib.settings import Settings
from Testing import harness
from Testing.panel.conftest import rigid

choices = {
    "modality": Modality.SPECT,
    "start": Start.TRANSFORM,
    "makeRegistered": False,
    "device": "cuda:7",
    "precision": Precision.BFLOAT16,
    "sliceAxis": SliceAxis.J,
    "ctWindowAutomatic": False,
    "ctWindowCentre": 300.0,
    "ctWindowWidth": 1500.0,
    "batchSize": 3,
    "throughPlaneSmoothing": 2.5,
    "strength": 0.25,
    "threeAxes": False,
    "refine": True,
    "doNoHarm": False,
    "foldFree": False,
    "weights": "C:/some folder/a 'name', 100 %.safetensors",
    "view": View.BLEND,
    "blend": 0.75,
    "checkerFields": 5,
    "flickerRate": 2.4,
    "gridInSlices": False,
    "gridIn3D": True,
    "gridByDisplacement": False,
    "gridSpacing": 21.0,
}


def test_all_choices_come_back_with_the_scene_and_the_widgets_show_them(ready, scene, add_transform, tmp_path):
    parameters = ready.logic.getParameterNode()
    parameters.startTransform = add_transform(rigid(shift=(1, 2, 3)))
    for name, value in choices.items():
        parameters.setValue(name, value)
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    assert ready.logic.getParameterNode().strength == Settings.strength
    assert ready.ui.deviceComboBox.currentText == "Automatic"
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))

    parameters = ready.logic.getParameterNode()
    assert {name: parameters.getValue(name) for name in choices} == choices
    ui = ready.ui
    assert ui.fixedVolumeSelector.currentNode().GetName() == "MRI"
    assert ui.startTransformSelector.currentNode() is not None
    assert ui.modalityComboBox.currentText == "SPECT"
    assert ui.deviceComboBox.currentText == "cuda:7"
    assert ui.precisionComboBox.currentText == "bfloat16"
    assert ui.strengthSlider.value == 0.25
    assert not ui.threeAxesCheckBox.checked
    assert ui.refineCheckBox.checked
    assert not ui.doNoHarmCheckBox.checked
    assert not ui.foldFreeCheckBox.checked
    assert ui.weightsPathLineEdit.currentPath == choices["weights"]
    assert ui.ctWindowWidthSpinBox.enabled


def outputs_of(ui):
    return ui.fusedVolumeSelector, ui.gridTransformSelector, ui.registeredVolumeSelector


@pytest.mark.parametrize("shown", [True, False])
def test_outputs_of_a_scene_that_is_opened_beside_another_stay_chosen(shown, ready, scene, finish, add_head, tmp_path):
    finish()
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    ready.ui.fixedVolumeSelector.setCurrentNode(add_head("Something else"))
    if not shown:
        ready.parent.exit()
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    if not shown:
        ready.parent.enter()
    assert ready.ui.fixedVolumeSelector.currentNode().GetName() == "MRI"
    assert None not in [selector.currentNode() for selector in outputs_of(ready.ui)]


def test_a_result_can_be_looked_at_in_a_loaded_scene(ready, scene, finish, tmp_path):
    finish()
    ready.ui.viewComboBox.currentIndex = list(View).index(View.BLEND)
    harness.click(ready.ui.afterButton)
    figures = ready.ui.resultsTable.item(0, 1).text()
    made = [selector.currentNode().GetName() for selector in outputs_of(ready.ui)]
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    assert not ready.ui.resultsCollapsibleButton.visible
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert ready.ui.resultsTable.item(0, 1).text() == figures
    assert ready.ui.viewsCollapsibleButton.visible
    assert ready.ui.afterButton.checked
    assert [selector.currentNode().GetName() for selector in outputs_of(ready.ui)] == made
    moving = slicer.util.getNode("PET")
    harness.click(ready.ui.beforeButton)
    assert moving.GetParentTransformNode() is None


def test_a_scene_that_is_added_keeps_the_rows_of_the_results_before_it(ready, scene, finish, tmp_path):
    finish()
    parameters = ready.logic.getParameterNode()
    parameters.results[0].RemoveAttribute(RESULT)  # as in a scene of an older version
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    for count in (1, 2, 3):
        if count == 3:
            ready.parent.exit()
        assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
        if count == 3:
            ready.parent.enter()
        kept = kept_results(ready.logic.getParameterNode())
        assert len({result.reportMovingVolume.GetID() for result in kept}) == len(kept) == count
        assert ready.ui.volumesTable.rowCount == count
    ready.ui.volumesTable.selectRow(2)
    assert ready.logic.getParameterNode().reportMovingVolume is kept[2].reportMovingVolume
    assert ready.ui.viewsCollapsibleButton.visible


def test_the_report_is_copied_as_text(ready, finish):
    finish()
    harness.click(ready.ui.copyButton)
    lines = slicer.app.clipboard().text().splitlines()
    assert "Device\tcpu" in lines
    assert lines[1].startswith("The PET was taken as it was placed")
    assert any(line.startswith("Mutual information\t") for line in lines)


@pytest.mark.parametrize(
    ("contrast", "modality", "told"),
    [
        ("ct", None, "CT, by the intensities"),
        ("pet", None, "PET, by the intensities"),
        ("pet", "NM", "SPECT, by DICOM"),
    ],
)
def test_the_modality_found_is_shown(contrast, modality, told, widget, scene, add_head):
    volume = add_head("Moving", contrast)
    if modality:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
        hierarchy.SetItemAttribute(item, name, modality)
    widget.ui.movingVolumeSelector.setCurrentNode(volume)
    assert widget.ui.modalityFoundLabel.text == told
    widget.ui.modalityComboBox.currentIndex = list(Modality).index(Modality.CT)
    assert not widget.ui.modalityFoundLabel.visible


@pytest.mark.parametrize("shown", [True, False])
def test_a_choice_that_this_version_lacks_gets_its_default_and_the_others_stay(shown, ready, scene, heads, tmp_path):
    parameters = ready.logic.getParameterNode()
    parameters.strength, parameters.modality = 0.25, Modality.SPECT
    node = parameters.parameterNode
    del parameters
    ready.parent.exit()
    for name, member in (("precision", "FLOAT8"), ("view", "HOLOGRAM")):  # as a newer version may save them
        node.SetParameter(name, member)
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    if shown:
        ready.parent.enter()
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    if not shown:
        ready.parent.enter()

    assert "view = HOLOGRAM, precision = FLOAT8" in ready.ui.messageLabel.text
    parameters = ready.logic.getParameterNode()
    assert (parameters.precision.value, parameters.view) == (Settings.precision, View.OVERLAY)
    assert (parameters.strength, parameters.modality) == (0.25, Modality.SPECT)
    assert ready.ui.fixedVolumeSelector.currentNode().GetName() == "MRI"
    assert ready.ui.strengthSlider.value == 0.25
    assert ready.ui.modalityComboBox.currentText == "SPECT"
