"""DICOM folders through `fuse`: the results say which frame of reference they lie in, and never whose they are."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.viewer.result_folder import read_result
from Testing.dicom.conftest import frame_of_reference, patient_id, patient_name, write_series
from Testing.phantoms import centered_grid, make_head, save_untrained, small_head


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two MRs and a PET in one folder, which bears the patient's name as scanners' exports do."""
    folder = tmp_path_factory.mktemp("study") / patient_name
    for number in (1, 2):
        write_series(folder / f"{patient_id} MR{number}", small_head(0), "MR", f"1.2.3.{number}")
    write_series(folder / f"{patient_id} PET", small_head(1), "PT", "1.2.3.9", slopes=0.01, Units="GML")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_untrained(path, modality="pet")
    return path


def test_results_name_their_frame_of_reference_and_never_the_patient(
    study: Path, weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    arguments = ["fuse", study, study, "--fixed-series", "1.2.3.2", "--out", out, "--weights", weights]
    arguments += ["--prealignment", "none"]
    assert main(list(map(str, arguments))) == 0
    for name in ("fused.nrrd", "registered.nrrd"):
        assert sitk.ReadImage(str(out / name)).GetMetaData("FrameOfReferenceUID") == frame_of_reference
    registered = sitk.ReadImage(str(out / "registered.nrrd"))
    assert registered.GetMetaData("Unit") == "SUVbw"
    assert 5 < sitk.GetArrayViewFromImage(registered).max() < 10  # of 600 to 1000 stored
    report = json.loads((out / "report.json").read_text())
    assert report["modality"] == "pet"
    assert report["dicom"]["fixed"]["SeriesInstanceUID"] == "1.2.3.2"
    assert report["dicom"]["moving"]["FrameOfReferenceUID"] == frame_of_reference
    assert report["inputs"] == {}
    assert (
        report["run"]["command"]
        .split(maxsplit=2)[2]
        .startswith("fuse DICOM_MRI DICOM_PET --modality pet --prealignment none ")
    )
    assert "--fixed-series 1.2.3.2 " in report["run"]["command"]
    assert report["run"]["moving"]["unit"] == "SUV"
    assert read_result(out, study, study).missing == ()  # the viewer finds the same series again

    everything = "".join(capfd.readouterr()).encode()
    for path in out.rglob("*"):
        content = path.read_bytes()
        everything += path.name.encode() + content
        if path.suffix == ".nrrd":
            everything += gzip.decompress(content.partition(b"\n\n")[2])
    for word in ("planted", "penelope", "471108151627"):
        assert word.encode() not in everything.lower()


def test_a_mistake_is_said_without_the_patients_name(study: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert main(["fuse", str(study), str(study), "--out", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert "2 MRI series" in said and "1.2.3.1" in said
    assert "planted" not in said.lower()


def test_the_values_of_a_ct_tell_its_unit_not_its_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its air lies at 24, and its tags say that the unit is unspecified (US)."""
    monkeypatch.setattr("BSAFusionLib.commands._case._write_page", lambda *arguments: None)  # it takes seconds
    grid = centered_grid((25, 27, 20), (8.0, 8.0, 10.0), np.eye(3))
    mri, ct = (make_head(grid, modality) for modality in ("mri", "ct"))
    write_series(tmp_path / "mr", sitk.Cast(mri, sitk.sitkInt16), "MR")
    write_series(tmp_path / "ct", sitk.Cast(ct + 1024, sitk.sitkInt16), "CT", RescaleType="US")
    save_untrained(weights := tmp_path / "weights.safetensors", modality="ct")
    arguments = ["fuse", tmp_path / "mr", tmp_path / "ct", "--out", tmp_path / "out", "--weights", weights]
    assert main([*map(str, arguments), "--prealignment", "none", "--one-axis"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    stored = sitk.ReadImage(str(tmp_path / "out" / "registered.nrrd")).GetMetaData("Unit")
    assert {report["overlay"]["unit"], report["run"]["moving"]["unit"], report["unit"], stored} == {"HU +1024"}
