"""Each measure of a fused slice gives what was worked out by hand."""

import numpy as np
import pytest
from numpy import exp

from BSAFusionResearch.evaluation.fusion_quality import entropy, fused_mutual_information, fused_ssim, q_abf, q_cv, vif

black = np.zeros((64, 64), np.uint8)
step = black.copy()
step[:, 32:] = 200  # one upright edge
noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)


def kept(ratio: float, nearness: float) -> float:
    """Xydeas and Petrovic's product of two sigmoids."""
    return 0.9994 / (1 + exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + exp(-22 * (nearness - 0.8)))


def test_q_abf_of_an_edge_kept_whole_halved_turned_and_lost():
    assert q_abf(step, black, step) == pytest.approx(kept(1, 1))
    assert q_abf(step, black, step // 2) == pytest.approx(kept(0.5, 1))
    assert q_abf(step, black, black) == pytest.approx(0, abs=1e-9)
    assert q_abf(step, black, step.T) < 0.1


def test_q_abf_counts_each_source_by_the_strength_of_its_edges():
    # The edge of 200 is kept whole; of the one of 100, at the same place, the fused slice has twice the strength.
    expected = (200 * kept(1, 1) + 100 * kept(0.5, 1)) / 300
    assert q_abf(step, step // 2, step) == pytest.approx(expected)


def test_q_abf_without_any_edge_loses_nothing():
    assert q_abf(black, black, noise) == 1


def test_vif_is_one_for_each_source_that_the_fused_slice_equals_and_falls_with_blur():
    blurred = (noise.astype(float) + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3
    assert vif(noise, noise, noise) == pytest.approx(2, abs=1e-3)
    assert vif(noise, noise, blurred.astype(np.uint8)) < 1


def test_q_cv_of_a_flat_difference_is_its_square_times_that_of_the_sensitivity_to_flat_light():
    brighter = step // 2 + 100
    assert q_cv(step // 2, step // 2, brighter) == pytest.approx((2.6 * 0.0192 * 100) ** 2)
    assert q_cv(step, step, step) == 0


def test_q_cv_sees_only_sources_that_have_edges():
    assert q_cv(step, black, step) == 0
    assert q_cv(step, step, black) > 0


def test_q_cv_of_a_grating_is_weighted_by_the_sensitivity_to_its_frequency():
    columns = np.arange(64)
    grating = np.rint(100 + 50 * np.cos(2 * np.pi * columns * 16 / 64)).astype(np.uint8)  # 50, 100, 150, 100: exact
    grating = np.tile(grating, (64, 1))
    # 16 cycles in 64 pixels, half as fine as can be, are 4 of 8 cycles a degree; a cosine's mean square is 1/2.
    sensitivity = 2.6 * (0.0192 + 0.144 * 4) * exp(-((0.144 * 4) ** 1.1))
    flat = np.full((64, 64), 100, np.uint8)
    assert q_cv(grating, flat, flat) == pytest.approx((50 * sensitivity) ** 2 / 2)


def test_fused_ssim_is_the_sum_over_both_sources():
    flat = np.full((64, 64), 100, np.uint8)
    darker = np.full((64, 64), 50, np.uint8)
    assert fused_ssim(flat, darker, flat) == pytest.approx(1 + 10006.5025 / 12506.5025, abs=1e-4)


def test_entropy_counts_bits():
    assert entropy(black) == 0
    assert entropy(step) == 1
    assert entropy(step // 2 + step.T // 4) == 2  # four levels, a quarter each


def test_fused_mutual_information_is_in_bits_and_summed():
    assert fused_mutual_information(step, step.T, step) == pytest.approx(1)
    assert fused_mutual_information(step, step, step) == pytest.approx(2)
