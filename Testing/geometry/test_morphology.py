"""Opening and closing give ITK's own masks, to the voxel."""

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.morphology import close_mask, open_mask

SHAPES = ((9, 8, 7), (3, 4, 30), (1, 2, 3), (20, 21, 22))  # the third is smaller than the ball


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize(
    ("ours", "of_itk"),
    [(open_mask, sitk.BinaryMorphologicalOpening), (close_mask, sitk.BinaryMorphologicalClosing)],
    ids=["opening", "closing"],
)
def test_a_mask_is_opened_and_closed_as_itk_does(ours: Callable, of_itk: Callable, radius: int, share: float):
    random = np.random.default_rng(0)
    for shape in SHAPES:
        mask = random.random(shape) < share
        expected = sitk.GetArrayFromImage(of_itk(sitk.GetImageFromArray(mask.astype(np.uint8)), [radius] * 3)) > 0
        np.testing.assert_array_equal(ours(mask, radius), expected)
