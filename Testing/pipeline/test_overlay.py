"""The overlay is read as its users mean it: uptake by lightness, and the MRI where there is none."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.stats import spearmanr

from BSAFusionLib.color_maps import COLOR_MAPS, DEFAULT
from BSAFusionLib.pipeline.input_checks import check_volumes
from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS
from BSAFusionLib.report.overlay import OverlayWindow, blend, choose_window, colors_at
from BSAFusionLib.report.overlay_volume import overlay_volume
from BSAFusionLib.report.pictures import Pictures
from BSAFusionLib.report.planes import shown_from
from BSAFusionLib.settings import Settings, options


def luminance_steps(color_map: str, low: float, high: float) -> np.ndarray:
    """Return the steps of luminance between 100 levels of a part of the window, relative to a map that rises evenly."""
    levels = np.linspace(low, high, 100)
    return np.diff(colors_at(levels, color_map) @ LUMINANCE_WEIGHTS) / np.diff(levels)


@pytest.mark.parametrize("name", [row.name for row in COLOR_MAPS.values() if not row.flaw])
def test_the_colors_rise_in_luminance_over_the_whole_window(name: str) -> None:
    assert luminance_steps(name, 0, 1).min() > 0.1
    assert luminance_steps(DEFAULT, 0, 1).min() > 0.4


@pytest.mark.parametrize(
    ("name", "low", "high", "mean"), [("pet-dicom", 0.25, 0.5, -0.34), ("pet-heat", 0.345, 1, 0.17)]
)
def test_what_is_said_of_the_lightness_of_the_other_maps_is_so(name: str, low: float, high: float, mean: float) -> None:
    assert f"from {100 * low:.0f} to {100 * high:.0f} %" in COLOR_MAPS[name].flaw or "34 %" in COLOR_MAPS[name].flaw
    steps = luminance_steps(name, low, high)
    assert steps.mean() == pytest.approx(mean, abs=0.01)
    if name == "pet-heat":
        np.testing.assert_allclose(steps, luminance_steps("pet-rainbow", low, high), atol=1e-6)


def test_the_help_names_every_map_that_does_not_rise() -> None:
    flawed = {row.name for row in COLOR_MAPS.values() if row.flaw}
    assert flawed == {"pet-dicom", "pet-heat", "pet-rainbow"}
    assert all(name in options()["color_map"].help for name in flawed)
    assert Settings.color_map == DEFAULT


@pytest.mark.parametrize("low_uptake", [0.0, 0.4])
def test_lightness_tells_the_uptake_and_below_it_the_mri(low_uptake: float) -> None:
    """Also where much of the head, such as scalp and white matter, lies near the threshold."""
    random = np.random.default_rng(0)
    gray, values = random.uniform(0, 1, 20_000), random.uniform(0, 10, 20_000)
    near = random.uniform(0, 1, 20_000) < low_uptake
    values[near] = random.uniform(1.2, 2.5, near.sum())
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
    other = overlay_volume(fixed, registered, OverlayWindow(0.0, 200.0, "counts", "viridis"))
    np.testing.assert_allclose(sitk.GetArrayFromImage(other)[2, 2, 2], 0.92 * np.array((253, 231, 37)), atol=20)
    assert (overlay.GetDirection(), overlay.GetSpacing()) == (fixed.GetDirection(), fixed.GetSpacing())
    assert rgb.shape == (4, 5, 6, 3)
    assert rgb[2, 2, 2, 0] > rgb[2, 2, 2, 2] + 50  # the hottest is yellow
    assert (rgb[0] == rgb[0, ..., :1]).all()  # without uptake it is gray


def test_a_volume_in_color_is_shown_by_its_luminance_and_said_to_be(mri: sitk.Image, pet: sitk.Image) -> None:
    """Whatever unit its file states: that is not the unit of the colors."""
    gray = sitk.Cast(sitk.RescaleIntensity(pet), sitk.sitkUInt8)
    said = "The PET is in color; its overlay shows luminance, which need not rise with activity."
    for moving, unit, warned in ((sitk.Compose(gray, gray, 255 - gray), "luminance", True), (pet, "SUV", False)):
        checked = check_volumes(mri, moving, "pet", sitk.Transform())
        assert (said in checked.warnings) == warned
        low, shown = shown_from(checked.moving, "pet")
        pictures = Pictures((), np.zeros(1), np.zeros(1), OverlayWindow(low, 1.0, shown))
        assert pictures.in_unit("SUVbw").overlay.unit == unit
