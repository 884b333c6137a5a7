"""The table of simulated heads: its cases, what a row measures, what the rows come to, and going on from a file."""

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.weights_file import sha256
from BSAFusionResearch.evaluation import baselines as baselines_module
from BSAFusionResearch.evaluation.baselines import HEAD_SETTINGS
from BSAFusionResearch.evaluation_heads import cases as cases_module
from BSAFusionResearch.evaluation_heads import rows as rows_module
from BSAFusionResearch.evaluation_heads.cases import ELASTIC_MM, MOTIONS, head_cases
from BSAFusionResearch.evaluation_heads.rows import baseline_summaries, summaries
from BSAFusionResearch.simulation.patient import simulate_patient
from BSAFusionResearch.simulation.settings import MODALITIES
from Testing.phantoms import labeled_head, save_untrained
from Testing.simulation.conftest import coarse_scanner


def test_all_81_cases_differ_and_are_of_the_heads_that_are_only_reported() -> None:
    cases = head_cases()
    assert len({case.name for case in cases}) == len(set(cases)) == 81
    assert {case.head for case in cases} == {"13", "14", "15"}


def test_every_nine_cases_have_each_head_in_each_modality_with_all_sizes_and_motions() -> None:
    cases = head_cases()
    for first in range(0, 81, 9):
        nine = cases[first : first + 9]
        assert len({(case.head, case.modality) for case in nine}) == 9
        assert {case.elastic_mm for case in nine} == set(ELASTIC_MM)
        assert {(case.rotation_deg, case.translation_mm) for case in nine} == set(MOTIONS)


def test_cases_that_differ_in_elastic_size_alone_share_the_seed_and_no_others_do() -> None:
    seeds: dict[int, set] = {}
    for case in head_cases():
        seeds.setdefault(case.settings.seed, set()).add((case.head, case.modality, case.rotation_deg))
    assert len(seeds) == 27 and all(len(shared) == 1 for shared in seeds.values())


def row(elastic_mm: float, best_rigid: float, initialization: float, final: float, name: str = "one") -> dict:
    errors = {
        "before": 9.0,
        "best_rigid": best_rigid,
        "search": initialization,
        "initialization": initialization - 0.02,
        "undamped": 1.0,
        "final": final,
    }
    return {"name": name, "modality": "ct", "elastic_mm": elastic_mm, "error_mm": errors, "seconds": 2.0}


def test_the_residual_removed_is_that_of_the_means() -> None:
    figures = summaries([row(4, 1.0, 1.1, 0.5), row(4, 1.4, 1.5, 1.57), row(0, 0.0, 0.2, 0.24)])
    assert set(figures) == {"CT, 4 mm", "CT, 0 mm", "all"}
    four = figures["CT, 4 mm"]
    assert four["residual_removed"] == pytest.approx(1 - 1.035 / 1.2)
    assert (four["worst_final"], four["share_harmed"]) == (1.57, 0.5)
    assert four["initialization_excess"] == pytest.approx(0.08)
    assert figures["CT, 0 mm"]["residual_removed"] is None and figures["CT, 0 mm"]["share_harmed"] == 0


def test_all_methods_are_averaged_over_the_cases_that_every_baseline_finished() -> None:
    finished = {"error_mm": {"rigid": 2.0, "final": 1.0}, "seconds": 5.0}
    slow = {"error_mm": {"rigid": 4.0, "final": 3.0}, "seconds": 9.0}
    baselines = {
        "one": {"ants_rigid_syn": finished, "elastix_bending": slow},
        "two": {"ants_rigid_syn": finished, "elastix_bending": {"gave_up": "no memory"}},
        "three": {"ants_rigid_syn": finished},  # not measured by the other yet
    }
    rows = [row(4, 1, 1.5, 0.5, "one"), row(4, 1, 9, 9, "two"), row(4, 1, 9, 9, "three")]
    assert baseline_summaries(rows, baselines)["all"] == {
        "ours": {"cases": 1, "gave_up": 0, "rigid": 1.5, "final": 0.5, "seconds": 2.0},
        "ants_rigid_syn": {"cases": 1, "gave_up": 0, "rigid": 2.0, "final": 1.0, "seconds": 5.0},
        "elastix_bending": {"cases": 1, "gave_up": 1, "rigid": 4.0, "final": 3.0, "seconds": 9.0},
    }


def test_baselines_with_other_settings_are_measured_again(
    heads: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, (case, *_) = heads / "figures.json", head_cases()
    settings = HEAD_SETTINGS["elastix_bending"][case.modality]
    rows = {
        "ants_rigid_syn": {"settings": {"gradient_step": 7.0}, "gave_up": "then"},
        "elastix_bending": {"settings": settings, "gave_up": "then"},
    }
    figures.write_text(json.dumps({"heads": {"rows": [], "baselines": {case.name: rows}}}))
    monkeypatch.setattr(baselines_module, "check_baselines", lambda python: None)
    monkeypatch.setattr(rows_module, "measure_case", lambda *_: row(4, 1, 1, 1, case.name))
    monkeypatch.setattr(rows_module, "measure_baseline", lambda *_: {"settings": {}, "gave_up": "now"})
    options = ["--weights", str(weights), "--cases", "1", "--json", str(figures), "--resume", "--baselines"]
    assert main(["evaluate", "--heads", str(heads), *options]) == 0
    measured = json.loads(figures.read_text())["heads"]["baselines"][case.name]
    assert {method: one["gave_up"] for method, one in measured.items()} == {
        "ants_rigid_syn": "now",
        "elastix_bending": "then",
    }


def test_cases_of_other_heads_are_measured_again_with_their_baselines(
    heads: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (case, *_), measured = head_cases(), []

    def measure(*_: object) -> dict:
        measured.append("ours")
        report = {"precision": "float32", "weights_sha256": sha256(weights.read_bytes())}
        return row(4, 1, 1, 1, case.name) | {"report": report, "modality": case.modality}

    def measure_baseline(_: object, __: object, method: str, *___: object) -> dict:
        measured.append(method)
        return {"settings": HEAD_SETTINGS[method][case.modality], "gave_up": "then"}

    monkeypatch.setattr(baselines_module, "check_baselines", lambda python: None)
    monkeypatch.setattr(rows_module, "measure_case", measure)
    monkeypatch.setattr(rows_module, "measure_baseline", measure_baseline)
    options = ["--weights", str(weights), "--cases", "1", "--json", str(heads / "figures.json"), "--baselines"]

    def run(*more: str) -> list[str]:
        measured.clear()
        assert main(["evaluate", "--heads", str(heads), *options, *more]) == 0
        return list(measured)

    everything = run()
    assert everything == ["ours", *HEAD_SETTINGS]
    assert run("--resume") == []
    save_untrained(weights, size=64)
    assert run("--resume") == ["ours"]
    sitk.WriteImage(labeled_head(5), str(heads / "13.nii.gz"))
    assert run("--resume") == everything


@pytest.fixture
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of coarse heads, scanned coarsely."""
    for number in (13, 14, 15):
        sitk.WriteImage(labeled_head(4), str(tmp_path / f"{number}.nii.gz"))
    scanners = coarse_scanner(4), coarse_scanner(4)
    monkeypatch.setattr(cases_module, "simulate_patient", lambda *inputs: simulate_patient(*inputs, *scanners))
    return tmp_path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Those of a small network that nobody trained."""
    save_untrained(tmp_path / "random.safetensors", size=32)
    return tmp_path / "random.safetensors"


@pytest.mark.slow
def test_the_table_is_measured_written_and_resumed(
    heads: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    figures = heads / "out" / "figures.json"
    options = ["--heads", str(heads), "--weights", str(weights), "--device", "cpu", "--json", str(figures)]
    assert main(["evaluate", *options, "--cases", "2"]) == 0
    first = json.loads(figures.read_text(encoding="utf-8"))["heads"]
    assert [measured["modality"] for measured in first["rows"]] == list(MODALITIES[:2])
    for measured in first["rows"]:
        errors = measured["error_mm"]
        assert errors["best_rigid"] < errors["search"] < errors["before"]
        assert errors["best_rigid"] < errors["initialization"] < errors["before"]
        assert (errors["best_rigid"] < 1e-4) == (measured["elastic_mm"] == 0)
    assert first["summary"]["all"]["cases"] == 2
    assert f"{errors['final']:.2f}" in capsys.readouterr().out

    def fail(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(rows_module, "measure_case", fail)
    assert main(["evaluate", *options, "--cases", "2", "--resume"]) == 0
    resumed = json.loads(figures.read_text(encoding="utf-8"))["heads"]
    assert resumed["rows"] == first["rows"]
    resumed["made_from"][MODALITIES[1]]["calibration"] = {"trust": 0.5}  # those rows tell of other expected errors
    figures.write_text(json.dumps({"heads": resumed}), encoding="utf-8")
    with pytest.raises(AssertionError, match="measured again"):
        main(["evaluate", *options, "--cases", "2", "--resume"])


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--cases", "82"], "1 to 81 cases"), (["--resume"], "name one"), (["--threads", "0"], "1 thread or more")],
)
def test_a_mistake_is_reported(heads: Path, options: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "--heads", str(heads), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_the_heads_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "--heads", str(tmp_path)]) == 2
    assert "13.nii.gz" in capsys.readouterr().err
