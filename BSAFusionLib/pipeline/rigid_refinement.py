"""Refine a rigid transform on the voxels as they are, after the search on coarse ones."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.progress import CancelCheck
from BSAFusionLib.pipeline.rigid_search import (
    SAME_OPTIMUM_MM,
    Optimizer,
    Region,
    head_region,
    largest_gap,
    pad_with_air,
    wait_for,
)

SPACING_MM = 1.0  # of the fixed volume; the moving one keeps its own voxels
STEP_MM = 0.25
SEARCHED_SPACING_MM = 3.0  # of the last level of the search; the head's mask is made there


def refine_finely(
    fixed: sitk.Image,
    moving: sitk.Image,
    transform: sitk.Euler3DTransform,
    cancelled: CancelCheck | None = None,
    region: Region = head_region,
    coarse: sitk.Image | None = None,
) -> sitk.Euler3DTransform:
    """Refine a rigid transform by mutual information at points spread over the fixed head, or a region of it.

    Args:
        fixed: The network input, float32 in [0, 1].
        moving: Likewise.
        transform: Close to the optimum; fixed point to moving point, mm, LPS.
        cancelled: Asked often; True stops the search.
        region: Where mutual information is taken.
        coarse: The fixed volume at `SEARCHED_SPACING_MM`, if it is there already.

    Returns:
        Fixed point to moving point, mm, LPS; the same transform where the fixed voxels are no finer than the search's,
        or the optimum is left.

    Raises:
        Cancelled: `cancelled` returned True.
    """
    if min(fixed.GetSpacing()) >= SEARCHED_SPACING_MM:
        return transform
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        fine = downsample(fixed, SPACING_MM)
        mask = region(downsample(fixed, SEARCHED_SPACING_MM) if coarse is None else coarse)
        mask = sitk.Resample(mask, fine, sitk.Transform(), sitk.sitkNearestNeighbor)
        optimizer = _FineOptimizer(fine, pad_with_air(moving), mask, STEP_MM, stop)
        value, refined = wait_for(pool.submit(optimizer.refine, transform), cancelled, stop)
    return refined if np.isfinite(value) and largest_gap(transform, refined) <= SAME_OPTIMUM_MM else transform


class _FineOptimizer(Optimizer):
    """Takes mutual information at sparse points of fine volumes, and derivatives at these points alone."""

    samples = 100_000  # three times as many gain less than 0.02 mm

    def _method(self) -> sitk.ImageRegistrationMethod:
        method = super()._method()
        # Otherwise the whole moving volume is differentiated first, which takes longer than the search.
        method.SetMetricUseMovingImageGradientFilter(False)
        method.SetMetricUseFixedImageGradientFilter(False)
        return method
