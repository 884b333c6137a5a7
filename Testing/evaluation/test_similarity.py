"""Each measure of two slices gives what was worked out by hand."""

import numpy as np
import pytest

from BSAFusionResearch.evaluation.similarity import correlation, difference, mutual_information, ssim

halves = np.zeros((64, 64), np.uint8)
halves[:, 32:] = 200


def flat(level: int) -> np.ndarray:
    return np.full((64, 64), level, np.uint8)


def test_difference_is_the_mean_over_the_whole_slice_in_gray_levels():
    assert difference(halves, flat(0)) == 100
    assert difference(flat(0), halves) == 100  # nothing wraps around below zero


def test_ssim_of_flat_slices_is_the_luminance_term():
    # (2 a b + C1) / (a^2 + b^2 + C1) with C1 = (0.01 * 255)^2 = 6.5025
    assert ssim(flat(100), flat(50)) == pytest.approx(10006.5025 / 12506.5025, abs=1e-4)


def test_ssim_is_one_for_the_same_slice_and_only_windows_near_a_change_fall_below():
    changed = halves.copy()
    changed[20, 10] = 255
    assert ssim(halves, halves) == pytest.approx(1.0)
    # 7 x 7 of the 58 x 58 windows see the pixel.
    assert 1 - 49 / 58**2 < ssim(halves, changed) + 1e-6 < 1


def test_correlation_is_one_whatever_the_contrast_and_minus_one_when_inverted():
    assert correlation(halves, halves // 2 + 10) == pytest.approx(1.0)
    assert correlation(halves, 255 - halves) == pytest.approx(-1.0)


def test_mutual_information_of_two_equal_halves_is_one_bit():
    assert mutual_information(halves, 255 - halves) == pytest.approx(np.log(2))
    assert mutual_information(halves, halves.T) == pytest.approx(0.0, abs=1e-12)
