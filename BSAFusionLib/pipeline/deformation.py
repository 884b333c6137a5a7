"""Make one deformation of the evidence from all slices, and apply as much of it as helps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import compose_field, compose_transform, remove_global_scaling, scale
from BSAFusionLib.geometry.grids import directions
from BSAFusionLib.pipeline.case import Case, Initialization, LoadedNetwork
from BSAFusionLib.pipeline.displacement import infer_displacement
from BSAFusionLib.pipeline.expected_error import expected_error
from BSAFusionLib.pipeline.growth import limit_growth
from BSAFusionLib.pipeline.limits import add_margin, limit_displacements
from BSAFusionLib.pipeline.network_input import NetworkInput
from BSAFusionLib.pipeline.posterior import mean_field
from BSAFusionLib.pipeline.registration import Registered
from BSAFusionLib.pipeline.report import Verdict
from BSAFusionLib.pipeline.rigid_part import rigid_part
from BSAFusionLib.pipeline.slice_plan import SlicePlan
from BSAFusionLib.pipeline.slice_similarity import SliceSimilarity
from BSAFusionLib.pipeline.slicing import other_axes, resample_mask
from BSAFusionLib.pipeline.verdict import FRACTIONS, choose_fraction, judge_slices

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose


@dataclass(frozen=True)
class Deformation:
    """What the network adds to a rigid transform; a point plus its displacement is carried on by that transform.

    Attributes:
        rigid: Fixed point to moving point, mm, LPS: the initial transform, or the rigid motion nearest to all.
        estimated: Before image similarity reduced it; growth, length and strength are limited already. mm, LPS, on a
            lattice over the fixed volume.
        applied: What of it is applied, mm, LPS, on that lattice with a margin around it, where it fades to zero.
        transform: The total transform, fixed point to moving point, mm, LPS.
        verdict: How much was applied; None where that was not checked by image similarity.
        expected_error: Expected length of the error of `applied`, mm, on a coarse lattice over the fixed volume; None
            where the weights are not calibrated.
        details: Remarks that explain what was applied, a sentence each.
    """

    rigid: sitk.Transform
    estimated: sitk.Image
    applied: sitk.Image
    transform: sitk.CompositeTransform
    verdict: Verdict | None
    expected_error: sitk.Image | None
    details: tuple[str, ...]


def make_deformation(
    case: Case, plan: SlicePlan, seen: Registered, initial: Initialization, pose: "HeadPose"
) -> Deformation:
    """Make the deformation that is applied.

    Args:
        case: The prepared volumes and network.
        plan: The slices.
        seen: What the network reads from the slices, of the displacement that the initial transform follows.
        initial: The transform that it follows. One that was estimated is corrected by what the evidence says of shift
            and turn; one that was given stays as it is.
        pose: Of the fixed head.

    Returns:
        The deformation, with what it leaves to the rigid transform.
    """
    settings, calibrated = case.settings, case.network.calibration is not None
    posterior = infer_displacement(case, plan, seen.evidence)
    field, verdict = mean_field(posterior, case.fixed), None
    details: tuple[str, ...] = ()
    if settings.do_no_harm:
        field, given_up = limit_growth(field, seen.rough_field, plan.head, posterior.calibration.slope)
        field, limited = _limit(case, plan, field)
        details = (*given_up, *limited)
    field = scale(field, settings.strength)
    estimated = field
    if settings.do_no_harm and settings.strength > 0 and not calibrated:
        field, verdict = apply_helpful_part(field, initial.transform, case.network_input, plan.axes[0], case.network)
        details += verdict.remarks()
    rigid = initial.transform
    if initial.kind == "rigid" and np.any(sitk.GetArrayViewFromImage(field)):
        rigid = rigid_part(compose_transform(field, rigid), plan.head, pose)
        whole = field is estimated
        field = _refer(field, initial.transform, rigid)
        estimated = field if whole else _refer(estimated, initial.transform, rigid)
    field, messages = add_margin(field, settings.fold_free)
    details += messages
    applied = _refer(field, rigid, initial.transform)
    error = expected_error(posterior, applied, case.fixed) if calibrated else None
    return Deformation(rigid, estimated, field, compose_transform(field, rigid), verdict, error, details)


def _refer(field: sitk.Image, rigid: sitk.Transform, other: sitk.Transform) -> sitk.Image:
    """Return the field that leads with another rigid transform where this one leads with its own, mm, LPS."""
    return field if rigid is other else compose_field(field, sitk.CompositeTransform([other.GetInverse(), rigid]))


def apply_helpful_part(
    field: sitk.Image,
    initial: sitk.Transform,
    network_input: NetworkInput,
    axis: int,
    network: LoadedNetwork | None = None,
) -> tuple[sitk.Image, Verdict]:
    """Reduce a deformation to what raises the similarity of both volumes.

    It is scaled as a whole by the best fraction, then reduced smoothly in the slices where the similarity falls.

    Args:
        field: mm, LPS; the initial transform follows it.
        initial: Fixed point to moving point, mm, LPS.
        network_input: Both volumes.
        axis: Index axis of the fixed volume across the slices that are judged.
        network: Whose features are compared, too; none to judge by mutual information alone.

    Returns:
        The reduced field on the same grid, and the verdict.
    """
    similarity = SliceSimilarity(network_input, axis)
    figures = similarity.figures(field, initial, FRACTIONS.tolist())
    choice = choose_fraction(figures.histograms)
    agreement = None
    if choice > 0 and network is not None:
        chosen = compose_transform(scale(field, FRACTIONS[choice]), initial)
        agreement = similarity.agreement(network, initial, chosen)
    verdict, factors = judge_slices(figures, choice, agreement)
    return similarity.scale_slices(field, factors), verdict


def _limit(case: Case, plan: SlicePlan, field: sitk.Image) -> tuple[sitk.Image, tuple[str, ...]]:
    """Limit the field to what is plausible.

    Where the weights are calibrated, the posterior knows how far growth can be trusted, and growth is left in.
    """
    if case.network.calibration is not None:
        return limit_displacements(field, plan.pixel_mm)
    seen_axes = [0, 1, 2] if len(plan.axes) > 1 else other_axes(plan.axes[0])
    seen = directions(case.fixed)[:, seen_axes]
    return limit_displacements(remove_global_scaling(field, resample_mask(plan.head, field), seen), plan.pixel_mm)
