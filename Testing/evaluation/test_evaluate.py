"""The command that measures on known motions prints and writes a row a case."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.weights_file import sha256
from BSAFusionLib.pipeline.calibration import uncalibrated
from BSAFusionResearch.commands._case_table import there_and_back
from BSAFusionResearch.commands.evaluate import _check_held_out
from Testing.evaluation.test_case_rows import row as made_up_row
from Testing.phantoms import save_untrained


@pytest.fixture
def volumes(tmp_path):
    """A folder with a coarse egg of a small head as MRI, PET and CT."""
    z, y, x = (np.mgrid[:32, :36, :32] - np.array((15.5, 17.5, 15.5)).reshape(3, 1, 1, 1)) * 6.0
    depth = 1 - np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 75) ** 2)
    inner = 1 - np.sqrt(((x - 15) / 20) ** 2 + ((y + 30) / 30) ** 2 + ((z - 20) / 20) ** 2)
    head, spot = (np.clip(part * 60 / 8, -4, 4) for part in (depth, inner))
    head, spot = (1 / (1 + np.exp(-2 * part)) for part in (head, spot))
    for name, values in (
        ("mri_t1", 100 * head - 60 * spot),
        ("pet", 20 * head + 80 * spot),
        ("ct", -1000 + 1035 * head + 30 * spot),
    ):
        image = sitk.GetImageFromArray(values.astype(np.float32))
        image.SetSpacing((3.5, 3.5, 3.5))  # so small that the search for a head in it takes little
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    return tmp_path


@pytest.fixture
def weights(tmp_path):
    """Those of a small network that nobody trained."""
    save_untrained(tmp_path / "random.safetensors", size=32)
    return tmp_path / "random.safetensors"


@pytest.mark.slow
def test_evaluate_writes_the_error_before_and_after_for_every_case(volumes, weights, capsys):
    figures = volumes / "out" / "figures.json"
    options = ["--seeds", "1", "--device", "cpu", "--weights", str(weights), "--json", str(figures)]
    assert main(["evaluate", "--volumes", str(volumes), *options]) == 0

    rows = json.loads(figures.read_text(encoding="utf-8"))["volumes"]
    assert [(row["modality"], row["seed"]) for row in rows] == [("pet", None), ("pet", 0), ("ct", None), ("ct", 0)]
    for row in rows:
        assert (row["before"] == 0) == (row["seed"] is None)
        assert row["prealigned"] >= 0
        assert row["after"] >= 0
        assert (max(row["motion_prealigned"], row["motion_after"]) < 0.01) == (row["seed"] is None)
    moved = rows[1]
    assert moved["prealigned"] < moved["before"]
    assert f"{moved['before']:.2f}" in capsys.readouterr().out


def test_patients_that_the_weights_were_trained_on_are_not_called_held_out(data_folder, weights, capsys):
    words = ["evaluate", "--data", str(data_folder), "--modality", "ct", "--weights", str(weights), "--device", "cpu"]
    trained_on(weights, {"patients": [3], "started_from": {"patients": [1, 2]}})
    assert main([*words, "--fold", "0"]) == 2
    assert "were trained on patients that fold 0 holds out (1)" in capsys.readouterr().err
    trained_on(weights, {"patients": [2], "started_from": None})
    assert main([*words, "--fold", "0"]) == 0
    assert "not known" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({}, "have no card"),
        ({"patients": [2], "started_from": {"file": "all.safetensors"}}, "started from weights that have no card"),
        (
            {"patients": [2], "started_from": {"patients": [3], "started_from": {"file": "all.safetensors"}}},
            "started from weights that have no card",
        ),
        ({"patients": [2], "started_from": {"patients": [], "started_from": None}}, ""),
    ],
)
def test_patients_of_earlier_weights_without_a_card_are_said_not_to_be_known(training, said, weights, capsys):
    if training:
        trained_on(weights, training)
    _check_held_out(weights, [1], fold=0)
    out = capsys.readouterr().out
    assert said in out
    assert bool(said) == ("whether they were trained on these patients is not known" in out)


def trained_on(weights, training):
    """Lay a card that says so beside weights."""
    card = {"sha256": sha256(weights.read_bytes()), "training": training}
    weights.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")


@pytest.mark.parametrize("measured", ["volumes", "case_rows"])
def test_volumes_and_cases_are_measured_in_the_precision_that_was_asked_for(measured, volumes, weights, monkeypatch):
    asked = []

    def stop(fixed, moving, settings):
        asked.append(settings.precision)
        raise FusionError("Stopped.")

    monkeypatch.setattr(f"BSAFusionResearch.evaluation.{measured}.register_and_fuse", stop)
    options = ["--device", "cpu", "--weights", weights, "--precision", "bfloat16"]
    options += ["--cases", 1] if measured == "case_rows" else ["--seeds", 1]
    assert main(["evaluate", "--volumes", *map(str, [volumes, *options])]) == 2
    assert asked == ["bfloat16"]


def test_evaluate_says_which_volume_is_missing(volumes, capsys):
    (volumes / "mri_t1.nii.gz").unlink()
    assert main(["evaluate", "--volumes", str(volumes)]) == 2
    assert "mri_t1.nii.gz" in capsys.readouterr().err


@pytest.fixture
def cases(volumes, weights):
    """Runs `evaluate` on designed cases of the small volumes, with more options, and gives back its exit code."""
    options = ["--volumes", volumes, "--weights", weights, "--device", "cpu", "--json", volumes / "cases.json"]
    return lambda *more: main(["evaluate", *map(str, [*options, *more])])


@pytest.mark.slow
def test_the_table_of_cases_holds_what_was_measured_and_goes_on_where_it_was_stopped(
    cases, volumes, capsys, monkeypatch
):
    # What a network that nobody trained finds earns nothing, and with nothing kept there would be nothing to measure.
    monkeypatch.setattr("BSAFusionLib.pipeline.verdict.PENALTY_NATS", -1.0)
    assert cases("--cases", 1) == 0
    first = json.loads((volumes / "cases.json").read_text(encoding="utf-8"))
    first["cases"]["rows"][0]["seconds"] = 12345.0  # so that a row measured again would show
    (volumes / "cases.json").write_text(json.dumps(first), encoding="utf-8")
    assert cases("--cases", 2, "--resume") == 0

    figures = json.loads((volumes / "cases.json").read_text(encoding="utf-8"))["cases"]
    assert [(row["number"], row["modality"]) for row in figures["rows"]] == [(0, "pet"), (54, "ct")]
    assert figures["rows"][0]["seconds"] == 12345.0
    for row in figures["rows"]:
        assert row["error_mm"]["prealigned"] < row["error_mm"]["before"]
        assert row["error_mm"]["after"] != row["error_mm"]["prealigned"]
        for measure in ("error_mm", "motion_error_mm"):
            assert row[measure]["after"] != row[measure]["undamped"] or row["report"]["verdict"]["kept"] == 1
        assert row["motion_error_mm"]["after"] != row["error_mm"]["after"]
        assert 0 < row["smallest_jacobian"] < 1
        assert 0 < row["inverse_error_voxels"] < 0.1
        assert row["report"]["mutual_information_after"] > 0
    out = capsys.readouterr().out
    assert f"{figures['rows'][1]['error_mm']['after']:.2f}" in out
    assert figures["summary"]["all"]["cases"] == 2
    assert "sampling moving oblique" in out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--baselines", sys.executable], "requirements-benchmark.txt"),
        (["--rivals", sys.executable], "requirements-benchmark.txt"),  # the name of that option before 0.5
        (["--threads", 0], "1 thread"),
        (["--cases", 73], "72"),
        (["--resume"], "holds no cases"),
    ],
)
def test_a_table_that_cannot_be_made_says_so_before_anything_is_measured(cases, volumes, capsys, wrong, said):
    (volumes / "cases.json").write_text("{}", encoding="utf-8")
    assert cases("--cases", 1, *wrong) == 2
    assert said in capsys.readouterr().err
    assert (volumes / "cases.json").read_text(encoding="utf-8") == "{}"


def test_there_and_back_ends_elsewhere_where_space_folds_and_only_there():
    grid = sitk.Image((20, 20, 20), sitk.sitkUInt8)
    grid.SetSpacing((4.0, 4.0, 4.0))
    points = sitk.GetArrayFromImage(sitk.PhysicalPointSource(sitk.sitkVectorFloat64, grid.GetSize(), spacing=(4, 4, 4)))
    field = np.zeros_like(points)
    field[..., 0] = 5 * np.sin(2 * np.pi * points[..., 0] / 76) * (points[..., 1] > 40)  # folds not
    field[..., 2] = 30 * np.sin(2 * np.pi * points[..., 2] / 76) * (points[..., 1] < 20)  # folds
    image = sitk.GetImageFromArray(field, isVector=True)
    image.CopyInformation(grid)
    result = SimpleNamespace(network_field=image, prealignment=sitk.TranslationTransform(3, (3.0, 0.0, 0.0)))
    asked = np.array([(20.0, 60.0, 38.0), (50.0, 56.0, 20.0), (20.0, 8.0, 38.0), (20.0, 8.0, 34.0)])
    off = np.linalg.norm(there_and_back(result, asked) - asked, axis=1)
    assert off[:2].max() < 0.05
    assert off[2:].max() > 1


REPORT = {
    "mutual_information_prealigned": 1.0,
    "mutual_information_after": 1.2,
    "verdict": {"kept": 1.0, "slices_damped": 0.0},
    "precision": "float32",
}


@pytest.fixture
def counted(cases, volumes, weights, monkeypatch):
    """Runs `evaluate` on the first case without measuring anything; gives back how often it was to be measured."""
    measured = []

    class Bench:
        def __init__(self, *_):
            pass

        def measure(self, case):
            measured.append(case)
            report = REPORT | {"weights_sha256": sha256(weights.read_bytes())}
            return made_up_row(case.number, 3.0, 2.0, (1.0, 1.2), mm=5.0) | {"report": report}

    monkeypatch.setattr("BSAFusionResearch.evaluation.case_rows.CaseBench", Bench)

    def count(*more):
        measured.clear()
        assert cases("--cases", 1, *more) == 0
        return len(measured)

    return count


def calibrate(volumes, weights, monkeypatch):
    card = {"sha256": sha256(weights.read_bytes()), "calibration": {"pet": uncalibrated(4.0).as_dict()}}
    weights.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")


def train_again(volumes, weights, monkeypatch):
    save_untrained(weights, size=64)


def change_a_volume(volumes, weights, monkeypatch):
    with (volumes / "pet.nii.gz").open("ab") as file:
        file.write(b"more")


def find_heads_otherwise(volumes, weights, monkeypatch):
    monkeypatch.setattr("BSAFusionLib.head_pose.weights.SHIPPED_WEIGHTS", weights)


@pytest.mark.parametrize("change", [calibrate, train_again, change_a_volume, find_heads_otherwise])
def test_a_case_is_measured_again_where_anything_that_it_follows_from_changed(
    change, counted, volumes, weights, monkeypatch
):
    """`report.json` names weights and precision alone, but more than these changes the result."""
    figures = volumes / "cases.json"
    assert counted() == 1
    assert counted("--resume") == 0
    kept = json.loads(figures.read_text(encoding="utf-8"))
    kept["cases"]["rows"][0]["baselines"] = {"ants_syn": {"gave_up": "then"}}
    figures.write_text(json.dumps(kept), encoding="utf-8")
    change(volumes, weights, monkeypatch)
    assert counted("--resume") == 1
    (again,) = json.loads(figures.read_text(encoding="utf-8"))["cases"]["rows"]
    assert ("baselines" in again) is (change is not change_a_volume)


def test_a_file_of_an_earlier_version_keeps_its_baselines_and_says_why_ours_are_measured_again(
    counted, volumes, weights, capsys
):
    earlier = {"number": 0, "modality": "pet", "motion_error_mm": {"after": 1.0}, "rivals": {"ants_syn": {}}}
    earlier["report"] = {"weights_sha256": sha256(weights.read_bytes()), "precision": "float32"}
    (volumes / "cases.json").write_text(json.dumps({"cases": {"rows": [earlier]}}), encoding="utf-8")
    assert counted("--resume") == 1
    assert "ours are measured again" in capsys.readouterr().out
    (again,) = json.loads((volumes / "cases.json").read_text(encoding="utf-8"))["cases"]["rows"]
    assert again["baselines"] == {"ants_syn": {}}
    assert "rivals" not in again
