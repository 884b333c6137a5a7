"""The error rates of the verdict count what they say, and the simulated pairs' truth is true."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.pipeline.doubt import SecondOpinion, log_odds
from BSAFusionLib.pipeline.network_input import make_network_input
from BSAFusionLib.pipeline.pair_comparison import PairComparison
from BSAFusionLib.settings import Settings
from BSAFusionResearch.commands import fit_verdict
from BSAFusionResearch.pose import heads as pose_heads
from BSAFusionResearch.pose.heads import STANDARD_FILE, load_head
from BSAFusionResearch.pose.validate import standard_brain_points
from BSAFusionResearch.second_opinion import pairs as pairs_module
from BSAFusionResearch.second_opinion import results as results_module
from BSAFusionResearch.second_opinion.pairs import KINDS, simulate_pair
from BSAFusionResearch.second_opinion.rates import DEVIATIONS, Rates, figure_ranges, rates_by_kind
from BSAFusionResearch.second_opinion.results import TriedResult, with_agreeing_poses
from BSAFusionResearch.second_opinion.weights import fit_weights
from BSAFusionResearch.simulation.heads import head_files
from Testing.pipeline.test_doubt import agreed, undecided

doubted = replace(agreed, pose_gap_mm=100.0)


def tried(kind: str, error_mm: float | None, opinion=agreed) -> TriedResult:
    return TriedResult(kind, error_mm, asdict(opinion))


def test_rates_count_silent_and_falsely_doubtful_results():
    results = [
        tried("right", 1.0),
        tried("right", 2.9, doubted),
        tried("shifted", 11.0),
        tried("shifted", 50.0, doubted),
        tried("shifted", 5.0),  # neither right nor wrong
        tried("no head", None, replace(undecided, moving_head=False)),
    ]
    assert rates_by_kind(results) == {
        "right": Rates(2, 1, 0, 0, 2, 1),
        "shifted": Rates(3, 1, 2, 1, 0, 0),
        "no head": Rates(1, 1, 0, 0, 0, 0),
        "all": Rates(6, 3, 2, 1, 2, 1),
    }


def test_ranges_are_those_of_right_results_and_their_limits_those_of_a_normal_logarithm():
    logarithms = np.random.default_rng(0).normal(1.0, 0.2, 4000)
    results = [tried("right", 1.0, replace(agreed, pose_gap_mm=float(gap))) for gap in np.exp(logarithms)]
    results += [tried("shifted", 40.0, replace(agreed, pose_gap_mm=40.0))]
    least, low, median, high, largest = figure_ranges(results)["pose gap, mm"]
    assert (least, largest) == pytest.approx((np.exp(logarithms.min()), np.exp(logarithms.max())))
    assert np.log([low, median, high]) == pytest.approx(1.0 + 0.2 * np.array([-DEVIATIONS, 0, DEVIATIONS]), abs=0.06)


def test_weights_tell_what_no_figure_tells_alone():
    random, results = np.random.default_rng(3), []
    for number in range(400):
        wrong = number % 2 == 1
        center = np.array([0.7, 0.7, -0.7, -0.7]) * (1 if wrong else -1)
        gap, estimated, contrast, sharpness = np.exp(random.normal(0, 0.5, 4) + center)
        figures = {"pose_gap_mm": gap, "estimated_mm": estimated, "information": 0.1 * contrast}
        nearby = figures["information"] / sharpness
        opinion = replace(agreed, information_random=0.1, information_nearby=nearby, **figures)
        results += [tried("shifted" if wrong else "right", 30.0 if wrong else 1.0, opinion)]
        results += [tried("shifted, and so the poses", 30.0, replace(opinion, pose_gap_mm=0.1))] * wrong
    alone, together = fit_weights(results, with_poses=False), fit_weights(results, with_poses=True)
    assert fit_weights([*results, tried("mirrored", 60.0)], with_poses=True) == together
    assert alone.pose_gap == 0
    signed = [np.array(weights[2:]) * (1, -1, -1) for weights in (alone, together)]
    assert min(together.pose_gap, *signed[0], *signed[1]) > 1
    honest = [result for result in results if not result.kind.endswith("poses")]
    odds = np.array([log_odds(SecondOpinion(**result.opinion), together) for result in honest])
    wrong = np.array([result.error_mm > 10 for result in honest])
    assert ((odds > 0) == wrong).mean() > 0.97  # each figure alone: 0.92


def test_wrong_results_are_also_tried_with_poses_that_led_to_them():
    (led_astray,) = with_agreeing_poses(tried("turned, settled", 40.0, doubted))
    assert led_astray.kind == "turned, settled, and so the poses"
    assert SecondOpinion(**led_astray.opinion) == replace(doubted, pose_gap_mm=3.0, pose_gap_deg=3.0)
    assert not with_agreeing_poses(tried("shifted, settled", 2.0))
    assert not with_agreeing_poses(tried("right, registered", 60.0))
    assert not with_agreeing_poses(tried("no head", None))


def test_both_volumes_agree_through_the_truth_of_a_pair_as_nowhere_else(shared):
    """A head is read, which takes some seconds: mirrored pairs are of real, unsymmetric heads."""
    heads = [load_head(head_files(shared / "data/heads", ("11",))[0], STANDARD_FILE)] * 2  # of no other person here
    left_to_right = sitk.AffineTransform(3)
    left_to_right.SetMatrix(np.diag([-1.0, 1.0, 1.0]).ravel().tolist())
    for kind in ("same", "turned header", "mirrored"):
        pair = simulate_pair(heads, standard_brain_points(), 14 + KINDS.index(kind))
        assert (pair.kind, pair.modality) == (kind, "pet")
        matrix = np.array(pair.truth.GetMatrix()).reshape(3, 3)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(matrix) == pytest.approx(-1 if kind == "mirrored" else 1)
        comparison = PairComparison(make_network_input(pair.fixed, pair.moving, Settings("pet"), 256)[0])
        left_to_right.SetCenter(pair.brain.mean(axis=0).tolist())
        elsewhere = [
            sitk.CompositeTransform([pair.truth, motion])
            for motion in (left_to_right, *(sitk.TranslationTransform(3, shift) for shift in 12 * np.eye(3)))
        ]
        assert comparison.information(pair.truth) > max(map(comparison.information, elsewhere))


def test_pairs_of_other_heads_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, tries = tmp_path / "11.nii.gz", []
    head.write_text("one person", encoding="utf-8")
    monkeypatch.setattr(pose_heads, "load_head", lambda *_: None)
    monkeypatch.setattr(pairs_module, "simulate_pair", lambda *_: SimpleNamespace(modality="pet"))
    monkeypatch.setattr(fit_verdict, "_network", lambda _: None)
    monkeypatch.setattr(results_module, "try_results", lambda *_: tries.append(1) or [tried("right", 1.0)])
    for content, count in (("one person", 1), ("one person", 1), ("another person", 2)):
        head.write_text(content, encoding="utf-8")
        assert fit_verdict._try_all([head], 1, tmp_path / "out") == [tried("right", 1.0)]
        assert len(tries) == count
