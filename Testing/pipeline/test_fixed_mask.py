"""A fixed mask: where the rigid registration and the similarity look, on any grid; a mask of no use is rejected."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.geometry.grids import grid_of_size, voxel_centers
from BSAFusionLib.pipeline.fixed_mask import check_fixed_mask
from BSAFusionLib.pipeline.intensities import head_mask, measure_intensities
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.pipeline.rigid import prealign_rigidly
from BSAFusionLib.settings import Settings


def seen(image, modality):
    return measure_intensities(image, modality)[0].luminance(image)


def mask_where(grid, inside):
    """Make a label map of voxels (slice, row, column) on a grid; its label is 7."""
    mask = sitk.GetImageFromArray(np.where(inside, 7, 0).astype(np.int16))
    mask.CopyInformation(grid)
    return mask


def middle_of(image):
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in image.GetSize()]))


def test_a_mask_on_a_turned_grid_lies_where_it_was_drawn(mri):
    turned = grid_of_size(mri, np.array([50, 60, 40]))
    rotation = sitk.Euler3DTransform()
    rotation.SetRotation(0.3, -0.2, 0.5)
    turned.SetDirection(np.reshape(rotation.GetMatrix(), (3, 3)).ravel().tolist())
    center = middle_of(mri) + np.array([10, -5, 3])
    turned.SetOrigin((np.array(turned.GetOrigin()) + center - middle_of(turned)).tolist())
    ball = mask_where(turned, np.linalg.norm(voxel_centers(turned) - center, axis=-1) < 40)
    mask, (sentence,) = check_fixed_mask(ball, mri)
    inside = sitk.GetArrayFromImage(mask)
    distance = np.linalg.norm(voxel_centers(mri) - center, axis=-1)
    reach = np.linalg.norm(turned.GetSpacing()) / 2
    assert set(np.unique(inside)) == {0, 1}
    assert inside[distance < 40 - reach].all() and not inside[distance > 40 + reach].any()
    assert "ml of the head" in sentence


def test_what_is_no_number_in_a_mask_lies_outside(mri):
    ball = np.linalg.norm(voxel_centers(mri) - middle_of(mri), axis=-1) < 40
    drawn = mask_where(mri, ball)
    mask = sitk.GetImageFromArray(np.where(ball, 1, np.nan).astype(np.float32))
    mask.CopyInformation(mri)
    expected, found = (sitk.GetArrayFromImage(check_fixed_mask(each, mri)[0]) for each in (drawn, mask))
    np.testing.assert_array_equal(found, expected)


def test_a_mask_of_no_use_is_rejected_in_one_sentence(mri):
    everywhere = mask_where(mri, np.ones(mri.GetSize()[::-1], bool))
    elsewhere = sitk.Image(everywhere)
    elsewhere.SetOrigin((np.array(mri.GetOrigin()) + 5000).tolist())
    air = mask_where(mri, sitk.GetArrayFromImage(sitk.BinaryDilate(head_mask(mri), (6, 6, 6))) == 0)
    spot = mask_where(mri, np.linalg.norm(voxel_centers(mri) - middle_of(mri), axis=-1) < 8)
    for mask, message in (
        (everywhere * 0, "is empty"),
        (elsewhere, "lies outside"),
        (air, "covers no part of the head"),
        (spot, "covers only 1.9 ml of the head, and 20 ml"),
        (sitk.Compose(everywhere, everywhere), "one value per voxel"),
    ):
        with pytest.raises(FusionError, match=message):
            check_fixed_mask(mask, mri)


def test_the_rigid_registration_follows_what_is_in_the_mask(mri, pet):
    """The moving head is shifted by 6 mm, but its lower third by as much to the other side."""
    shift = sitk.TranslationTransform(3, (6.0, 0.0, 0.0))
    inside = voxel_centers(mri)[..., 2] > middle_of(mri)[2] - 20
    shifted = [sitk.GetArrayFromImage(sitk.Resample(pet, mri, motion)) for motion in (shift.GetInverse(), shift)]
    moving = sitk.GetImageFromArray(np.where(inside, *shifted))
    moving.CopyInformation(mri)
    mask, _ = check_fixed_mask(mask_where(mri, inside), mri)
    as_placed = sitk.Euler3DTransform()
    as_placed.SetCenter(middle_of(mri).tolist())
    errors = [
        error_mm(
            prealign_rigidly(seen(mri, "mri"), seen(moving, "pet"), from_heads=as_placed, mask=region),
            shift,
            sitk.Mask(head_mask(mri), mask),
        )
        for region in (mask, None)
    ]
    assert errors[0] < 1.0 and errors[1] > 2.0


def test_the_similarity_is_that_in_the_mask(mri, pet, weights):
    settings = Settings("pet", prealignment="none", device="cpu", weights=weights, three_axes=False, strength=0.0)
    everywhere = np.ones(mri.GetSize()[::-1], bool)
    upper = voxel_centers(mri)[..., 2] > middle_of(mri)[2]
    reports = [
        register_and_fuse(mri, pet, settings, fixed_mask=mask).report
        for mask in (None, mask_where(mri, everywhere), mask_where(mri, upper))
    ]
    without, whole, half = (report.mutual_information_after for report in reports)
    assert whole == without
    assert abs(half - without) > 0.001
    assert [any("fixed mask" in detail for detail in report.details) for report in reports] == [False, True, True]
