"""Inputs in each other's place, and the same one twice, are refused with the command that is right."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from BSAFusionLib.__main__ import main
from BSAFusionLib.commands._program import program_words
from BSAFusionLib.files.inputs import Pair, read_pair
from Testing.dicom.conftest import write_series
from Testing.phantoms import small_head


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """An MRI and a CT in Hounsfield units, as files and as DICOM folders."""
    mri = small_head(0.0)
    inside = sitk.GetArrayFromImage(mri) > 0
    noise = np.random.default_rng(1).normal(0, 8, inside.shape)
    ct = sitk.GetImageFromArray((np.where(inside, 35, -1000) + noise).astype(np.int16))
    ct.CopyInformation(mri)
    paths = {"mri": tmp_path / "the mri.nii.gz", "ct": tmp_path / "ct.nii.gz"}
    for name, image in (("mri", mri), ("ct", ct)):
        sitk.WriteImage(image, str(paths[name]))
    write_series(tmp_path / "mr", mri, "MR")
    write_series(tmp_path / "xct", ct, "CT")
    return {**paths, "mr folder": tmp_path / "mr", "ct folder": tmp_path / "xct"}


def said(capsys: pytest.CaptureFixture, out: Path, *arguments: object) -> str:
    assert main(["fuse", *map(str, arguments), "--out", str(out)]) == 2
    assert not list(out.glob(".unfinished*"))
    return capsys.readouterr().err.splitlines()[-1]


def test_a_ct_given_first_is_told_with_the_command_that_exchanges_them(inputs, tmp_path, capsys) -> None:
    line = said(capsys, tmp_path / "out", inputs["ct"], inputs["mri"], "--modality", "ct")
    assert "The fixed volume is in Hounsfield units" in line
    program = shlex.join(program_words(Path()))
    right = f"Run: {program} fuse '{inputs['mri']}' {inputs['ct']} --modality ct --out {tmp_path / 'out'}"
    assert line.endswith(right)


def test_the_command_that_exchanges_them_keeps_all_other_words(inputs, tmp_path, capsys, monkeypatch) -> None:
    points = {"markups": [{"controlPoints": [{"position": [0, 0, 0]}]}]}
    for name in ("a.mrk.json", "b.mrk.json"):
        (tmp_path / name).write_text(json.dumps(points))
    monkeypatch.chdir(tmp_path)
    series = dcmread(next(inputs["ct folder"].iterdir())).SeriesInstanceUID
    inputs["ct folder"].rename("ct")
    options = ["--preset", "rigid", "--modality", "ct", "--json", "a.json", "--threads", "2", "--strict"]
    typed = [*options, "./ct", "mr", "--landmarks", "a.mrk.json", "./b.mrk.json", f"--fixed-series={series}"]
    line = said(capsys, tmp_path / "out", *typed)
    right = [*options, "mr", "ct", "--landmarks", "b.mrk.json", "a.mrk.json", f"--moving-series={series}"]
    words = [*program_words(tmp_path), "fuse", *right, "--out", str(tmp_path / "out")]
    assert line.endswith(f" Run: {shlex.join(words)}")


@pytest.mark.parametrize("second", ["mr folder", "mri"])
def test_a_dicom_series_of_the_other_kind_is_told(inputs, tmp_path, capsys, second) -> None:
    line = said(capsys, tmp_path / "out", inputs["ct folder"], inputs[second])
    assert "The DICOM folder holds no MRI volume but CT; exchange the two volumes." in line
    assert f"fuse {shlex.quote(str(inputs[second]))} {inputs['ct folder']} --out" in line
    line = said(capsys, tmp_path / "out", inputs["mri"], inputs["mr folder"])
    assert "holds no CT or PET or SPECT volume but MRI; exchange the two volumes." in line


def test_the_same_file_twice_is_told_by_any_path(inputs, tmp_path, capsys) -> None:
    (tmp_path / "link.nii.gz").symlink_to(inputs["mri"])
    for other in (inputs["mri"], tmp_path / "link.nii.gz"):
        line = said(capsys, tmp_path / "out", inputs["mri"], other, "--modality", "pet")
        assert "The fixed and the moving volume are the same file" in line
    shutil.copy(inputs["mri"], tmp_path / "copy.nii.gz")
    line = said(capsys, tmp_path / "out", inputs["mri"], tmp_path / "copy.nii.gz", "--modality", "pet")
    assert "The fixed and the moving volume are the same: both hold the same voxels" in line


@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_a_series_of_a_file_that_is_no_dicom_is_rejected(inputs, tmp_path, capsys, role: str) -> None:
    line = said(capsys, tmp_path / "out", inputs["mri"], inputs["ct"], "--modality", "ct", f"--{role}-series", "1.2")
    name = inputs["mri" if role == "fixed" else "ct"].name
    option = f"--{role}-series (in a table: {role}_series)"
    assert line == f"{option} applies to DICOM only, but {name} is not DICOM; omit it."


@pytest.mark.parametrize("stated", ["name", "sidecar"])
def test_an_mri_given_second_is_told_by_its_bids_name_or_sidecar(inputs, tmp_path, capsys, stated) -> None:
    moving = tmp_path / ("sub-01_ses-2_T1w.nii.gz" if stated == "name" else "scan.nii.gz")
    shutil.copy(inputs["mri"], moving)
    if stated == "sidecar":
        (tmp_path / "scan.json").write_text('{"Modality": "MR"}')
    line = said(capsys, tmp_path / "out", inputs["ct"], moving, "--modality", "pet")
    assert line.startswith("The moving volume is an MRI by its name or sidecar; exchange the two volumes. Run: ")
    assert f"fuse {moving} {inputs['ct']} --modality pet" in line
    shutil.copy(inputs["mri"], tmp_path / "sub-01_T2w.nii.gz")
    line = said(capsys, tmp_path / "out", tmp_path / "sub-01_T2w.nii.gz", moving, "--modality", "pet")
    assert line == "Both volumes are MRIs by their names or sidecars; give a CT, PET or SPECT as the moving one."


def test_a_pet_given_first_is_told_by_its_bids_name(inputs, tmp_path, capsys) -> None:
    shutil.copy(inputs["ct"], tmp_path / "sub-01_trc-FDG_pet.nii.gz")
    line = said(capsys, tmp_path / "out", tmp_path / "sub-01_trc-FDG_pet.nii.gz", inputs["mri"], "--modality", "pet")
    assert "The fixed volume is a PET by its name or sidecar, and no MRI; exchange the two volumes. Run: " in line


@pytest.mark.parametrize(
    ("name", "sounds"),
    [("my_T1.nii.gz", True), ("mri.nrrd", True), ("pet_on_mri.nii", False), ("ct.nii", False), ("t123.nii", False)],
)
def test_a_name_that_sounds_like_an_mri_is_only_a_remark(inputs, tmp_path, name: str, sounds: bool) -> None:
    fixed, moving = tmp_path / "first.nii.gz", tmp_path / name
    shutil.copy(inputs["mri"], fixed)
    sitk.WriteImage(sitk.ReadImage(str(inputs["ct"])), str(moving))
    remarks = read_pair(Pair(fixed, moving, "ct"))[1].remarks
    assert [f"By its name the moving volume, {name}, may be an MRI" in remark for remark in remarks] == [True] * sounds


@pytest.mark.parametrize(
    ("name", "lowest", "taken_for", "because"),
    [
        ("scan.nii.gz", 0, "pet", "its values, which are no Hounsfield units"),
        ("ct_normalized.nii.gz", 0, "ct", "its name"),
        ("spect.nii.gz", -1000, "ct", "its values, which reach below"),
        ("pet_ct.nii.gz", 0, "pet", "its values"),
    ],
)
def test_a_guessed_modality_is_said_with_the_option_that_sets_it(
    inputs, tmp_path, name: str, lowest: int, taken_for: str, because: str
) -> None:
    values = sitk.Clamp(sitk.ReadImage(str(inputs["ct"])), lowerBound=lowest)
    values[0, 0, 0] = lowest
    sitk.WriteImage(values, str(tmp_path / name))
    moving = read_pair(Pair(inputs["mri"], tmp_path / name))[1]
    assert moving.modality == taken_for
    assert f"{name} was taken for a {taken_for.upper()} because of {because}" in moving.remarks[0]
    assert "give --modality" in moving.remarks[0]


def test_a_pet_by_its_name_stays_one_though_noise_is_far_below_zero(inputs, tmp_path) -> None:
    pet = sitk.Cast(sitk.ReadImage(str(inputs["mri"])), sitk.sitkFloat32)
    noise = np.random.default_rng(0).normal(0, 300, pet.GetSize()[::-1]).astype(np.float32)
    noisy = sitk.GetImageFromArray(10000 * sitk.GetArrayFromImage(pet) / sitk.GetArrayFromImage(pet).max() + noise)
    noisy.CopyInformation(pet)
    sitk.WriteImage(noisy, str(tmp_path / "fdg_pet.nii.gz"))
    moving = read_pair(Pair(inputs["mri"], tmp_path / "fdg_pet.nii.gz"))[1]
    assert moving.modality == "pet"
    assert "because of its name" in moving.remarks[0]


def test_a_stated_modality_is_not_guessed(inputs, tmp_path) -> None:
    sitk.WriteImage(abs(sitk.ReadImage(str(inputs["ct"]))), str(tmp_path / "sub-1_ct.nii.gz"))
    moving = read_pair(Pair(inputs["mri"], tmp_path / "sub-1_ct.nii.gz"))[1]
    assert (moving.modality, moving.remarks) == ("ct", ())


@pytest.mark.parametrize(
    ("stated", "unit"), [("BQML", "BQML"), ("Bq/mL", "Bq/mL"), ("arbitrary", ""), (7, ""), (None, "")]
)
def test_the_unit_is_that_of_the_sidecar(inputs, tmp_path, stated: object, unit: str) -> None:
    sitk.WriteImage(abs(sitk.ReadImage(str(inputs["ct"]))), str(tmp_path / "pet.nii.gz"))
    (tmp_path / "pet.json").write_text(json.dumps({"Modality": "PT", "Units": stated}))
    assert read_pair(Pair(inputs["mri"], tmp_path / "pet.nii.gz"))[1].unit == unit


def test_the_unit_of_a_result_that_is_registered_again_is_that_of_its_header(inputs, tmp_path) -> None:
    registered = abs(sitk.ReadImage(str(inputs["ct"])))
    registered.SetMetaData("Unit", "SUVbw")
    sitk.WriteImage(registered, str(tmp_path / "pet.nrrd"))
    assert read_pair(Pair(inputs["mri"], tmp_path / "pet.nrrd"))[1].unit == "SUVbw"
