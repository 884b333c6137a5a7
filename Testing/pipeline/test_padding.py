"""A constant that resampling put around a scan is not taken for the air of a CT, whose own air is."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.files.inputs import Pair, read_pair
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.pipeline.input_checks import check_volumes
from BSAFusionLib.pipeline.intensities import guess_modality, head_mask, measure_intensities
from BSAFusionLib.pipeline.roles import in_hounsfield_units
from BSAFusionLib.resources import SAMPLE_DATA

NAMES = {"mri": "mri_t1.nii.gz", "pet": "pet_fdg.nii.gz"}


def turned(name: str, fill: float, highest: float, noise: float = 0.0) -> sitk.Image:
    """Return a sample volume resampled to a turned grid, with a constant outside of it."""
    image = sitk.Cast(read_volume(SAMPLE_DATA / NAMES[name]), sitk.sitkFloat32)
    image *= highest / float(sitk.GetArrayViewFromImage(image).max())
    if noise:
        image = sitk.AdditiveGaussianNoise(image, noise * highest, 0, 1)
    turn = sitk.Euler3DTransform()
    turn.SetCenter(image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in image.GetSize()]))
    turn.SetRotation(0.0, 0.0, np.radians(10))
    return sitk.Resample(image, image, turn, sitk.sitkLinear, fill)


@pytest.mark.parametrize("name", ["mri", "pet"])
@pytest.mark.parametrize("fill", [-1000, -1024])
@pytest.mark.parametrize(("highest", "noise"), [(60, 0.0), (1000, 0.0), (1000, 0.03)])
def test_padding_makes_no_ct_of_a_scan_and_takes_no_contrast(
    name: str, fill: int, highest: float, noise: float
) -> None:
    padded, plain = (turned(name, value, highest, noise) for value in (fill, 0))
    assert not in_hounsfield_units(padded)
    assert guess_modality(padded) == "pet"
    (found, _), (expected, _) = (measure_intensities(image, name) for image in (padded, plain))
    assert found.low == pytest.approx(expected.low, abs=0.02 * highest)
    assert found.high == pytest.approx(expected.high, abs=0.02 * highest)
    heads = [sitk.GetArrayFromImage(head_mask(image)) > 0 for image in (padded, plain)]
    assert (heads[0] != heads[1]).sum() < 0.02 * heads[1].sum()


@pytest.mark.parametrize("name", ["mri", "pet"])
@pytest.mark.parametrize("fill", [-1000, -1024])
@pytest.mark.parametrize("highest", [12, 1000, 20000])
def test_padding_around_a_scan_without_background_is_its_background(name: str, fill: int, highest: float) -> None:
    """As of a brain alone, or a PET that was cut out by a threshold."""
    scan = read_volume(SAMPLE_DATA / NAMES[name])
    values = sitk.GetArrayFromImage(scan).astype(np.float32)
    values *= highest / values.max()
    padded, plain = (sitk.GetImageFromArray(np.where(values > 0.2 * highest, values, outside)) for outside in (fill, 0))
    assert not in_hounsfield_units(padded)
    assert guess_modality(padded) == "pet"
    (found, _), (expected, _) = (measure_intensities(image, name) for image in (padded, plain))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-3)
    heads = [sitk.GetArrayFromImage(head_mask(image)) for image in (padded, plain)]
    assert np.array_equal(*heads) and heads[0].any()


def test_a_padded_pair_is_accepted_and_its_pet_stays_one(tmp_path) -> None:
    for name, highest in (("mri", 4000), ("pet", 60)):
        sitk.WriteImage(turned(name, -1024, highest), str(tmp_path / f"patient_{name}.nii.gz"))
    fixed, moving = read_pair(Pair(tmp_path / "patient_mri.nii.gz", tmp_path / "patient_pet.nii.gz"))
    assert moving.modality == "pet"
    assert check_volumes(fixed.image, moving.image, "pet", sitk.Transform()).warnings == ()


@pytest.mark.parametrize("air", [-1000, -1024])
@pytest.mark.parametrize(
    "changed",
    [
        lambda hu, air: np.maximum(hu, air),
        lambda hu, air: np.maximum(hu + np.random.default_rng(0).normal(0, 20, hu.shape), air),
        lambda hu, air: np.where(hu < -850, air, hu),
        lambda hu, air: np.where(hu < -300, air, hu),
        lambda hu, air: np.where((hu > -20) & (hu < 90), hu, air),  # brain alone
    ],
)
def test_the_air_of_a_ct_is_its_own_where_it_is_one_constant(ct, changed, air) -> None:
    values = changed(sitk.GetArrayFromImage(ct), air).astype(np.float32)
    assert in_hounsfield_units(sitk.GetImageFromArray(values))
    assert guess_modality(sitk.GetImageFromArray(values)) == "ct"
