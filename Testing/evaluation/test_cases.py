"""The designed cases are what they say, and spread evenly over one another from the first on."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionResearch.evaluation.cases import FACTORS, Case, designed_cases, sampled


@pytest.fixture(scope="module")
def ball() -> sitk.Image:
    """A bright ball of 50 mm, off the middle of a cube of 160 mm."""
    image = sitk.Image((40, 40, 39), sitk.sitkFloat32)
    image.SetSpacing((4.0, 4.0, 2.0))
    image.SetOrigin((-70.0, -90.0, -20.0))
    points = sitk.PhysicalPointSource(sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing())
    distance = np.linalg.norm(sitk.GetArrayFromImage(points) - (5.0, -8.0, 17.0), axis=-1)
    filled = sitk.GetImageFromArray((5 + 100 / (1 + np.exp((distance - 25) / 2))).astype(np.float32))
    filled.CopyInformation(image)
    return filled


def center(image: sitk.Image) -> np.ndarray:
    """Return the middle of the bright voxels, mm, LPS."""
    bright = np.argwhere(sitk.GetArrayViewFromImage(image) > 55)[:, ::-1].mean(axis=0)
    return np.array(image.TransformContinuousIndexToPhysicalPoint(bright.tolist()))


def test_there_are_72_cases_with_a_motion_of_their_own():
    cases = designed_cases()
    assert sorted(case.number for case in cases) == list(range(72))
    assert len({case.motion for case in cases}) == 72


def test_every_two_factors_meet_in_all_their_levels_equally_often():
    for one, other in combinations(FACTORS, 2):
        counts = Counter((getattr(case, one), getattr(case, other)) for case in designed_cases())
        assert set(counts.values()) == {72 // (FACTORS[one] * FACTORS[other])}, (one, other)


@pytest.mark.parametrize("count", [6, 12, 18, 24])
def test_the_first_cases_hold_every_level_about_equally_often(count):
    for factor, levels in FACTORS.items():
        counts = Counter(getattr(case, factor) for case in designed_cases()[:count])
        assert len(counts) == levels
        assert max(counts.values()) - min(counts.values()) <= 2


@pytest.mark.parametrize(
    ("sampling", "size", "spacing"),
    [("as is", (40, 40, 39), (4, 4, 2)), ("thick", (40, 40, 13), (4, 4, 6)), ("oblique", (40, 40, 39), (4, 4, 2))],
)
def test_a_sampling_changes_the_grid_and_leaves_the_head_where_it_is(ball, sampling, size, spacing):
    image = sampled(ball, sampling)
    assert image.GetSize() == size
    assert image.GetSpacing() == pytest.approx(spacing)
    assert center(image) == pytest.approx(center(ball), abs=0.4)


def test_an_oblique_grid_is_turned_by_20_degrees_about_the_same_middle(ball):
    image = sampled(ball, "oblique")
    turn = np.array(image.GetDirection()).reshape(3, 3)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(20)
    middles = [each.TransformContinuousIndexToPhysicalPoint((19.5, 19.5, 19.0)) for each in (image, ball)]
    assert middles[0] == pytest.approx(middles[1])


def test_the_truth_carries_the_shown_fixed_volume_onto_the_shown_moving_one(ball):
    case = Case(7, "pet", "k", 12.0, 15.0, 6.0, "fixed thick, moving oblique")
    fixed, moving = case.volumes(ball, ball)
    truth = case.motion.transform(ball)
    back = sitk.Resample(moving, fixed, truth, sitk.sitkLinear, 5.0)
    inside = sitk.GetArrayFromImage(head_mask(fixed)) > 0
    difference = sitk.GetArrayFromImage(back - fixed)[inside]
    assert np.abs(difference).mean() < 4  # of 100, from sampling three times
    assert error_mm(sitk.Transform(3, sitk.sitkIdentity), truth, head_mask(fixed)) > 10
