"""Measure where a field in the plane folds."""

import numpy as np
import SimpleITK as sitk


def folded_percent(field: np.ndarray) -> float:
    """Return the percentage of pixels where the Jacobian determinant of x + field(x) is not above zero.

    Args:
        field: (2, H, W) in pixels, channel 0 along columns.
    """
    vectors = sitk.GetImageFromArray(np.moveaxis(field, 0, -1).astype(np.float64), isVector=True)
    determinants = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(vectors))
    return float(100 * np.mean(determinants <= 0))
