"""Downsampling by matrices gives what ITK's filters give, which take ten times as long."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import downsample, smooth_for_spacing

TURNED = (0.6, -0.8, 0.0, 0.8, 0.6, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def volume() -> sitk.Image:
    """A turned volume of noise, as sharp as a volume can be, with thick slices."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((12, 50, 41), np.float32))
    image.SetSpacing((1.0, 1.1, 4.0))
    image.SetOrigin((-20.0, 13.0, 5.0))
    image.SetDirection(TURNED)
    return image


@pytest.mark.parametrize("spacing_mm", [0.3, 1.3, 3.0, 7.0])
def test_downsampling_is_smoothing_and_resampling(volume, spacing_mm):
    coarse = downsample(volume, spacing_mm)
    expected = sitk.Resample(smooth_for_spacing(volume, max(spacing_mm, 0.5)), coarse)
    np.testing.assert_allclose(sitk.GetArrayFromImage(coarse), sitk.GetArrayFromImage(expected), atol=2e-6)


def test_a_coarse_volume_fills_the_same_space(volume):
    coarse = downsample(volume, 3.0)
    assert np.multiply(coarse.GetSize(), coarse.GetSpacing()) == pytest.approx((41.0, 55.0, 48.0))
    corners = [image.TransformContinuousIndexToPhysicalPoint([-0.5] * 3) for image in (volume, coarse)]
    assert corners[1] == pytest.approx(corners[0])


def test_voxels_of_about_that_spacing_stay_as_they_are():
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    image.SetSpacing((1.002, 1.002, 1.001))
    kept = downsample(image, 1.0)
    assert kept.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(kept), sitk.GetArrayFromImage(image))
    assert kept.GetSpacing() == image.GetSpacing()
