"""slicer.app and slicer.util work as in a Slicer without a main window; what would ask a person asks the test."""

import logging

import numpy as np
import pytest
import qt
import SampleData
import slicer

from Testing import harness


def test_messages_are_kept_and_logged(slicer_app, caplog):
    with caplog.at_level(logging.INFO):
        slicer.util.errorDisplay("It failed.", windowTitle="BSAFusion", detailedText="why")
        slicer.util.infoDisplay("It is done.")
    first, second = slicer_app.messages
    assert (first.level, first.text, first.title) == (logging.ERROR, "It failed.", "BSAFusion")
    assert first.options["detailedText"] == "why"
    assert (second.level, second.text) == (logging.INFO, "It is done.")
    assert "It failed." in caplog.text


def test_questions_are_answered_by_the_test_in_turn(slicer_app):
    slicer_app.answers = [qt.QMessageBox.Yes, qt.QMessageBox.Cancel]
    assert slicer.util.confirmYesNoDisplay("Install?")
    assert not slicer.util.confirmOkCancelDisplay("Go on?")
    with pytest.raises(AssertionError, match="the user was asked 'Again\\?'"):
        slicer.util.confirmYesNoDisplay("Again?")


def test_an_error_within_try_with_error_display_is_shown_and_raised(slicer_app):
    with pytest.raises(ValueError, match="broken"), slicer.util.tryWithErrorDisplay("It failed.", waitCursor=True):
        raise ValueError("broken")
    assert slicer_app.messages[0].text == "It failed.\n\nbroken"
    assert "Traceback" in slicer_app.messages[0].options["detailedText"]
    assert qt.QApplication.overrideCursor() is None


def test_pip_install_is_recorded_and_installs_nothing(slicer_app):
    slicer.util.pip_install("einops")
    slicer_app.install = lambda requirements: (_ for _ in ()).throw(RuntimeError("no network"))
    with pytest.raises(RuntimeError, match="no network"):
        slicer.util.pip_install(["torch", "--quiet"])
    assert slicer_app.installed == ["einops", ["torch", "--quiet"]]


def test_settings_last_as_long_as_the_application():
    with harness.running():
        qt.QSettings().setValue("Developer/DeveloperMode", True)
        assert slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        assert slicer.app.userSettings().contains("Developer/DeveloperMode")
    with harness.running():
        assert slicer.util.settingsValue("Developer/DeveloperMode", "unset") == "unset"


def test_each_application_has_a_scene_of_its_own():
    with harness.running() as first:
        first.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "MRI")
    with harness.running() as second:
        assert slicer.mrmlScene is second.scene is slicer.app.mrmlScene()
        assert second.scene.GetFirstNodeByName("MRI") is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_slot_or_an_observer_raises_fails_the_test():
    def fail(*_):
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"), harness.running() as running:  # noqa: PT012
        button = qt.QPushButton()
        button.connect("clicked()", fail)
        harness.click(button)
        assert len(running.errors) == 1
    with pytest.raises(ValueError, match="planted"), harness.running() as running:  # noqa: PT012
        running.scene.AddObserver(running.scene.NodeAddedEvent, fail)
        running.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")


def test_there_is_no_main_window(slicer_app):
    assert slicer.util.mainWindow() is None
    assert slicer.app.layoutManager() is None
    assert slicer.app.commandOptions().noMainWindow
    assert not slicer.app.testingEnabled()


def test_volumes_transforms_and_scenes_are_saved_and_loaded_by_slicer_util(slicer_app, tmp_path):
    volume = slicer.util.addVolumeFromArray(np.arange(24, dtype=np.float32).reshape(2, 3, 4), name="MRI")
    transform = slicer_app.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shift")
    matrix = np.eye(4)
    matrix[0, 3] = 5
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    assert slicer.util.saveNode(volume, str(tmp_path / "mri.nrrd"))
    assert slicer.util.saveNode(transform, str(tmp_path / "shift.h5"))
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer_app.scene.Clear(False)
    again = slicer.util.loadVolume(str(tmp_path / "mri.nrrd"), {"name": "again"})
    assert again.GetName() == "again"
    assert slicer.util.arrayFromVolume(again).sum() == 276
    shift = slicer.util.loadTransform(str(tmp_path / "shift.h5"))
    assert slicer.util.arrayFromTransformMatrix(shift)[0, 3] == pytest.approx(5)
    slicer_app.scene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert slicer.util.arrayFromVolume(slicer.util.getNode("MRI")).sum() == 276
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "nothing.nrrd"))


def test_registered_sample_data_is_fetched_and_loaded(slicer_app, tmp_path):
    volume = slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.float32))
    slicer.util.saveNode(volume, str(tmp_path / "mri.nrrd"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="BSAFusion",
        sampleName="Head",
        uris=[(tmp_path / "mri.nrrd").as_uri()] * 2,
        fileNames=["first.nrrd", "second.nrrd"],
        nodeNames=["First", "Second"],
    )
    assert [source.sampleName for source in slicer.modules.sampleDataSources["BSAFusion"]] == ["Head"]
    nodes = SampleData.SampleDataLogic().downloadSamples("Head")
    assert [node.GetName() for node in nodes] == ["First", "Second"]
    assert SampleData.downloadSample("Head").GetStorageNode() is None
    assert SampleData.SampleDataLogic().downloadSamples("nothing") == []
