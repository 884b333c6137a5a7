"""The overlay is read as its users mean it: uptake by lightness, and the MRI where there is none."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.stats import spearmanr

from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS
from BSAFusionLib.report.overlay import COLORS, OverlayWindow, blend, choose_window
from BSAFusionLib.report.overlay_volume import overlay_volume


def test_the_colors_rise_in_luminance_over_the_whole_window() -> None:
    steps = np.diff(COLORS @ LUMINANCE_WEIGHTS)
    assert steps.min() > 0.5 * steps.mean()


def test_lightness_tells_the_uptake_and_below_it_the_mri() -> None:
    random = np.random.default_rng(0)
    gray, values = random.uniform(0, 1, 20_000), random.uniform(0, 10, 20_000)
    window = choose_window(values, 0.0, "SUV")
    luminance = blend(gray, values, window) @ LUMINANCE_WEIGHTS
    shown = values > 0.15 * np.percentile(values, 99.5)
    assert spearmanr(luminance[shown], values[shown]).statistic > 0.95
    assert np.corrcoef(luminance[~shown], gray[~shown])[0, 1] > 0.9


def test_the_window_ends_at_the_hottest_of_the_head_without_single_voxels() -> None:
    values = np.append(np.linspace(0, 4, 1000), [np.nan, 500.0])
    window = choose_window(values, 0.0, "SUV")
    assert 3.9 < window.high < 4.1
    assert (window.low, window.unit) == (0.0, "SUV")


def test_the_windows_end_is_a_short_number_that_a_legend_can_show() -> None:
    assert choose_window(np.full(9, 18344.06), 0.0, "counts").high == 18300


@pytest.mark.parametrize("values", [np.full(9, np.nan), np.zeros(9)])
def test_a_head_without_uptake_is_the_mri_alone(values: np.ndarray) -> None:
    gray = np.linspace(0, 1, 9)
    blended = blend(gray, values, choose_window(values, 0.0, "SUV"))
    np.testing.assert_allclose(blended, np.repeat(gray[:, None], 3, axis=1), atol=1e-6)


@pytest.mark.parametrize("in_color", [False, True])
def test_a_whole_volume_lies_on_the_mris_grid(in_color: bool) -> None:
    fixed = sitk.GetImageFromArray(np.linspace(0, 900, 4 * 5 * 6).reshape(4, 5, 6).astype(np.float32))
    fixed.SetSpacing([1, 2, 3])
    fixed.SetDirection([0, 1, 0, 1, 0, 0, 0, 0, -1])
    values = np.zeros((4, 5, 6), np.uint8)
    values[2, 2:4, 2:4] = 200
    registered = sitk.GetImageFromArray(np.repeat(values[..., None], 3, -1) if in_color else values, isVector=in_color)
    registered.CopyInformation(fixed)
    overlay = overlay_volume(fixed, registered, OverlayWindow(0.0, 200.0, "counts"))
    rgb = sitk.GetArrayFromImage(overlay)
    assert (overlay.GetDirection(), overlay.GetSpacing()) == (fixed.GetDirection(), fixed.GetSpacing())
    assert rgb.shape == (4, 5, 6, 3)
    assert rgb[2, 2, 2, 0] > rgb[2, 2, 2, 2] + 50  # the hottest is yellow
    assert (rgb[0] == rgb[0, ..., :1]).all()  # without uptake it is gray
