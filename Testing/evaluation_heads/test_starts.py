"""The pairs whose initializations are measured follow from their numbers, and errors are counted as they are."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from BSAFusionLib.pipeline.doubt import SecondOpinion
from BSAFusionResearch.evaluation_heads.starts import distribution, start_pairs, start_summary
from BSAFusionResearch.simulation.heads import REPORTED_HEADS


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
