"""The pairs whose initializations are measured follow from their numbers, and errors are counted as they are."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.weights_file import sha256
from BSAFusionLib.pipeline.doubt import SecondOpinion
from BSAFusionResearch.evaluation_heads import starts
from BSAFusionResearch.evaluation_heads.starts import StartPair, distribution, start_pairs, start_summary
from BSAFusionResearch.simulation.heads import REPORTED_HEADS
from Testing.phantoms import save_untrained


def test_300_pairs_can_be_simulated_and_take_turns() -> None:
    pairs = start_pairs(300)
    settings = [pair.settings for pair in pairs]
    assert settings == [pair.settings for pair in start_pairs(300)]
    assert {pair.head for pair in pairs} == set(REPORTED_HEADS)
    assert {(pair.head, each.modality) for pair, each in zip(pairs, settings, strict=True)} == {
        (head, modality) for head in REPORTED_HEADS for modality in ("ct", "pet", "spect")
    }
    assert 0.4 < sum(each.rotation_deg > 30 for each in settings) / 300 < 0.6
    assert any(each.torso_mm for each in settings)
    assert any(each.coil > 4 for each in settings)


def test_a_pair_without_a_result_counts_as_missed() -> None:
    figures = distribution([1.0, 2.0, 5.0, None], [1.0, 1.0, 1.0, 5.0])
    assert (figures["within_3"], figures["within_10"]) == (0.5, 0.75)
    assert figures["cpu_seconds"] == 2.0
    assert figures["percentile_90"] == float("inf")


agreed = SecondOpinion(
    fixed_head=True,
    moving_head=True,
    pose_gap_mm=1.0,
    pose_gap_deg=1.0,
    estimated_mm=1.0,
    overlap=1.0,
    information=0.8,
    information_placed=0.3,
    information_random=0.1,
)


def row(number: int, start: float | None, doubtful: bool | None, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "error_mm": {"start": start},
        "opinion": None if doubtful is None else asdict(replace(agreed, moving_head=not doubtful)),
        "message": "",
        "cpu_seconds": 1.0,
        "settings": {"rotation_deg": 20.0 * number},
        **more,
    }


def test_the_summary_names_silent_and_falsely_doubtful_pairs() -> None:
    rows = [row(0, 1.0, False), row(1, 2.0, True), row(2, 40.0, False), row(3, 40.0, True), row(4, None, None)]
    summary = start_summary(rows)
    assert summary["silent"] == [2]
    assert summary["falsely_doubtful"] == [1]
    assert summary["right"] == 2
    assert summary["side_by_side"] == {}


def test_baselines_are_compared_on_the_pairs_that_they_ran_on() -> None:
    finished = {"ants_search": {"error_mm": 2.0, "cpu_seconds": 9.0}, "elastix_rigid": {"gave_up": "no overlap"}}
    methods = start_summary([row(0, 1.0, False, baselines=finished), row(1, 90.0, True)])["side_by_side"]
    assert start_summary([row(2, 1.0, False, baselines=finished)])["side_by_side_upright"] == {}
    assert methods["ours"]["median"] == pytest.approx(1.0)
    assert methods["ants_search"]["within_3"] == 1.0
    assert methods["elastix_rigid"]["within_10"] == 0.0


def test_pairs_of_other_heads_or_weights_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, measured = tmp_path / "random.safetensors", []
    save_untrained(weights, size=32)
    for head in REPORTED_HEADS:
        (tmp_path / f"{head}.nii.gz").write_text(head, encoding="utf-8")

    def measure(pair: StartPair, *_: object) -> dict[str, Any]:
        measured.append(pair.number)
        network = [sha256(weights.read_bytes()), "float32"]
        settings = {"rotation_deg": 20.0, "modality": pair.settings.modality}
        errors = {"start": 1.0, "placed": 9.0}
        return row(pair.number, 1.0, False, settings=settings, network=network, head="13", error_mm=errors)

    monkeypatch.setattr(StartPair, "patient", lambda *_: None)
    monkeypatch.setattr(starts, "measure_start", measure)
    options = ["--heads", str(tmp_path), "--starts", "1", "--weights", str(weights)]

    def run(*more: str) -> int:
        measured.clear()
        assert main(["evaluate", *options, "--json", str(tmp_path / "starts.json"), *more]) == 0
        return len(measured)

    assert (run(), run("--resume")) == (1, 0)
    (tmp_path / "13.nii.gz").write_text("another person", encoding="utf-8")
    assert run("--resume") == 1
    assert run("--resume") == 0
    save_untrained(weights, size=64)
    assert run("--resume") == 1
