"""A deformation that helps is kept, one that harms is taken back, as a whole or in the slices where it harms."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import displacement_transform, scale
from BSAFusionLib.pipeline.slicing import slice_grid
from BSAFusionLib.pipeline.verdict import Features, keep_what_helps

nowhere = sitk.Transform(3, sitk.sitkIdentity)


@pytest.fixture(scope="module")
def deformation(mri) -> sitk.Image:
    """Up to 6 mm to the side, more above and below the middle (mm, LPS, on the MRI's grid)."""
    vectors = np.zeros((*mri.GetSize()[::-1], 3))
    vectors[..., 0] = 6 * np.cos(np.linspace(-2, 2, len(vectors)))[:, None, None]
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(mri)
    return field


@pytest.fixture(scope="module")
def seen(mri, pet, deformation) -> tuple[sitk.Image, sitk.Image]:
    """Both volumes in [0, 1]; the PET deformed, so that the deformation carries it back."""
    back = sitk.InverseDisplacementField(deformation, mri.GetSize(), mri.GetOrigin(), mri.GetSpacing())
    moved = sitk.Resample(pet, mri, displacement_transform(back), sitk.sitkLinear, 0.0)
    return mri / 220, sitk.Clamp(moved / 100, lowerBound=0, upperBound=1)


def largest(field: sitk.Image) -> np.ndarray:
    """The largest displacement of each slice, mm."""
    return np.linalg.norm(sitk.GetArrayFromImage(field), axis=-1).max(axis=(1, 2))


def test_the_right_deformation_is_kept_whole(seen, deformation):
    kept, verdict = keep_what_helps(deformation, nowhere, *seen, axis=2)
    assert verdict.kept == 1.0 and verdict.slices_damped < 5
    assert np.abs(sitk.GetArrayFromImage(kept) - sitk.GetArrayFromImage(deformation))[8:-8].max() < 0.5


def test_the_opposite_of_it_is_dropped_and_said_so(seen, deformation):
    kept, verdict = keep_what_helps(scale(deformation, -1.0), nowhere, *seen, axis=2)
    assert verdict.kept == 0.0 and largest(kept).max() == 0
    assert "only the pre-alignment was kept" in verdict.remark()


def test_too_much_of_it_is_scaled_down(seen, deformation):
    _, verdict = keep_what_helps(scale(deformation, 2.0), nowhere, *seen, axis=2)
    assert verdict.kept == pytest.approx(0.5, abs=0.25)
    assert "of the deformation was kept" in verdict.remark()


def test_the_less_a_deformation_earns_the_less_of_it_is_followed(seen, deformation):
    kept = [keep_what_helps(scale(deformation, share), nowhere, *seen, axis=2)[1].kept for share in (0.02, 0.1, 1.0)]
    assert kept[0] <= 0.25 and kept == sorted(kept) and kept[2] == 1


def test_where_it_is_wrong_in_some_slices_it_is_taken_back_there_smoothly(seen, deformation):
    factors = np.ones((40, 1, 1, 1))
    factors[:13] = -1.0
    kept, verdict = keep_what_helps(scale(deformation, factors), nowhere, *seen, axis=2)
    share = largest(kept) / largest(deformation)
    assert share[3:8].max() < 0.3 and share[22:35].min() > 0.7 * verdict.kept
    assert np.abs(np.diff(share)).max() < 0.35
    assert verdict.slices_damped > 10


def test_where_features_agree_less_it_is_taken_back_too(seen, deformation):
    grid = slice_grid(seen[0], "k")[:, :, ::4]

    def agreement(transform: sitk.Transform) -> np.ndarray:
        """As the first third of the slices, and they alone, would have it if nothing had needed to move."""
        moved = np.linalg.norm(np.subtract(transform.TransformPoint((0.0, 0.0, 0.0)), (0.0, 0.0, 0.0)))
        values = np.where(np.arange(grid.GetDepth()) < grid.GetDepth() // 3, -moved, 0.1 * moved)
        values[-1] = np.nan  # a slice that shows nothing
        return values

    whole, without = keep_what_helps(deformation, nowhere, *seen, axis=2)
    kept, verdict = keep_what_helps(deformation, nowhere, *seen, axis=2, features=Features(agreement, grid))
    share = largest(kept) / largest(whole)
    assert share[:8].max() < 0.1 and share[22:].min() > 0.95
    assert np.abs(np.diff(share)).max() < 0.35
    assert verdict.kept == without.kept == 1 and verdict.slices_damped > 20 > without.slices_damped
    assert verdict.agreement_before == 0 and verdict.agreement_after < 0
    assert "agreement of the network's features fell" in verdict.remark()
