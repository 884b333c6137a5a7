"""A second round is followed where it corrects the first, and not where it only asks for more of the same."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.pipeline.growth import limit_growth
from Testing.phantoms import centered_grid

GRID = centered_grid((60, 30, 30), (4.0, 4.0, 4.0), np.eye(3))


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
    first = np.array((3.0, 0.0, 0.0))
    limited, followed = limit_growth(field_of(np.array(second)), field_of(first))
    assert followed == pytest.approx(share, abs=0.1)
    assert sitk.GetArrayFromImage(limited)[15, 15, 30] == pytest.approx(first + followed * (second - first), abs=1e-6)


def test_small_displacements_are_left_to_grow():
    _, followed = limit_growth(field_of(np.array((0.2, 0.0, 0.0))), field_of(np.array((0.1, 0.0, 0.0))))
    assert followed == 1


def test_growth_on_one_side_does_not_stop_the_other():
    first = np.zeros((30, 30, 60, 3))
    first[..., 0] = 3.0
    second = first.copy()
    second[..., :30, 0] = 6.0
    second[..., 30:, 0] = 2.0
    limited, _ = limit_growth(field_of(second), field_of(first))
    values = sitk.GetArrayFromImage(limited)[..., 0]
    assert values[:, :, :12] == pytest.approx(3.0, abs=0.2)
    assert values[:, :, 48:] == pytest.approx(2.0, abs=0.05)
