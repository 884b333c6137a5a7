"""Fuse in color: the network's luminance with the registered volume's colors."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS, Intensities
from BSAFusionLib.pipeline.slicing import volume_from_slices

SLAB_VOXELS = 1 << 25  # that are colored at once


def color_fused(slices: np.ndarray, grid: sitk.Image, registered: sitk.Image, intensities: Intensities) -> sitk.Image:
    """Give fused slices the colors of the registered volume.

    Args:
        slices: Luminance in [0, 1] (slice, row, column).
        grid: Of the slices.
        registered: The registered moving volume, scalar or RGB.
        intensities: Of the moving volume.

    Returns:
        RGB of uint8 on the registered volume's grid.
    """
    image = sitk.Image(registered.GetSize(), sitk.sitkVectorUInt8, 3)
    image.CopyInformation(registered)
    columns, rows, count = registered.GetSize()
    thickness = max(1, SLAB_VOXELS // (columns * rows))
    for first in range(0, count, thickness):
        slab = registered[:, :, first : first + thickness]
        fused = volume_from_slices(slices, grid, slab)
        arrays = sitk.GetArrayViewFromImage(fused), sitk.GetArrayViewFromImage(slab)
        rgb = np.empty((*arrays[0].shape, 3), np.uint8)
        for plane, luminance, values in zip(rgb, *arrays, strict=True):
            color = with_luminance(intensities.color(values[None])[0], luminance)
            plane[:] = np.rint(255 * np.clip(color, 0, 1))
        image[:, :, first : first + thickness] = sitk.GetImageFromArray(rgb, isVector=True)
    return image


def with_luminance(color: np.ndarray, luminance: np.ndarray) -> np.ndarray:
    """Give colors another luminance and keep their Cb and Cr.

    That means to add the difference in Y to red, green and blue alike (ITU-R BT.601).

    Args:
        color: RGB (row, column, 3).
        luminance: (row, column).

    Returns:
        RGB (row, column, 3), not clipped.
    """
    changed: np.ndarray = color + (luminance - color @ LUMINANCE_WEIGHTS)[..., None]
    return changed
