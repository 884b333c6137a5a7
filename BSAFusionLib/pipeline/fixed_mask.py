"""A mask on the fixed volume: the region that the rigid registration and the similarity look at."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.intensities import head_mask

HEAD_SPACING_MM = 4.0
MIN_HEAD_ML = 20.0  # of the head; mutual information of less says little


def check_fixed_mask(mask: sitk.Image, fixed: sitk.Image) -> tuple[sitk.Image, tuple[str, ...]]:
    """Resample a mask on the grid of the fixed volume, and check that it shows enough of the head.

    Args:
        mask: A label map on any grid, mm, LPS; every finite value but 0 counts.
        fixed: The fixed volume as the network sees it, or as it is; scalar.

    Returns:
        The mask, uint8, 1 inside, resampled by nearest neighbor; and what it covers, a sentence.

    Raises:
        FusionError: It is no label map, is empty, lies outside of the fixed volume, or shows too little of the head.
    """
    if mask.GetDimension() != 3 or mask.GetNumberOfComponentsPerPixel() != 1:
        raise FusionError("The fixed mask is no volume with one value per voxel; choose a label map.")
    # NaN, with which some programs fill the outside, is not 0 either.
    inside: sitk.Image = sitk.And(mask != 0, sitk.Abs(sitk.Cast(mask, sitk.sitkFloat32)) < float("inf"))
    if not sitk.GetArrayFromImage(inside).any():
        raise FusionError("The fixed mask is empty; draw the region to register by, or choose no mask.")
    on_fixed = sitk.Resample(inside, fixed, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    chosen = sitk.GetArrayFromImage(on_fixed) > 0
    if not chosen.any():
        raise FusionError("The fixed mask lies outside of the fixed volume; choose a mask that was drawn on it.")
    head = sitk.Resample(
        head_mask(downsample(fixed, HEAD_SPACING_MM)), fixed, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    head_ml = float((chosen & (sitk.GetArrayFromImage(head) > 0)).sum() * np.prod(fixed.GetSpacing()) / 1000)
    if head_ml == 0:
        raise FusionError("The fixed mask covers no part of the head; draw it on the head, or choose no mask.")
    if head_ml < MIN_HEAD_ML:
        raise FusionError(
            f"The fixed mask covers only {head_ml:.2g} ml of the head, and {MIN_HEAD_ML:.0f} ml are needed; draw a "
            "larger region, or choose no mask."
        )
    return on_fixed, (
        f"The rigid registration and the mutual information look only at the fixed mask, {head_ml:.0f} ml of the head.",
    )


def mask_on_grid(mask: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Resample a mask by nearest neighbor; 0 outside of it."""
    resampled: sitk.Image = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return resampled
