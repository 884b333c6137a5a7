"""Intensities as in training: CT in a brain window, MRI by percentiles, PET and SPECT in colour."""

import numpy as np
import SimpleITK as sitk


def head_mask(image: sitk.Image) -> sitk.Image:
    """Where the head is: the largest bright region of a scalar volume, its holes filled (uint8, 0 or 1, same grid)."""
    values = sitk.GetArrayViewFromImage(image)
    low, high = np.nanpercentile(values[np.isfinite(values)], (2, 98))
    bright = image > float(low + 0.1 * (high - low))
    regions = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.BinaryMorphologicalOpening(bright, (1, 1, 1))))
    return sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(regions == 1, (2, 2, 2)))
