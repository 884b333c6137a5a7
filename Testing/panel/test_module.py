"""The module as Slicer knows it: its name and icon, its sample data, its self-test, and the documented examples."""

import importlib.util
import logging
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from slicer.util import arrayFromVolume

from BSAFusionLib.pipeline.case import Initialization
from Testing import harness
from Testing.conftest import repository
from Testing.panel.conftest import lattice, rigid

file = repository / "BSAFusion" / "BSAFusion.py"


@pytest.fixture
def small_weights(weights, tmp_path, monkeypatch):
    """Small random weights in place of the shipped ones."""
    for modality in ("ct", "pet", "spect"):
        shutil.copy(weights, tmp_path / f"{modality}.safetensors")
    monkeypatch.setattr("BSAFusionLib.pipeline.case.MODELS", tmp_path)


@pytest.fixture
def quick(small_weights, monkeypatch):
    """And no rigid registration, so that a run takes a second."""
    still = Initialization(sitk.Euler3DTransform(), "rigid")
    monkeypatch.setattr("BSAFusionLib.pipeline.register_and_fuse.initialize", lambda *_: still)


def test_the_module_is_found_under_registration_with_its_icon(running):
    module = harness.load_module(file)
    assert module.title == "BSAFusion"
    assert module.categories == ["Registration"]
    assert not module.icon.isNull()
    assert "research use only" in module.helpText
    address = re.search('<a href="(.+)">documentation</a>', module.helpText)[1]
    assert Path(url2pathname(urlsplit(address).path)).samefile(repository / "Documentation" / "user-guide.md")
    assert "AAAI 2025" in module.acknowledgementText


def test_the_sample_mri_and_pet_are_loaded_by_the_sample_data_module(running):
    import SampleData

    harness.load_module(file)
    slicer.app.startupCompleted.emit()
    mri, pet = SampleData.SampleDataLogic().downloadSamples("BSAFusionMRIPET")
    assert (mri.GetName(), pet.GetName()) == ("MRI", "PET")
    assert mri.GetImageData().GetDimensions() == (165, 201, 60)
    assert arrayFromVolume(pet).max() > 1000


def test_another_file_of_the_same_name_in_slicers_cache_is_not_taken_for_the_sample(running):
    import SampleData

    harness.load_module(file)
    slicer.app.startupCompleted.emit()
    cache = Path(running.scene.GetCacheManager().GetRemoteCacheDirectory())
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "mri_t1.nii.gz").write_bytes(b"of another extension")
    mri, _ = SampleData.SampleDataLogic().downloadSamples("BSAFusionMRIPET")
    assert mri.GetName() == "MRI"
    assert mri.GetImageData().GetDimensions() == (165, 201, 60)


def test_the_self_test_runs_in_reload_and_test(running, small_weights, monkeypatch):
    harness.load_module(file)
    load = slicer.util.loadVolume

    def loadCoarsely(path, properties):
        """Load every third voxel, so that a run takes seconds."""
        volume = load(path, properties)
        slicer.util.updateVolumeFromArray(volume, arrayFromVolume(volume)[::2, ::3, ::3].copy())
        volume.SetSpacing(*np.multiply(volume.GetSpacing(), (3, 3, 2)))
        return volume

    monkeypatch.setattr(slicer.util, "loadVolume", loadCoarsely)
    slicer.selfTests["BSAFusion"](msec=1)


def test_a_self_test_that_cannot_run_is_reported_as_skipped(running, monkeypatch, caplog):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    harness.load_module(file)
    with caplog.at_level(logging.INFO):
        slicer.util.getModuleWidget("BSAFusion").onReloadAndTest()
    assert [message.text for message in running.messages if message.level >= logging.ERROR] == []
    assert "Test skipped: The panel must install torch first." in caplog.text


def test_its_ui_file_can_be_edited_in_developer_mode(running):
    running.app.userSettings().setValue("Developer/DeveloperMode", True)
    harness.load_module(file)
    assert slicer.util.getModuleWidget("BSAFusion").editModuleUiButton is not None


def example(heading):
    """Return the indented lines under a heading of the README or of the page on scripting."""
    pages = [repository / "README.md", repository / "Documentation" / "scripting.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert f"{heading}\n" in text, f"there is no part {heading}"
    part = text.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    return "\n".join(line[4:] for line in part.splitlines() if line.startswith("    "))


def test_the_readmes_simplest_call_runs_and_prints_the_summary(running, quick, add_head, capsys):
    harness.load_module(file)
    add_head("MRI"), add_head("PET", "pet", lattice(rigid((3, 0, 2))))
    names = {"slicer": slicer}  # as in the Python console
    exec(example("#### The simplest call"), names)
    assert names["result"].fusedVolume.GetName() == "MRI + PET (BSAFusion fused)"
    printed = capsys.readouterr().out.splitlines()
    first = [n for n, line in enumerate(printed) if line.startswith("The PET was moved by ")]
    assert first and "xpect" in printed[first[0] + 1]
    assert any(line.startswith("Rotation   ") for line in printed)


def test_the_call_with_all_outputs_and_settings_runs(running, quick, add_head):
    harness.load_module(file)
    add_head("MRI"), add_head("CT", "ct", lattice(rigid((3, 0, 2))))
    names = {"slicer": slicer}  # as in the Python console
    exec(example("## All outputs and settings"), names)
    assert names["result"].registeredVolume.GetName() == "CT on MRI"
    assert names["result"].report.modality == "ct"
    assert slicer.util.getNode("CT").GetParentTransformNode() is names["result"].gridTransform


def test_the_loop_over_a_folder_runs(running, quick, add_head, tmp_path):
    harness.load_module(file)
    folder = tmp_path / "patients"
    for patient in ("anna", "ben"):
        for name, contrast in (("mri", "mri"), ("pet", "pet")):
            path = folder / patient / f"{name}.nrrd"
            path.parent.mkdir(parents=True, exist_ok=True)
            slicer.util.saveNode(add_head(name, contrast), str(path))
    exec(example("## A loop over a folder").replace("/data/patients", folder.as_posix()), {"slicer": slicer})
    for patient in ("anna", "ben"):
        assert (folder / patient / "fused.nrrd").is_file()
        assert (folder / patient / "deformation.h5").is_file()
