"""A deformation that helps is applied, one that harms is reduced, as a whole or in the slices where it harms."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import displacement_transform, scale
from BSAFusionLib.pipeline.deformation import apply_helpful_part
from BSAFusionLib.pipeline.network_input import NetworkInput
from BSAFusionLib.pipeline.report import Verdict
from BSAFusionLib.pipeline.slice_similarity import SliceSimilarity
from BSAFusionLib.pipeline.slicing import slice_grid
from BSAFusionLib.pipeline.verdict import FRACTIONS, AgreementFigures, choose_fraction, judge_slices

IDENTITY = sitk.Transform(3, sitk.sitkIdentity)


@pytest.fixture(scope="module")
def deformation(mri) -> sitk.Image:
    """Up to 6 mm to the side, more above and below the middle (mm, LPS, on the MRI's grid)."""
    vectors = np.zeros((*mri.GetSize()[::-1], 3))
    vectors[..., 0] = 6 * np.cos(np.linspace(-2, 2, len(vectors)))[:, None, None]
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(mri)
    return field


@pytest.fixture(scope="module")
def network_input(mri, pet, deformation) -> NetworkInput:
    """Both volumes in [0, 1]; the PET deformed, so that the deformation carries it back."""
    back = sitk.InverseDisplacementField(deformation, mri.GetSize(), mri.GetOrigin(), mri.GetSpacing())
    moved = sitk.Resample(pet, mri, displacement_transform(back), sitk.sitkLinear, 0.0)
    return NetworkInput(mri / 220, sitk.Clamp(moved / 100, lowerBound=0, upperBound=1))


@pytest.fixture
def judge(network_input):
    """Return the part of a field that is applied, and the verdict by mutual information alone."""
    return lambda field: apply_helpful_part(field, IDENTITY, network_input, axis=2)


def largest(field: sitk.Image) -> np.ndarray:
    """Return the largest displacement of each slice, mm."""
    return np.linalg.norm(sitk.GetArrayFromImage(field), axis=-1).max(axis=(1, 2))


def test_the_right_deformation_is_applied_whole(judge, deformation):
    applied, verdict = judge(deformation)
    assert verdict.kept == 1.0
    assert verdict.slices_damped < 5
    assert np.abs(sitk.GetArrayFromImage(applied) - sitk.GetArrayFromImage(deformation))[8:-8].max() < 0.5


def test_the_opposite_of_it_is_dropped_with_a_remark(judge, deformation):
    applied, verdict = judge(scale(deformation, -1.0))
    assert verdict.kept == 0.0
    assert largest(applied).max() == 0
    assert "only the initial transform" in " ".join(verdict.remarks())


def test_too_much_of_it_is_scaled_down(judge, deformation):
    _, verdict = judge(scale(deformation, 2.0))
    assert verdict.kept == pytest.approx(0.5, abs=0.25)
    assert any("of the deformation: more did not improve" in remark for remark in verdict.remarks())


def test_the_less_a_deformation_gains_the_less_of_it_is_applied(judge, deformation):
    kept = [judge(scale(deformation, fraction))[1].kept for fraction in (0.02, 0.1, 1.0)]
    assert kept[0] <= 0.25
    assert kept == sorted(kept)
    assert kept[2] == 1


def test_where_it_is_wrong_in_some_slices_it_is_reduced_there_smoothly(judge, deformation):
    factors = np.ones((40, 1, 1, 1))
    factors[:13] = -1.0
    applied, verdict = judge(scale(deformation, factors))
    fraction = largest(applied) / largest(deformation)
    assert fraction[3:8].max() < 0.3
    assert fraction[22:35].min() > 0.7 * verdict.kept
    assert np.abs(np.diff(fraction)).max() < 0.35
    assert verdict.slices_damped > 10


def test_where_features_agree_less_it_is_reduced_too(judge, network_input, deformation):
    grid = slice_grid(network_input.fixed, "k")[:, :, ::4]
    count = grid.GetDepth()
    moved = np.linalg.norm(displacement_transform(deformation).TransformPoint((0.0, 0.0, 0.0)))
    # As if nothing had needed to move in the first third of the slices, and in them alone.
    after = np.where(np.arange(count) < count // 3, -moved, 0.1 * moved)
    after[-1] = np.nan  # a slice that shows nothing
    similarity = SliceSimilarity(network_input, axis=2)
    agreement = AgreementFigures(np.zeros(count), after, similarity.positions(grid, 2), grid.GetSpacing()[2])

    figures = similarity.figures(deformation, IDENTITY, FRACTIONS.tolist())
    verdict, factors = judge_slices(figures, choose_fraction(figures.histograms), agreement)
    whole, without = judge(deformation)
    fraction = largest(similarity.scale_slices(deformation, factors)) / largest(whole)
    assert fraction[:8].max() < 0.1
    assert fraction[22:].min() > 0.95
    assert np.abs(np.diff(fraction)).max() < 0.35
    assert verdict.kept == without.kept == 1
    assert verdict.slices_damped > 20 > without.slices_damped
    assert verdict.agreement_before == 0
    assert verdict.agreement_after < 0
    assert "feature agreement fell" in " ".join(verdict.remarks())


def test_a_deformation_that_is_applied_whole_needs_no_remark():
    assert Verdict(1.0, 0.0).remarks() == ()
