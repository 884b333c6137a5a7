"""Follow the second round of registration only where it does not lead on and on."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import scale

# Where the network sees what it was trained on, a second round changes the first one's displacement both ways: on
# patients of heads 11 and 12 it grew by -72 to 29 % in brain, neck and head. Where it sees nothing that it knows, it
# asks for the same again: by 60 % more in the neck of a PET template.
ALLOWED_GROWTH = 0.35
REFUSED_GROWTH = 0.6  # in between, less and less of the second round is followed
NEIGHBORHOOD_MM = 24.0  # standard deviation of the weights with which growth is averaged
SMALL_MM = 0.5  # displacements of this length do not tell growth from noise


def limit_growth(field: sitk.Image, rough: sitk.Image) -> tuple[sitk.Image, float]:
    """Return to the first round's displacement where the second made it grow by more than a well-seen head would.

    Args:
        field: Of the second round, mm, LPS.
        rough: Of the first, on the same grid.

    Returns:
        The field, and the mean share in [0, 1] of the second round's change that was followed.
    """
    first, second = sitk.GetArrayViewFromImage(rough), sitk.GetArrayViewFromImage(field)
    along = _averaged((first * (second - first)).sum(axis=-1), field)
    squares = _averaged((first * first).sum(axis=-1), field)
    growth = along / (squares + SMALL_MM**2)
    share = np.clip((REFUSED_GROWTH - growth) / (REFUSED_GROWTH - ALLOWED_GROWTH), 0.0, 1.0)
    change = sitk.Subtract(field, rough)
    return sitk.Add(rough, scale(change, share[..., None])), float(share.mean())


def _averaged(values: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """Average values (slice, row, column) over each one's neighborhood on a grid."""
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(grid)
    averaged: np.ndarray = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, NEIGHBORHOOD_MM))
    return averaged
