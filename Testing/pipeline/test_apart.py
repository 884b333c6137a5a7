"""Scans whose files place them apart, or say nothing of a place, are brought together by the heads in them."""

import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.pipeline.case import APART, prepare_case
from BSAFusionLib.pipeline.initialization import find_heads, initialize
from BSAFusionLib.pipeline.input_checks import check_volumes
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.resources import SAMPLE_DATA
from BSAFusionLib.settings import Settings


@pytest.mark.slow  # the search for a turned head in two real scans
def test_a_scan_without_a_place_far_from_the_mri_is_found(weights) -> None:
    fixed, moving = (sitk.ReadImage(str(SAMPLE_DATA / name)) for name in ("mri_t1.nii.gz", "pet_fdg.nii.gz"))
    truth = sitk.ReadTransform(str(SAMPLE_DATA / "truth.h5"))
    # As a reader takes a file without orientation: at the origin, its axes those of LPS.
    to_place = sitk.AffineTransform(3)
    to_place.SetMatrix(moving.GetDirection())
    to_place.SetTranslation(moving.GetOrigin())
    unplaced = sitk.Image(moving)
    unplaced.SetOrigin((0.0, 0.0, 0.0))
    unplaced.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    far = sitk.Image(fixed)
    far.SetOrigin([at + by for at, by in zip(fixed.GetOrigin(), (0, 0, 900), strict=True)])
    case = prepare_case(far, unplaced, Settings("pet", weights=weights, device="cpu"))
    assert APART in case.warnings
    found = initialize(case, find_heads(case)).transform
    there = sitk.TranslationTransform(3, (0.0, 0.0, 900.0))
    assert error_mm(sitk.CompositeTransform([to_place, found, there]), truth, head_mask(fixed)) < 5


def test_a_thin_slab_between_the_nodes_of_a_lattice_overlaps_the_mri(mri, pet) -> None:
    for place in (0.3, 0.4, 0.5):
        low = pet.TransformContinuousIndexToPhysicalPoint([0.0, 0.0, place * pet.GetSize()[2]])
        slab = sitk.Image(pet[:, :, :2])
        slab.SetSpacing((*pet.GetSpacing()[:2], 0.5))
        slab.SetOrigin(low)
        assert check_volumes(mri, slab, "pet", sitk.Transform(3, sitk.sitkIdentity)).overlap
