"""A CT's window fits its values, whatever was done to them, or what to set is said."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.ct_units import CtUnits, is_clipped_hounsfield, recognize_ct_units
from BSAFusionLib.pipeline.ct_window import in_words
from BSAFusionLib.pipeline.input_checks import check_volumes
from BSAFusionLib.pipeline.intensities import measure_intensities


def like(image: sitk.Image, values: np.ndarray) -> sitk.Image:
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result


@pytest.fixture(scope="module")
def hu(ct: sitk.Image) -> np.ndarray:
    """Hounsfield units of a head in air, brain and all."""
    return np.rint(sitk.GetArrayFromImage(ct)).astype(np.int32)


@pytest.mark.parametrize(
    ("changed", "units"),
    [
        (lambda hu: hu, CtUnits(0)),
        (lambda hu: hu + 1024, CtUnits(1024)),
        (lambda hu: hu - 1024, CtUnits(-1024)),
        (lambda hu: hu + 32768.0, CtUnits(32768)),
        (lambda hu: hu.astype(np.uint16), CtUnits(0, -65536)),
        (lambda hu: hu.astype(np.uint16).astype(np.float32), CtUnits(0, -65536)),
        (lambda hu: (hu + 32768).astype(np.uint16).astype(np.int16), CtUnits(32768, 65536)),
        (lambda hu: (hu + 1024) / 4095, None),
        (lambda hu: np.clip((hu + 160) / 400 * 255, 0, 255).astype(np.uint8), None),
        (lambda hu: 0.0195 * (1 + hu / 1000), None),
        (lambda hu: hu + 3000, None),
    ],
)
def test_what_was_done_to_hounsfield_units_is_recognized_where_it_is_certain(hu, changed, units) -> None:
    values = changed(hu)
    assert recognize_ct_units(values) == units
    if units is not None:
        assert np.array_equal(units.unwrap(values) - units.offset, hu)


@pytest.mark.parametrize(
    "changed",
    [
        lambda hu: np.maximum(hu, 0),
        lambda hu: np.where(hu < -200, -200, hu),
        lambda hu: np.where(hu < -150, 0, hu).astype(np.float32),
    ],
)
def test_hounsfield_units_whose_air_was_set_to_another_value_keep_the_brain_window(ct, hu, changed) -> None:
    assert recognize_ct_units(changed(hu)) is None
    intensities, warning = measure_intensities(like(ct, changed(hu)), "ct")
    assert (intensities.low, intensities.high) == (0, 80)
    assert warning is not None
    assert "whose air is set to another value" in warning


@pytest.mark.parametrize("changed", [lambda hu: np.maximum(hu, 0) / 10, lambda hu: np.maximum(hu + 1024, 0)])
def test_other_units_above_zero_are_not_taken_for_clipped_ones(hu, changed) -> None:
    assert not is_clipped_hounsfield(changed(hu).ravel())


@pytest.mark.parametrize("name", ["mri", "pet"])
def test_other_scans_are_not_in_hounsfield_units(request: pytest.FixtureRequest, name: str) -> None:
    assert recognize_ct_units(sitk.GetArrayFromImage(request.getfixturevalue(name))) is None


@pytest.mark.parametrize("added", [1024, -1024])
def test_the_brain_window_moves_with_shifted_values(ct: sitk.Image, added: int) -> None:
    intensities, warning = measure_intensities(ct + added, "ct")
    assert (intensities.low, intensities.high) == (added, added + 80)
    assert warning is not None
    assert f"1024 {'more' if added > 0 else 'less'} than Hounsfield units" in warning


@pytest.mark.parametrize("window", [(1064, 80), (5000, 80), (-3000, 80), (-2000, 800)])
def test_a_window_in_which_nothing_shows_is_refused_and_another_proposed(ct: sitk.Image, window) -> None:
    with pytest.raises(FusionError, match=r"Nothing of the CT shows in the window .*: its values run from -1\d\d\d to"):
        measure_intensities(ct, "ct", window)
    with pytest.raises(FusionError, match=r"--ct-window 40 80"):
        measure_intensities(ct, "ct", window)
    with pytest.raises(FusionError, match=r"--ct-window 1064 80"):
        measure_intensities(ct + 1024, "ct", (40, 80))


@pytest.mark.parametrize(("scale", "window"), [(2e-5, (40, 80)), (1.0, (40, 1e6)), (1e-9, (0, 1))])
def test_a_window_in_which_all_is_one_gray_is_refused(ct: sitk.Image, hu: np.ndarray, scale: float, window) -> None:
    with pytest.raises(FusionError, match="Nothing of the CT shows"):
        measure_intensities(like(ct, (hu + 1024) * scale), "ct", window)


def test_the_proposed_center_has_the_digits_that_the_width_calls_for(ct: sitk.Image) -> None:
    with pytest.raises(FusionError, match=r"--ct-window 32808 80\)"):
        measure_intensities(ct + 32768, "ct", (40, 80))


@pytest.mark.parametrize("window", [(40, 80), (35, 100), (500, 2000), (40, 400), (600, 800)])
def test_a_window_in_which_something_shows_is_taken(ct: sitk.Image, window) -> None:
    intensities, warning = measure_intensities(ct, "ct", window)
    assert (intensities.low + intensities.high) / 2 == window[0]
    assert warning is None


@pytest.mark.parametrize(("scale", "shift"), [(1 / 4095, 1024), (0.0195 / 1000, 1000), (255 / 2000, 1000)])
def test_the_window_of_a_scaled_ct_is_estimated_and_told_in_digits_that_differ(
    ct: sitk.Image, hu: np.ndarray, scale: float, shift: float
) -> None:
    intensities, warning = measure_intensities(like(ct, (hu + shift) * scale), "ct")
    assert intensities.low < (28 + shift) * scale < intensities.high  # the brain
    assert warning is not None
    low, high = warning.split("(")[1].split(")")[0].split(" to ")
    assert float(low) < float(high)
    assert float(low) == pytest.approx(intensities.low, abs=0.1 * (intensities.high - intensities.low))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.5062, 0.5475, "0.506 to 0.547"), (0, 80, "0 to 80"), (1024, 1104, "1024 to 1104"), (1e-9, 2e-9, None)],
)
def test_ranges_are_written_with_significant_digits(low: float, high: float, words: str | None) -> None:
    assert in_words(low, high) == (words or "1.000e-09 to 2.000e-09")


def test_values_wrapped_to_16_bits_are_unwrapped_and_said(mri: sitk.Image, ct: sitk.Image, hu: np.ndarray) -> None:
    checked = check_volumes(mri, like(ct, hu.astype(np.uint16)), "ct", sitk.Transform())
    assert np.array_equal(sitk.GetArrayFromImage(checked.moving), hu)
    assert checked.moving.GetOrigin() == ct.GetOrigin()
    (warning,) = checked.warnings
    assert warning == "The values of the CT were wrapped to 16 bits; they were unwrapped, so that its window fits."
