"""Volumes become network input that looks like the training slices."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.intensities import (
    LUMINANCE_WEIGHTS,
    Intensities,
    guess_modality,
    head_mask,
    measure_intensities,
)


def seen_at(image: sitk.Image, intensities: Intensities, lowest: float, highest: float) -> float:
    """Return the median level of voxels whose values lie between two."""
    values = sitk.GetArrayFromImage(image)
    chosen = (values >= lowest) & (values <= highest)
    return float(np.median(sitk.GetArrayFromImage(intensities.luminance(image))[chosen]))


def test_ct_comes_in_the_brain_window(ct):
    intensities, remark = measure_intensities(ct, "ct")
    assert remark is None
    assert seen_at(ct, intensities, -1000, -500) == 0
    assert seen_at(ct, intensities, 200, 900) == 1
    assert seen_at(ct, intensities, 26, 30) == pytest.approx(28 / 80, abs=0.03)


def test_ct_comes_in_the_window_that_is_asked_for(ct):
    intensities, _ = measure_intensities(ct, "ct", (500, 1000))
    assert seen_at(ct, intensities, 340, 360) == pytest.approx(0.35, abs=0.01)


def test_a_ct_in_other_units_still_shows_brain_gray_and_bone_white_and_says_so(ct):
    shifted = ct + 3000
    intensities, remark = measure_intensities(shifted, "ct")
    assert "not in Hounsfield units" in remark
    assert seen_at(shifted, intensities, 2000, 2500) == 0
    assert seen_at(shifted, intensities, 3326, 3900) == 1
    assert 0.2 < seen_at(shifted, intensities, 3026, 3032) < 0.6


def test_the_ct_template_looks_like_the_training_slices(shared):
    template = sitk.ReadImage(str(shared / "data/volumes/ct.nii.gz"))
    seen = sitk.GetArrayFromImage(measure_intensities(template, "ct")[0].luminance(template))
    training = np.load(shared / "data/aanlib/ct.npz")["moving"] / 255

    def brain_and_bone(values):
        shown = values[values > 0.1]
        return np.median(shown[shown < 0.99]), np.mean(shown > 0.99)

    brain, bone = brain_and_bone(seen[20:70])
    training_brain, training_bone = brain_and_bone(training)
    assert brain == pytest.approx(training_brain, abs=0.1)
    assert bone == pytest.approx(training_bone, abs=0.2)


def test_one_bright_voxel_does_not_darken_an_mri(mri):
    bright = sitk.Image(mri)
    bright[25, 27, 20] = 1e6
    ordinary, speck = (measure_intensities(image, "mri")[0] for image in (mri, bright))
    assert speck.high == pytest.approx(ordinary.high, rel=0.02)


@pytest.mark.parametrize("modality", [row.name for row in MODALITIES.values() if row.in_color])
def test_a_color_map_grows_lighter_at_every_step(modality):
    levels = np.linspace(0, 1, 500, dtype=np.float32)[None, None]
    assert np.all(np.diff(Intensities(modality, 0.0, 1.0).color(levels) @ LUMINANCE_WEIGHTS) > 0)


def test_of_an_rgb_volume_the_network_sees_the_luminance():
    rgb = np.zeros((2, 2, 2, 3), np.uint8)
    rgb[0, 0, 0] = (255, 0, 0)
    rgb[0, 0, 1] = (255, 255, 255)
    image = sitk.GetImageFromArray(rgb, isVector=True)
    seen = sitk.GetArrayFromImage(measure_intensities(image, "pet")[0].luminance(image))
    assert seen[0, 0] == pytest.approx((0.299, 1.0), abs=1e-5)


def test_downsampled_voxels_become_their_mean_and_stay_where_they_are(mri):
    seen = measure_intensities(mri, "mri")[0].luminance(mri)
    coarse = measure_intensities(mri, "mri")[0].luminance(mri, (2, 3, 1))
    assert coarse.GetSize() == (25, 18, 40)
    expected = sitk.BinShrink(seen, (2, 3, 1))
    assert coarse.GetOrigin() == pytest.approx(expected.GetOrigin())
    assert coarse.GetSpacing() == pytest.approx(expected.GetSpacing())
    np.testing.assert_allclose(*map(sitk.GetArrayFromImage, (coarse, expected)), atol=1e-6)


def test_only_hounsfield_units_are_taken_for_ct(ct, pet):
    assert guess_modality(ct) == "ct"
    assert guess_modality(pet) == "pet"
    assert guess_modality(sitk.Image((4, 4, 4), sitk.sitkVectorUInt8, 3)) == "pet"


def test_a_volume_of_one_value_is_rejected():
    with pytest.raises(FusionError, match="same value"):
        measure_intensities(sitk.Image((8, 8, 8), sitk.sitkFloat32) + 5, "pet")


def test_the_head_mask_is_the_head_with_its_dark_inside(mri):
    mask = sitk.GetArrayFromImage(head_mask(mri)).astype(bool)
    volume = mask.sum() * np.prod(mri.GetSpacing())
    assert volume == pytest.approx(4 / 3 * np.pi * 70 * 88 * 80, rel=0.12)
    assert mask[20, 24, 22]  # in a dark ventricle
