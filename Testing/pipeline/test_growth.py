"""A deformation is kept where the second round corrects the first, and not where it only asks for more of the same."""

import re

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.pipeline.growth import limit_growth
from Testing.phantoms import centered_grid

GRID = centered_grid((60, 30, 30), (4.0, 4.0, 4.0), np.eye(3))
HEAD = sitk.Cast(GRID, sitk.sitkUInt8) + 1


def field_of(vectors: np.ndarray) -> sitk.Image:
    field = sitk.GetImageFromArray(np.broadcast_to(vectors, (30, 30, 60, 3)).astype(float), isVector=True)
    field.CopyInformation(GRID)
    return field


@pytest.mark.parametrize(
    ("second", "share"),
    [
        ((3.0, 0.0, 0.0), 1.0),
        ((1.5, 0.0, 0.0), 1.0),
        ((-3.0, 0.0, 0.0), 1.0),
        ((3.0, 2.0, 0.0), 1.0),
        ((3.9, 0.0, 0.0), 1.0),
        ((4.5, 0.0, 0.0), 0.5),
        ((6.0, 0.0, 0.0), 0.0),
    ],
    ids=["same", "shorter", "reversed", "turned", "a little longer", "longer", "twice as long"],
)
def test_a_displacement_may_change_but_not_grow_much(second, share):
    limited, remarks = limit_growth(field_of(np.array(second)), field_of(np.array((3.0, 0.0, 0.0))), HEAD)
    # Shares are exact up to the length that does not tell growth from noise.
    assert sitk.GetArrayFromImage(limited)[15, 15, 30] == pytest.approx(share * np.array(second), abs=0.35)
    assert len(remarks) == (share < 1)
    if remarks:
        percent = int(re.search(r"Reduced the deformation by (\d+) % on average over the head", remarks[0])[1])
        assert percent == pytest.approx(100 * (1 - share), abs=10)


def test_small_displacements_are_left_to_grow():
    second = field_of(np.array((0.2, 0.0, 0.0)))
    limited, remarks = limit_growth(second, field_of(np.array((0.1, 0.0, 0.0))), HEAD)
    assert not remarks
    np.testing.assert_allclose(sitk.GetArrayFromImage(limited), sitk.GetArrayFromImage(second))


def test_growth_on_one_side_does_not_stop_the_other():
    first = np.zeros((30, 30, 60, 3))
    first[..., 0] = 3.0
    second = first.copy()
    second[..., :30, 0] = 6.0
    second[..., 30:, 0] = 2.0
    limited, remarks = limit_growth(field_of(second), field_of(first), HEAD)
    values = sitk.GetArrayFromImage(limited)[..., 0]
    assert values[:, :, :12] == pytest.approx(0.0, abs=0.4)
    assert values[:, :, 48:] == pytest.approx(2.0, abs=0.05)
    assert len(remarks) == 1


def test_what_lies_outside_of_the_head_is_not_remarked_on():
    first = np.zeros((30, 30, 60, 3))
    first[..., 0] = 3.0
    second = first.copy()
    second[..., :10, 0] = 6.0
    right = sitk.Image(HEAD.GetSize(), sitk.sitkUInt8)
    right.CopyInformation(HEAD)
    right[40:, :, :] = 1
    assert limit_growth(field_of(second), field_of(first), right)[1] == ()


def test_a_network_that_reports_little_of_a_displacement_may_find_more_of_it():
    second = field_of(np.array((6.0, 0.0, 0.0)))
    limited, remarks = limit_growth(second, field_of(np.array((3.0, 0.0, 0.0))), HEAD, slope=0.6)
    assert limited is second
    assert remarks == ()
