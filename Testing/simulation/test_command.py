"""The command `simulate`: the files it writes, and what a mistake says and leaves behind."""

import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionResearch.simulation.files import OUTPUTS
from Testing.phantoms import labeled_head


@pytest.fixture(scope="module")
def head_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heads") / "head.nii.gz"
    sitk.WriteImage(labeled_head(), str(path))
    return path


@pytest.fixture(scope="module")
def simulated(head_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a simulated SPECT."""
    folder = tmp_path_factory.mktemp("patients") / "new folder"
    options = "--seed 4 --elastic 6 --rotation 12 --translation 15 --lesion infarct --skull-stripped --fixed-view slab"
    assert main(["simulate", str(head_file), "spect", "--out", str(folder), *options.split()]) == 0
    return folder


def test_a_patient_is_written_as_five_files(simulated: Path) -> None:
    assert {path.name for path in simulated.iterdir()} == set(OUTPUTS)
    fixed, labels = (sitk.ReadImage(str(simulated / name)) for name in ("fixed.nii.gz", "labels.nii.gz"))
    assert labels.GetSize() == fixed.GetSize() and labels.GetOrigin() == pytest.approx(fixed.GetOrigin())
    assert 33 in sitk.GetArrayViewFromImage(labels)


def test_the_description_holds_every_choice_and_what_was_drawn(simulated: Path) -> None:
    description = json.loads((simulated / "simulation.json").read_text())
    settings = description["settings"]
    assert (settings["seed"], settings["elastic_mm"], settings["removed"]) == (4, 6.0, "skull")
    assert description["head"] == "head.nii.gz"
    moving = sitk.ReadImage(str(simulated / "moving.nii.gz"))
    assert moving.GetSpacing() == pytest.approx(description["drawn"]["moving_scanner"]["spacing_mm"], abs=1e-4)
    errors = description["error_in_brain_mm"]
    assert errors["before"] > 10 > 3 > errors["best_rigid"] > 0.5


def test_the_truth_carries_the_brain_of_the_labels_onto_that_of_the_moving_scan(simulated: Path) -> None:
    truth = sitk.ReadTransform(str(simulated / "truth.h5"))
    labels, moving = (sitk.ReadImage(str(simulated / name)) for name in ("labels.nii.gz", "moving.nii.gz"))
    grid = labels[::3, ::3, ::3]
    right = sitk.GetArrayFromImage(sitk.Resample(moving, grid, truth, sitk.sitkLinear))
    unmoved = sitk.GetArrayFromImage(sitk.Resample(moving, grid, sitk.Transform(), sitk.sitkLinear))
    brain = np.isin(sitk.GetArrayViewFromImage(grid), (1, 2, 4, 5, 7))
    assert np.corrcoef(right.ravel(), brain.ravel())[0, 1] > np.corrcoef(unmoved.ravel(), brain.ravel())[0, 1] + 0.02
    assert right[brain].mean() > 4 * right[~brain].mean()


def test_a_sheared_grid_is_written_whole(head_file: Path, tmp_path: Path) -> None:
    options = ["--gantry", "15", "--moving-view", "slab", "--fixed-view", "slab", "--elastic", "0", "--seed", "1"]
    assert main(["simulate", str(head_file), "ct", "--out", str(tmp_path), *options]) == 0
    header = gzip.decompress((tmp_path / "moving.nii.gz").read_bytes())[:348]
    sform = np.array(struct.unpack_from("<12f", header, 280)).reshape(3, 4)[:, :3]
    axes = sform / np.linalg.norm(sform, axis=0)
    assert struct.unpack_from("<2h", header, 252) == (0, 1)
    assert abs(axes[:, 1] @ axes[:, 2]) == pytest.approx(np.sin(np.radians(15)), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["missing.nii.gz", "ct"], "missing.nii.gz"),
        (["HEAD", "ct", "--elastic", "-3"], "elastic mm is -3.0"),
        (["HEAD", "ct", "--tracer", "fdg"], "fdg does not go with ct"),
        (["HEAD", "pet", "--gantry", "10"], "gantry"),
        (["MRI", "ct"], "not tissue codes"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence_and_writes_nothing(
    options: list[str], said: str, head_file: Path, simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    files = {"HEAD": str(head_file), "MRI": str(simulated / "fixed.nii.gz")}
    out = tmp_path / "out"
    assert main(["simulate", *(files.get(option, option) for option in options), "--out", str(out)]) == 2
    sentences = capsys.readouterr().err.splitlines()
    assert len(sentences) == 1 and said in sentences[0]
    assert not out.exists()


def test_a_head_that_would_be_overwritten_is_kept(head_file: Path, tmp_path: Path, capsys) -> None:
    head = tmp_path / "labels.nii.gz"
    shutil.copy(head_file, head)
    before = head.read_bytes()
    assert main(["simulate", str(head), "spect", "--out", str(tmp_path)]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"labels.nii.gz"} and head.read_bytes() == before
