"""`apply` takes the series that are named of a study's folder, and folders by any of their names."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from Testing.dicom.conftest import write_series

pet, mri, other_mri = "1.2.3.9", "1.2.3.1", "1.2.3.2"


@pytest.fixture
def study(tmp_path: Path, volume: sitk.Image) -> Path:
    """A folder with an MR of 6 slices and a PET of 4 of the same place; beside it shift.tfm."""
    folder = tmp_path / "study"
    write_series(folder / "mr", volume, "MR", mri)
    write_series(folder / "pet", volume[:, :, :4], "PT", pet, Units="GML")
    sitk.WriteTransform(sitk.TranslationTransform(3, (0, 0, 0)), str(tmp_path / "shift.tfm"))
    return folder


def apply(study: Path, *words: Path | str) -> int:
    return main(["apply", str(study.parent / "shift.tfm"), *map(str, words)])


def slices(path: Path) -> int:
    return sitk.ReadImage(str(path)).GetSize()[2]


def test_the_reference_of_a_study_is_its_mri_and_with_inverse_the_other_volume(study: Path, tmp_path: Path) -> None:
    assert apply(study, study / "pet", "--reference", study, "--out", tmp_path / "out") == 0
    assert slices(tmp_path / "out" / "pet.nrrd") == 6
    assert apply(study, study / "mr", "--inverse", "--reference", study, "--out", tmp_path / "out") == 0
    assert slices(tmp_path / "out" / "mr.nrrd") == 4
    assert apply(study, study / "mr", "--reference", study / "pet", "--out", tmp_path / "out") == 0  # holds no MRI
    assert slices(tmp_path / "out" / "mr.nrrd") == 4


def test_series_are_named_by_their_uids(
    study: Path, tmp_path: Path, volume: sitk.Image, capsys: pytest.CaptureFixture
) -> None:
    write_series(study / "more", volume[:, :, :5], "MR", other_mri)
    out, to_pet = tmp_path / "moved.nrrd", ("--reference", study / "pet")
    assert apply(study, study, *to_pet, "--out", out) == 2
    assert "name one by its UID" in capsys.readouterr().err
    assert apply(study, study, "--series", pet, *to_pet, "--out", out) == 0
    carried, expected = sitk.GetArrayFromImage(sitk.ReadImage(str(out))), sitk.GetArrayFromImage(volume)[:4]
    assert np.abs(carried - expected).max() < 1e-3
    assert apply(study, study / "pet", "--reference", study, "--reference-series", other_mri, "--out", out) == 0
    assert slices(out) == 5
    assert apply(study, study / "pet", "--reference", study, "--reference-series", pet, "--out", out) == 0
    assert slices(out) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["volume.nrrd", "--series", pet], "--series applies to one DICOM image, but 0 are given; omit it."),
        (["study", "study/pet", "--series", pet], "but 2 are given; carry each by itself."),
        (["study/pet", "--reference-series", mri], "but volume.nrrd is not DICOM; omit it."),
    ],
)
def test_a_series_that_would_be_ignored_is_rejected(
    study: Path, tmp_path: Path, volume: sitk.Image, words: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    sitk.WriteImage(volume, str(tmp_path / "volume.nrrd"))
    paths = [word if word.startswith(("-", "1.2")) else tmp_path / word for word in words]
    assert apply(study, *paths, "--reference", tmp_path / "volume.nrrd", "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("inside", "given"), [("pet", "."), ("pet/below", "..")])
def test_a_folder_without_a_name_of_its_own_is_called_as_it_is(
    study: Path, monkeypatch: pytest.MonkeyPatch, inside: str, given: str
) -> None:
    (study / "pet" / "below").mkdir()
    monkeypatch.chdir(study / inside)
    assert apply(study, given, "--reference", study / "mr") == 0
    assert slices(study / "pet_applied.nrrd") == 6
