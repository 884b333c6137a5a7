"""No command writes over what it reads, whichever way the file is named; it says so before it computes anything."""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import command_modules, main
from BSAFusionLib.cohort.reading import read_cohort
from BSAFusionLib.commands.batch import batch_outputs
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import files_of, files_written, refuse_overwriting
from BSAFusionLib.files.volumes import write_volume
from Testing.dicom.conftest import write_series
from Testing.phantoms import save_untrained, small_head

# Which make a run quick.
quick = ("--prealignment", "none", "--one-axis", "--no-check", "--device", "cpu")
repository = Path(__file__).resolve().parents[2]


@pytest.fixture
def mri(tmp_path: Path) -> Path:
    path = tmp_path / "mri.nii.gz"
    sitk.WriteImage(small_head(0, slices=3), str(path))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_untrained(path, modality="pet")
    return path


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(folder: Path, capsys: pytest.CaptureFixture, named: Path | str, *arguments: str | Path) -> None:
    """Check that a command fails with one sentence that names the file, and changes nothing in the folder."""
    before = contents(folder)
    assert main([str(argument) for argument in arguments]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert str(named) in sentence
    assert "choose another" in sentence
    assert contents(folder) == before


def hard_link(target: Path, link: Path) -> None:
    os.link(target, link)


def symbolic_link(target: Path, link: Path) -> None:
    link.symlink_to(target)


def symbolic_link_from_input(target: Path, link: Path) -> None:
    """Make the input a link; the result would replace the file that it leads to."""
    target.rename(link)
    target.symlink_to(link)


@pytest.mark.parametrize("result", ["fused", "registered"])
def test_fuse_leaves_a_moving_volume_that_is_called_like_a_result(
    mri: Path, out: Path, tmp_path: Path, result: str
) -> None:
    moving = out / f"{result}.nrrd"
    sitk.WriteImage(small_head(1, slices=3), str(moving))
    before = contents(tmp_path)
    command = [sys.executable, "-m", "BSAFusionLib", "fuse", mri, moving, "--modality", "pet", "--out", out]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert finished.returncode == 2
    assert finished.stderr == (
        f"The file {moving} is an input of this run and would be overwritten by a result; choose another place for "
        "the results.\n"
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("link", [hard_link, symbolic_link, symbolic_link_from_input])
def test_links_lead_to_the_same_file(
    mri: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture, link: Callable[[Path, Path], None]
) -> None:
    moving = tmp_path / "pet.nrrd"
    sitk.WriteImage(small_head(1, slices=3), str(moving))
    link(moving, out / "registered.nrrd")
    assert_refused(tmp_path, capsys, out / "registered.nrrd", "fuse", mri, moving, "--out", out)


def test_a_folder_by_another_name_is_the_same_folder(
    mri: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sitk.WriteImage(small_head(1, slices=3), str(out / "registered.nrrd"))
    (tmp_path / "link").symlink_to(out)
    for other in (tmp_path / "link", out / ".." / "out"):
        named = other / "registered.nrrd"
        assert_refused(tmp_path, capsys, named, "fuse", mri, out / "registered.nrrd", "--out", other)


def test_where_case_does_not_count_it_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "Registered.nrrd").touch()
    if not (tmp_path / "registered.nrrd").exists():
        pytest.skip("this file system tells upper from lower case")
    with pytest.raises(FusionError, match="would be overwritten"):
        refuse_overwriting([tmp_path / "Registered.nrrd"], [tmp_path / "registered.nrrd"])


@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_the_voxels_beside_a_header_are_an_input(
    mri: Path, tmp_path: Path, capsys: pytest.CaptureFixture, kind: str
) -> None:
    sitk.WriteImage(small_head(1, slices=3), str(tmp_path / f"pet.{kind}"))
    (voxels,) = (path for path in tmp_path.iterdir() if path.stem.startswith("pet") and path.suffix.endswith("raw"))
    options = ["--out", tmp_path / "new", "--json", voxels]
    assert_refused(tmp_path, capsys, voxels, "fuse", mri, tmp_path / f"pet.{kind}", *options)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("ElementDataFile = a b.raw\n", ["a b.raw"]),
        ("ElementDataFile = LIST\ns1.raw\ns2.raw\n", ["s1.raw", "s2.raw"]),
        ("ElementDataFile = s%02d.raw 1 2 1\n", ["s01.raw", "s02.raw"]),
        ("ElementDataFile = s%02d.raw 1 3 2\n", ["s01.raw", "s03.raw"]),
        ("ElementDataFile = s%d.raw 9 10\n", ["s9.raw", "s10.raw"]),
        ("ElementDataFile = s%02d.raw\n", ["s01.raw", "s20.raw"]),
        ("ElementDataFile = LOCAL\n\x00\n", []),
        ("NRRD0004\ndata file: a b.raw\r\n", ["a b.raw"]),
        ("NRRD0004\ndatafile: LIST 2\nsub/s1.raw\n", ["sub/s1.raw"]),
        ("NRRD0004\nencoding: raw\n\n\x00", []),
    ],
)
def test_files_that_a_header_names_belong_to_it(tmp_path: Path, header: str, data: list[str]) -> None:
    (tmp_path / "sub").mkdir()
    for name in data:
        (tmp_path / name).touch()
    for name in ("volume.nhdr" if header.startswith("NRRD") else "volume.mhd", "volume.hdr", "volume.txt", "volume"):
        path = tmp_path / name
        path.write_bytes(header.encode())
        assert sorted(files_of(path)) == sorted([path, *(tmp_path / name for name in data)])
        path.unlink()


@pytest.mark.parametrize(
    ("given", "beside"),
    [
        ("pet.nii.gz", ["pet.json"]),
        ("pet.hdr", ["pet.img"]),
        ("pet.img", ["pet.hdr", "pet.json"]),
        ("PET.HDR", ["PET.IMG"]),
        ("PET.IMG.GZ", ["PET.HDR", "PET.json"]),
        ("PET.NII.GZ", ["PET.json"]),
        ("pet.nii.bz2", ["pet.json"]),
        ("ct.safetensors", ["ct.json"]),
        ("split.safetensors", ["split.safetensorsaa", "split.safetensorsab"]),
    ],
)
def test_files_beside_a_file_belong_to_it(tmp_path: Path, given: str, beside: list[str]) -> None:
    for name in (*beside, "other.json", "pet2.img"):
        (tmp_path / name).touch()
    assert sorted(files_of(tmp_path / given)) == sorted([tmp_path / given, *(tmp_path / name for name in beside)])


def test_landmarks_weights_and_sidecars_are_inputs(
    mri: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pet, sidecar = tmp_path / "pet.nii.gz", tmp_path / "pet.json"
    points, own_weights = tmp_path / "points.mrk.json", tmp_path / "own.safetensors"
    sitk.WriteImage(small_head(1, slices=3), str(pet))
    shutil.copy(weights, own_weights)
    sidecar.write_text("{}")
    points.write_text("{}")
    options = ["--landmarks", points, points, "--weights", own_weights, "--out", tmp_path / "new"]
    for file in (sidecar, points, own_weights):
        assert_refused(tmp_path, capsys, file, "fuse", mri, pet, *options, "--json", file)


def test_a_mask_and_what_is_carried_along_are_inputs(
    mri: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pet, mask, transform = tmp_path / "pet.nrrd", out / "fused.nrrd", tmp_path / "rigid.tfm"
    for path in (pet, mask):
        sitk.WriteImage(small_head(1, slices=3), str(path))
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(transform))
    assert_refused(tmp_path, capsys, mask, "fuse", mri, pet, "--fixed-mask", mask, "--out", out)
    carried = ["apply", transform, pet, mask, "--reference", mri, "--out"]
    assert_refused(tmp_path, capsys, mask, *carried, out)
    assert_refused(tmp_path, capsys, pet, *carried[:3], *carried[4:], pet)


@pytest.mark.parametrize("ending", [".mhd", ".nhdr", ".hdr", ".img", ".mha", ".nii.gz"])
def test_all_files_that_a_volume_is_written_to_are_known(tmp_path: Path, ending: str) -> None:
    result = tmp_path / f"pet.1{ending}"
    write_volume(small_head(1, slices=3), result)
    assert {*tmp_path.iterdir()} == {*files_written(result)}


@pytest.mark.parametrize(("ending", "beside"), [(".mhd", ".zraw"), (".nhdr", ".raw.gz")])
def test_the_voxels_that_are_written_beside_a_result_replace_no_input(
    mri: Path, tmp_path: Path, capsys: pytest.CaptureFixture, ending: str, beside: str
) -> None:
    result, pet, transform = tmp_path / f"pet{ending}", tmp_path / f"other{ending}", tmp_path / "rigid.tfm"
    write_volume(small_head(1, slices=3), result)
    result.rename(pet)
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(transform))
    data = result.with_suffix(beside)
    assert_refused(tmp_path, capsys, data, "apply", transform, pet, "--reference", mri, "--out", result)


@pytest.mark.parametrize("link", [hard_link, symbolic_link])
def test_links_lead_to_a_dicom_file(
    mri: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture, link: Callable[[Path, Path], None]
) -> None:
    write_series(tmp_path / "PT", small_head(0, slices=3), "PT")
    link(next((tmp_path / "PT").iterdir()), out / "report.html")
    assert_refused(tmp_path, capsys, "report.html", "fuse", mri, tmp_path / "PT", "--out", out)


def test_two_results_need_two_files_and_a_folder_is_none(
    mri: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pet = tmp_path / "pet.nrrd"
    sitk.WriteImage(small_head(1, slices=3), str(pet))
    for file in (out / "report.json", out):
        assert_refused(tmp_path, capsys, file, "fuse", mri, pet, "--out", out, "--json", file)
    os.mkfifo(out / "pipe")
    assert_refused(tmp_path, capsys, out / "pipe", "fuse", mri, pet, "--out", out, "--json", out / "pipe")
    (out / "fused.nrrd").mkdir()
    assert_refused(tmp_path, capsys, out / "fused.nrrd", "fuse", mri, pet, "--out", out)


def test_results_may_lie_beside_inputs_of_other_names(mri: Path, weights: Path, tmp_path: Path) -> None:
    pet = tmp_path / "pet.nrrd"
    sitk.WriteImage(small_head(1, slices=3), str(pet))
    before = contents(tmp_path)
    fuse = ["fuse", mri, pet, "--modality", "pet", "--out", tmp_path, "--weights", weights, *quick]
    for _ in range(2):  # the second run replaces the first one's results
        assert main(list(map(str, fuse))) == 0
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert tmp_path / "registered.nrrd" in after


def test_results_may_lie_in_a_dicom_folder_and_are_not_read_as_part_of_it(weights: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_series(study / "MR", small_head(0, slices=3), "MR")
    write_series(study / "PET", small_head(1, slices=3), "PT")
    before = contents(study)
    fuse = ["fuse", study, study, "--out", study / "PET", "--weights", weights, *quick]
    results = []
    for _ in range(2):
        assert main(list(map(str, fuse))) == 0
        results.append(sitk.GetArrayFromImage(sitk.ReadImage(str(study / "PET" / "registered.nrrd"))).tobytes())
    assert results[0] == results[1]
    after = contents(study)
    assert {path: after[path] for path in before} == before


def test_a_dicom_file_of_a_folder_is_an_input(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for modality in ("MR", "PT"):
        write_series(tmp_path / modality, small_head(0, slices=3), modality)
    file = next((tmp_path / "PT").iterdir())
    file.rename(tmp_path / "PT" / "report.json")  # DICOM files may have any name
    folders = [tmp_path / "MR", tmp_path / "PT"]
    assert_refused(tmp_path, capsys, "report.json", "fuse", *folders, "--out", tmp_path / "PT")


def table(folder: Path, *rows: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text("\n".join(["case,fixed,moving,modality", *rows]), encoding="utf-8")
    return path


def test_no_row_of_a_batch_overwrites_what_another_reads(
    mri: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sitk.WriteImage(small_head(1, slices=3), str(tmp_path / "pet.nii.gz"))
    first = "sub-1/pet/sub-1_space-MRI_desc-registered_pet.nii.gz"
    for exists in (False, True):
        if exists:
            (tmp_path / "out" / first).parent.mkdir(parents=True)
            shutil.copy(tmp_path / "pet.nii.gz", tmp_path / "out" / first)
        cohort = table(tmp_path, f"1,{mri.name},pet.nii.gz,pet", f"2,{mri.name},out/{first},pet")
        assert_refused(tmp_path, capsys, first, "batch", cohort, "--out", tmp_path / "out")


@pytest.mark.parametrize("name", ["summary.csv", "sub-1/pet/sub-1_desc-petfusion_report.json"])
def test_the_table_of_a_batch_is_an_input(mri: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    cohort = tmp_path / name
    cohort.parent.mkdir(parents=True, exist_ok=True)
    cohort.write_text(f"case,fixed,moving,modality\n1,{mri},{mri},pet\n")
    assert_refused(tmp_path, capsys, name, "batch", cohort, "--out", tmp_path)


def test_a_batch_does_not_describe_its_dataset_as_results(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "trial", "BIDSVersion": "1.10.0"}))
    for name in ("anat/sub-1_T1w.nii.gz", "pet/sub-1_pet.nii.gz"):
        (tmp_path / "sub-1" / name).parent.mkdir(parents=True)
        sitk.WriteImage(small_head(0, slices=3), str(tmp_path / "sub-1" / name))
    assert_refused(tmp_path, capsys, "dataset_description.json", "batch", tmp_path, "--out", tmp_path)


def test_a_batch_writes_what_it_says_and_is_done_once_within_a_dicom_folder(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for modality, shift in (("MR", 0.0), ("PT", 0.5)):
        write_series(tmp_path / "study" / modality, small_head(shift, slices=3), modality)
    cohort, out = table(tmp_path, "1,study,study,pet"), tmp_path / "study" / "fused"
    batch = ["batch", cohort, "--out", out, "--workers", 1, "--weights", weights, *quick]
    assert main(list(map(str, batch))) == 0
    written = {path for path in out.rglob("*") if path.is_file()}
    announced = set(batch_outputs(out, read_cohort(cohort).cases))
    names = {path.name for path in announced - written}
    of_failure = {"sub-1_pet.txt", ".sub-1_pet.failed"}
    assert of_failure <= names  # nothing failed
    # Untrained weights are not calibrated, and the PET has no frames.
    assert all("expectedError" in name or "registeredFrames" in name for name in names - of_failure)
    assert written <= announced
    capsys.readouterr()
    assert main(list(map(str, batch))) == 0
    assert "1 cases, 1 of them done before" in capsys.readouterr().err


# Of every command with an option for a file or folder to write: arguments with which it would overwrite an input.
others = {
    "apply": "apply {file} {folder}/a.nii.gz --reference {file} --out {file}",
    "batch": "batch {file} --out {folder}",
    "benchmark": "benchmark --weights {file} --json {file}",
    "calibrate": "calibrate --heads {folder} --weights {file} --out {folder}",
    "cut_slices": "cut_slices --heads {folder} --out {folder}",
    "demo": "demo --weights {file} --out {folder}/new --json {file}",
    "evaluate": "evaluate --weights {file} --data {folder} --json {file}",
    "fit_verdict": "fit_verdict --heads {folder} --out {folder}/new --json {file}",
    "fuse": "fuse {file} {file} --out {folder}/new --json {file}",
    "import_slices": "import_slices {folder} --out {folder}",
    "simulate": "simulate {file} pet --out {folder}",
    "train": "train --data {folder} --modality all --start {file} --out {folder}/new --json {file}",
    "train_pose": "train_pose --heads {folder} --out {folder}/new --standard-head {file}",
    "wild": "wild {folder} --out {folder}/new --json {file}",
}
names = {
    "apply": "a.nii.gz",
    "calibrate": "ct.json",
    "cut_slices": "01.nii.gz",
    "fit_verdict": "11.nii.gz",
    "import_slices": "MRI/16003.png",
    "simulate": "labels.nii.gz",
    "train_pose": "01.nii.gz",
}
writing_options = {"out", "json", "sheets"}
commands = command_modules()


@pytest.mark.parametrize("command", sorted(commands))
def test_every_command_that_writes_refuses(command: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    parser = argparse.ArgumentParser(description="")
    importlib.import_module(commands[command]).add_arguments(parser)
    writes = writing_options & {action.dest for action in parser._actions}
    assert bool(writes) == (command in others)
    if writes:
        file = tmp_path / names.get(command, "summary.csv")
        for folder in ("MRI", "CT"):  # which import_slices reads
            (tmp_path / folder).mkdir()
        file.write_text("case,fixed,moving,modality\n1,a,b,pet\n")
        (tmp_path / "ct.npz").symlink_to(file)  # what those that make slices write
        for head in (12, 13, 14, 15):  # which fit_verdict reads besides
            (tmp_path / f"{head}.nii.gz").touch()
        named = tmp_path / "ct.npz" if command in ("cut_slices", "import_slices") else file
        assert_refused(tmp_path, capsys, named, *others[command].format(file=file, folder=tmp_path).split())


@pytest.mark.parametrize(
    "arguments",
    [
        "train --data {folder} --modality pet --out {folder} --start {folder}/pet.safetensors",
        "train --data {folder} --modality pet --out {folder}/new --json {folder}/pet.npz",
        "train --data {folder} --modality pet --out {folder}/new --labels {folder}/pet.npz --json {folder}/pet.npz",
        "train --data {folder} --modality pet --out {folder}/new --resume {folder}/pet.npz --json {folder}/pet.npz",
        "evaluate --data {folder} --json {folder}/pet.npz",
        "evaluate --benchmark {folder} --modality pet --weights {folder}/pet.png --sheets {folder}",
        "evaluate --cases 1 --volumes {folder} --json {folder}/pet.nii.gz",
        "benchmark --volumes {folder} --json {folder}/pet.nii.gz",
    ],
)
def test_training_and_measuring_refuse_for_each_kind_of_input(
    arguments: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("pet.npz", "pet.safetensors", "pet.png", "pet.nii.gz"):
        (tmp_path / name).touch()
    assert_refused(tmp_path, capsys, tmp_path / "pet.", *arguments.format(folder=tmp_path).split())
