"""The overlay of whole volumes."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS, measure_intensities
from BSAFusionLib.report.overlay import OverlayWindow, blend


def overlay_volume(fixed: sitk.Image, registered: sitk.Image, window: OverlayWindow) -> sitk.Image:
    """Make the overlay of whole volumes.

    Args:
        fixed: The MRI.
        registered: The moving volume on its grid, scalar or RGB.
        window: Of the registered volume's values, in RGB of its luminance.

    Returns:
        RGB of uint8 on that grid.
    """
    intensities, _ = measure_intensities(fixed, "mri")
    gray = sitk.GetArrayViewFromImage(levels := intensities.luminance(fixed))
    values = sitk.GetArrayViewFromImage(registered)
    rgb = np.empty((*gray.shape, 3), np.uint8)
    for plane, level, value in zip(rgb, gray, values, strict=True):
        scalar = value @ LUMINANCE_WEIGHTS if value.ndim == 3 else value
        plane[:] = np.rint(255 * blend(level, scalar, window))
    image = sitk.GetImageFromArray(rgb, isVector=True)
    image.CopyInformation(levels)
    return image
