"""A dynamic PET in Slicer: the mean of its frames is registered, and every frame is carried along at its time."""

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromVolume, vtkMatrixFromArray

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.sequences import put_registered_sequence, sequence_of
from Testing.scene.conftest import lattice, rigid

times = (0.0, 30.0, 90.5)
activity = (0.5, 1.0, 3.0)  # of each frame, relative to the volume


def add_sequence(scene, volume):
    """Return a sequence whose frames are multiples of a volume, with a browser that shows one in that volume's node."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Dynamic")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    voxels = arrayFromVolume(volume).copy()
    for time, factor in zip(times, activity, strict=True):
        arrayFromVolume(volume)[:] = factor * voxels
        sequence.SetDataNodeAtValue(volume, str(time))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(volume, sequence, False)
    return sequence, browser


@pytest.fixture
def logic(scene):
    """Slicer's own logic of its Sequences module: it knows the browsers, and shows the frames that they select."""
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    return logic


@pytest.fixture
def dynamic(scene, add_head, logic):
    volume = add_head("PET", "pet", lattice(rigid((3, 0, 2), (2, 0, 1))))
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("Bq/ml", "UCUM", "Bq/mL")
    volume.SetVoxelValueUnits(units)
    return volume, *add_sequence(scene, volume)


def test_every_frame_is_carried_with_its_time_and_unit(logic, add_head, dynamic, process):
    volume, _sequence, browser = dynamic
    fixed = add_head("MRI")
    result = process(fixed, volume)
    carried = result.registeredSequence
    assert carried.GetName() == "PET registered frames"
    assert (carried.GetIndexName(), carried.GetIndexUnit()) == ("time", "s")
    assert [float(carried.GetNthIndexValue(n)) for n in range(3)] == list(times)
    mean = arrayFromVolume(result.registeredVolume).copy()
    for number, factor in enumerate(activity):
        frame = carried.GetNthDataNode(number)
        assert frame.GetVoxelValueUnits().GetCodeValue() == "Bq/ml"
        np.testing.assert_allclose(arrayFromVolume(frame), factor / 1.5 * mean, atol=1e-4)
        placed = [[node.GetImageData().GetDimensions(), node.GetOrigin()] for node in (frame, fixed)]
        assert placed[0] == placed[1]
    assert browser.IsSynchronizedSequenceNode(carried, True)
    for number in (2, 0):  # both volumes show the frame that is selected
        browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(browser)
        shown = browser.GetProxyNode(carried)
        np.testing.assert_array_equal(arrayFromVolume(shown), arrayFromVolume(carried.GetNthDataNode(number)))
    np.testing.assert_array_equal(arrayFromVolume(result.registeredVolume), mean)  # which stays
    assert any("has 3 frames: the mean of 3 of them" in warning for warning in result.report.warnings)


def test_the_mean_is_that_of_the_chosen_frames(add_head, dynamic, process):
    result = process(add_head("MRI"), dynamic[0], frames="1,3")
    carried = result.registeredSequence
    frames = [arrayFromVolume(carried.GetNthDataNode(number)) for number in range(3)]
    np.testing.assert_allclose(arrayFromVolume(result.registeredVolume), (frames[0] + frames[2]) / 2, atol=1e-4)
    assert "frames='1,3'" in result.record.command


def test_the_sequence_lies_under_the_parents_of_the_volume_that_shows_it(add_head, add_transform, dynamic, process):
    fixed, parent = add_head("MRI"), add_transform(rigid(shift=(0, 8, 0)))
    still = add_head("Still PET", "pet", lattice(rigid((3, 0, 2), (2, 0, 1))), parent=parent)
    expected = arrayFromVolume(process(fixed, still).registeredVolume).copy()
    dynamic[0].SetAndObserveTransformNodeID(parent.GetID())
    carried = process(fixed, dynamic[0]).registeredSequence
    np.testing.assert_allclose(arrayFromVolume(carried.GetNthDataNode(1)), expected, atol=0.01)  # of some 9


def test_another_run_replaces_the_frames_of_the_one_before(scene, add_head, dynamic, process):
    fixed = add_head("MRI")
    volume, _sequence, browser = dynamic
    first = process(fixed, volume)
    former, outputs = browser.GetProxyNode(first.registeredSequence), (first.fusedVolume, first.gridTransform)
    again = process(fixed, volume, *outputs, first.registeredVolume, frames="3")
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 2
    assert again.registeredSequence.GetScene() is scene
    assert again.registeredSequence.GetName() == "PET registered frames"
    assert former is not None and former.GetScene() is None  # else it stays, as a still image of a former run
    assert browser.GetProxyNode(again.registeredSequence).GetScene() is scene


def test_an_error_while_frames_are_put_into_the_scene_leaves_those_of_the_run_before(
    scene, add_head, dynamic, process, monkeypatch
):
    fixed = add_head("MRI")
    first = process(fixed, dynamic[0])
    before = [arrayFromVolume(first.registeredSequence.GetNthDataNode(number)).copy() for number in range(3)]

    def fail_afterwards(*arguments):
        put_registered_sequence(*arguments)
        raise MemoryError

    monkeypatch.setattr("BSAFusionLib.mrml.logic.put_registered_sequence", fail_afterwards)
    with pytest.raises(MemoryError):
        process(fixed, dynamic[0], frames="3")
    assert first.registeredSequence.GetScene() is scene
    assert dynamic[2].IsSynchronizedSequenceNode(first.registeredSequence, True)
    for number, frame in enumerate(before):
        np.testing.assert_array_equal(arrayFromVolume(first.registeredSequence.GetNthDataNode(number)), frame)


def test_frames_that_lie_close_in_time_are_all_carried(scene, add_head, dynamic, process):
    sequence = dynamic[1]
    sequence.SetNumericIndexValueTolerance(1e-6)  # times in hours, say
    for number in range(3):
        sequence.UpdateIndexValue(sequence.GetNthIndexValue(number), str(number * 1e-4))
    assert process(add_head("MRI"), dynamic[0]).registeredSequence.GetNumberOfDataNodes() == 3


def test_a_volume_in_scene_views_is_still(scene, add_head, dynamic):
    volume = add_head("Still", "pet")
    views = add_sequence(scene, volume)[1]
    assert sequence_of(volume) is not None
    views.SetAttribute("SceneView", "SceneView")  # as Slicer 5.10 and later mark the browser of all scene views
    assert sequence_of(volume) is None
    assert sequence_of(dynamic[0]) is dynamic[1]


def test_what_cannot_be_registered_is_said_before(scene, add_head, dynamic, process):
    fixed, still = add_head("MRI"), add_head("Still", "pet")
    assert sequence_of(still) is None
    with pytest.raises(FusionError, match="'Still' does not belong to a sequence"):
        process(fixed, still, frames="1")
    with pytest.raises(FusionError, match="'4' do not exist; give numbers from 1 to 3"):
        process(fixed, dynamic[0], frames="4")
    dynamic[1].GetNthDataNode(2).SetIJKToRASMatrix(vtkMatrixFromArray(np.diag([6.0, 6, 7, 1])))
    with pytest.raises(FusionError, match="differ in their grids"):
        process(fixed, dynamic[0])


def test_a_volume_that_shows_the_frames_of_a_sequence_is_no_output(scene, add_head, dynamic, process):
    """The next frame would replace the result, and another run removes the volume with the former frames."""
    fixed = add_head("MRI")
    shown = dynamic[2].GetProxyNode(process(fixed, dynamic[0]).registeredSequence)
    voxels = arrayFromVolume(shown).copy()
    with pytest.raises(FusionError, match="which shows the frames of 'PET registered frames' and changes with them"):
        process(fixed, dynamic[0], registeredVolume=shown)
    assert shown.GetScene() is scene
    np.testing.assert_array_equal(arrayFromVolume(shown), voxels)
