"""A dynamic PET in the panel: its frames are chosen there, and the registered ones are browsed with it."""

import json

import slicer

from BSAFusionLib.mrml.scene import nodes_of_class
from Testing.scene.test_sequences import add_sequence


def test_the_frames_of_a_sequence_are_chosen_and_carried(ready, finish, heads, scene):
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    ui, parameters = ready.ui, ready.logic.getParameterNode()
    assert not ui.framesLineEdit.visible
    sequence, browser = add_sequence(scene, heads[1])
    parameters.parameterNode.Modified()
    assert ui.framesLineEdit.visible
    ui.framesLineEdit.text = "4"
    finish()
    assert "'4' do not exist" in ui.messageLabel.text
    ui.framesLineEdit.text = "2-3"
    finish()
    assert ui.messageLabel.text.startswith("Done")
    warnings = " ".join(json.loads(parameters.report)["warnings"])
    assert "'Dynamic' has 3 frames: the mean of 2 of them" in warnings
    (carried,) = set(nodes_of_class(scene, "vtkMRMLSequenceNode")) - {sequence}
    assert [carried.GetNthIndexValue(n) for n in range(3)] == [sequence.GetNthIndexValue(n) for n in range(3)]
    assert browser.IsSynchronizedSequenceNode(carried, True)
