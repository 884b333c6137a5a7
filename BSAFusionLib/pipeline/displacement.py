"""Combine the evidence of a case's slices to a displacement."""

from collections.abc import Sequence

import SimpleITK as sitk

from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline.calibration import PIXELS_PER_SIGMA, uncalibrated
from BSAFusionLib.pipeline.case import Case
from BSAFusionLib.pipeline.limits import limit_displacements
from BSAFusionLib.pipeline.observed import observe
from BSAFusionLib.pipeline.posterior import Posterior, infer, mean_field
from BSAFusionLib.pipeline.slice_plan import SlicePlan


def infer_displacement(case: Case, plan: SlicePlan, evidence: Sequence[Evidence]) -> Posterior:
    """Combine the evidence to what is known of the displacement."""
    calibration = case.network.calibration or uncalibrated(plan.pixel_mm)
    # Not finer than the network's own prior, so that the number of modes stays small in a large field of view.
    sigma_mm = [max(calibration.sigma_mm, PIXELS_PER_SIGMA * plan.pixel_mm)] * 3
    if len(plan.axes) == 1:
        (axis,) = plan.axes
        sigma_mm[axis] = max(case.settings.through_plane_smoothing, plan.stacks[0].grid.GetSpacing()[2])
    return infer(observe(evidence, case.fixed, sigma_mm), calibration)


def rough_field(posterior: Posterior, fixed: sitk.Image, pixel_mm: float) -> sitk.Image:
    """Return the displacement, whole, mm, LPS, to cut the slices of the second round by.

    Args:
        posterior: Of the first round.
        fixed: The fixed volume.
        pixel_mm: Of the registered slices.
    """
    field, _ = limit_displacements(mean_field(posterior, fixed), pixel_mm)
    return field
