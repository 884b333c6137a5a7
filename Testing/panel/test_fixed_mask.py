"""The mask that is chosen in the panel reaches the run; a mask of no use keeps it from starting or ends it."""

import json

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromVolume, updateVolumeFromArray

from BSAFusionLib.mrml.scene import save_scene
from Testing.panel.conftest import state


@pytest.fixture
def mask(heads, scene):
    """A label map of the upper half of the fixed volume."""
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Upper half")
    values = np.zeros(arrayFromVolume(heads[0]).shape, np.uint8)
    values[len(values) // 2 :] = 1
    updateVolumeFromArray(node, values)
    node.CopyOrientation(heads[0])
    return node


def test_a_run_looks_only_at_the_chosen_mask(ready, mask, finish):
    assert ready.ui.fixedMaskSelector.currentNode() is None
    ready.ui.fixedMaskSelector.setCurrentNode(mask)
    finish()
    report = json.loads(ready.logic.getParameterNode().report)
    assert any("look only at the fixed mask" in detail for detail in report["details"])


def test_an_empty_mask_ends_the_run_with_a_sentence_and_changes_nothing(ready, mask, finish, scene):
    arrayFromVolume(mask)[:] = 0
    slicer.util.arrayFromVolumeModified(mask)
    ready.ui.fixedMaskSelector.setCurrentNode(mask)
    before = state(scene)
    finish()
    assert "The fixed mask is empty; draw" in ready.ui.messageLabel.text
    assert state(scene) == before


def test_a_segmentation_without_segments_is_named_before_the_run(ready, scene):
    ready.ui.fixedMaskSelector.setCurrentNode(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nothing"))
    assert not ready.ui.applyButton.enabled
    assert "The fixed mask 'Nothing' is empty" in ready.ui.applyButton.toolTip
    ready.ui.fixedMaskSelector.setCurrentNode(None)
    assert ready.ui.applyButton.enabled


def test_the_mask_is_chosen_again_with_its_scene(ready, mask, scene, tmp_path):
    ready.ui.fixedMaskSelector.setCurrentNode(mask)
    save_scene(scene, tmp_path / "scene.mrb")
    scene.Clear()
    assert ready.ui.fixedMaskSelector.currentNode() is None
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert ready.ui.fixedMaskSelector.currentNode().GetName() == "Upper half"
