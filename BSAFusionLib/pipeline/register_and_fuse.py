"""Register a moving volume to a fixed MRI and fuse the two, a stage a line."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import compose_field, jacobian_determinant, resample_through
from BSAFusionLib.geometry.grids import crop_to_grid, smooth_for_spacing, voxel_centers
from BSAFusionLib.network.stack import Evidence, Stack
from BSAFusionLib.network.weights_file import read_parts, sha256
from BSAFusionLib.pipeline.case import Case, Initialization, prepare_case
from BSAFusionLib.pipeline.color import color_fused
from BSAFusionLib.pipeline.deformation import Deformation, make_deformation
from BSAFusionLib.pipeline.doubt import judge
from BSAFusionLib.pipeline.expected_error import inside_head, remarks_on_slices, summarize_error
from BSAFusionLib.pipeline.head_start import HeadStart
from BSAFusionLib.pipeline.initialization import find_heads, initialize
from BSAFusionLib.pipeline.intensities import in_color
from BSAFusionLib.pipeline.measures import RigidMotion, corrected_information, displacement_lengths
from BSAFusionLib.pipeline.memory import explain_memory_errors
from BSAFusionLib.pipeline.motion import measure_motion
from BSAFusionLib.pipeline.pair_comparison import PairComparison
from BSAFusionLib.pipeline.progress import CancelCheck, Progress, StageTimer
from BSAFusionLib.pipeline.registration import register_slices
from BSAFusionLib.pipeline.report import Report, Verdict
from BSAFusionLib.pipeline.result import Result
from BSAFusionLib.pipeline.roles import holds_labels, remark_on_modality
from BSAFusionLib.pipeline.second_opinion import estimated_length, measure_opinion
from BSAFusionLib.pipeline.slice_plan import SlicePlan, plan_slices
from BSAFusionLib.pipeline.slicing import resample_mask, volume_from_slices
from BSAFusionLib.settings import Settings

INFORMATION_VOXELS = 2e6  # of the slices that are fused; in larger ones every second, or nth, is measured along an axis


@explain_memory_errors()
def register_and_fuse(
    fixed: sitk.Image,
    moving: sitk.Image,
    settings: Settings,
    progress: Progress | None = None,
    cancelled: CancelCheck | None = None,
    fixed_mask: sitk.Image | None = None,
) -> Result:
    """Register a moving volume to a fixed one and fuse the two.

    Args:
        fixed: The MRI, a scalar volume.
        moving: CT (scalar), PET or SPECT (scalar, or RGB of uint8). It must overlap the fixed volume as it is placed,
            or by the initial transform that is given, unless a rigid transform is to be estimated and a head is found
            in both volumes.
        settings: The choices of this run.
        progress: Called with the stage, the fraction of the run that is done, in [0, 1], and, where the network runs,
            the number of slices done and of all.
        cancelled: Asked often; True stops the run.
        fixed_mask: A label map on any grid in the space of the fixed volume; the rigid registration and the mutual
            information of the report look only where it is not 0. None for the whole head.

    Returns:
        The registered and the fused volume on the grid of `fixed`, the transforms, and the report.

    Raises:
        FusionError: A problem that the user can fix: volumes that cannot be registered, missing weights, a missing
            device, or too little memory.
        Cancelled: `cancelled` returned True.
    """
    timer = StageTimer(progress, cancelled)
    with timer.stage("intensities"):
        case = prepare_case(fixed, moving, settings, timer.report_slices, cancelled, fixed_mask)
    with timer.stage("pre-alignment"):
        heads = find_heads(case, cancelled)
        initial = initialize(case, heads, timer.report, cancelled)
    with timer.stage("slices"):
        plan = plan_slices(case, initial.transform)
    seen = register_slices(case, plan, initial.transform, timer)
    with timer.stage("deformation"):
        deformation = make_deformation(case, plan, seen, initial, heads.fixed)
    with timer.stage("fusion"):
        aligned = case.network_input.stack(plan.fusion_grid, deformation.transform)
        fused_slices = case.network.runner.fuse(aligned)
    # Both leave a processor idle where they are by themselves.
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(_make_volumes, case, plan, fused_slices, deformation.transform)
        with timer.stage("report"):
            report = _report(case, plan, initial, deformation, aligned)
            report = _with_verdict(report, case, heads, seen.rough, deformation)
            report, error_map = _with_expected_error(report, case, plan, heads, deformation)
        with timer.stage("volumes"):
            registered, fused = making.result()
    return Result(
        fused=fused,
        registered=registered,
        network_field=deformation.applied,
        prealignment=deformation.rigid,
        report=replace(report, seconds=timer.seconds),
        estimated_field=deformation.estimated,
        head=plan.head,
        searched=initial.transform,
        fixed=case.fixed,
        moving=case.moving,
        expected_error=error_map,
    )


def _make_volumes(
    case: Case, plan: SlicePlan, slices: np.ndarray, transform: sitk.Transform
) -> tuple[sitk.Image, sitk.Image]:
    """Make the registered volume, and the fused one of slices (slice, row, column), in color if the modality is."""
    interpolator = sitk.sitkNearestNeighbor if holds_labels(case.moving) else sitk.sitkLinear
    registered = resample_through(case.moving, case.fixed, transform, interpolator)
    if in_color(case.settings.modality):
        return registered, color_fused(slices, plan.fusion_grid, registered, case.moving_intensities)
    return registered, volume_from_slices(slices, plan.fusion_grid, case.fixed)


def _with_verdict(
    report: Report, case: Case, heads: HeadStart, rough: Sequence[Evidence], deformation: Deformation
) -> Report:
    """Decide whether the result is doubtful, from evidence that it was not chosen by."""
    pair = PairComparison(case.network_input)
    opinion = measure_opinion(pair, heads, deformation.transform, estimated_length(rough))
    doubt = judge(opinion)
    verdict = replace(report.verdict, doubtful=doubt.doubtful, reasons=doubt.reasons, opinion=opinion)
    return replace(report, verdict=verdict, warnings=(*report.warnings, *doubt.remarks))


def _with_expected_error(
    report: Report, case: Case, plan: SlicePlan, heads: HeadStart, deformation: Deformation
) -> tuple[Report, sitk.Image | None]:
    """Add the expected error in figures to a report with its verdict; return its map, too, if it is known."""
    if deformation.expected_error is None:
        return report, None
    error = summarize_error(deformation.expected_error, plan.head, heads.fixed)
    report = replace(
        report,
        expected_error=replace(error, only_if_right=report.verdict.doubtful),
        warnings=(*report.warnings, *remarks_on_slices(case.fixed)),
    )
    return report, inside_head(deformation.expected_error, plan.head)


class _Information(NamedTuple):
    """Mutual information in nats, inside the head, and the mask if there is one, in the slices that are fused."""

    before: float
    prealigned: float
    after: float


def _report(case: Case, plan: SlicePlan, initial: Initialization, deformation: Deformation, aligned: Stack) -> Report:
    """Measure the result; its second opinion and the seconds are left to be filled in."""
    runner, weights = case.network.runner, case.network.weights
    information = _measure_information(case, plan, initial.transform, aligned)
    # Of other weights it is not known what their classifier answers.
    calibrated = case.network.calibration is not None
    roles = tuple(remark_on_modality(runner, plan.stacks[0], case.settings.modality)) if calibrated else ()
    lattice, total_field = deformation.estimated, compose_field(deformation.applied, deformation.rigid)
    determinants = sitk.GetArrayFromImage(crop_to_grid(jacobian_determinant(total_field), lattice))
    percent_folded = float(100 * np.mean(determinants <= 0))
    inside = resample_mask(plan.head, lattice)
    displacement, network_displacement = (
        displacement_lengths(sitk.GetArrayFromImage(crop_to_grid(field, lattice))[inside])
        for field in (total_field, deformation.applied)
    )
    return Report(
        modality=case.settings.modality,
        prealignment=initial.kind,
        slices=len(aligned.filled),
        axes=tuple("ijk"[axis] for axis in plan.axes),
        verdict=deformation.verdict or Verdict(),
        mutual_information_before=information.before,
        mutual_information_prealigned=information.prealigned,
        mutual_information_after=information.after,
        displacement=displacement,
        network_displacement=network_displacement,
        smallest_jacobian=float(determinants.min()),
        percent_folded=percent_folded,
        device=str(runner.device),
        precision=case.settings.precision,
        weights=weights.name,
        weights_sha256=sha256(read_parts(weights)),
        motion=_motion_of_head(deformation.rigid, lattice, inside),
        strength=case.settings.strength,
        do_no_harm=case.settings.do_no_harm,
        seconds={},
        warnings=(*case.warnings, *roles, *runner.remarks, *_fold_warning(percent_folded)),
        details=(*case.details, *deformation.details, *_information_remark(information)),
    )


def _motion_of_head(transform: sitk.Transform, grid: sitk.Image, inside: np.ndarray) -> RigidMotion:
    """Measure the motion of the head that a mask on a grid shows; of the grid's middle where it shows none."""
    centers = voxel_centers(grid)
    return measure_motion(transform, centers[inside if inside.any() else np.ones_like(inside)].mean(axis=0))


def _measure_information(case: Case, plan: SlicePlan, initial: sitk.Transform, aligned: Stack) -> _Information:
    """Measure the mutual information of the volumes as placed, with the initial and with the total transform."""
    step = max(1, round((aligned.fixed.size / INFORMATION_VOXELS) ** (1 / 3)))
    fixed, after = (slices[::step, ::step, ::step] for slices in (aligned.fixed, aligned.moving))
    grid = plan.fusion_grid[::step, ::step, ::step]
    inside = resample_mask(plan.head, grid)
    if case.fixed_mask is not None:
        inside &= resample_mask(case.fixed_mask, grid)
    moving = smooth_for_spacing(case.network_input.moving, plan.fusion_grid.GetSpacing()[0])
    before, prealigned = (
        sitk.GetArrayFromImage(sitk.Resample(moving, grid, transform, sitk.sitkLinear, 0.0))
        for transform in (sitk.Transform(), initial)
    )
    return _Information(*(corrected_information(fixed[inside], part[inside]) for part in (before, prealigned, after)))


def _information_remark(information: _Information) -> Iterator[str]:
    """Remark that the deformation lowered the mutual information, if it did."""
    if information.after < information.prealigned:
        yield (
            "The deformation lowered the mutual information, so the alignment may be worse than with the initial "
            "transform alone; compare before and after, or set the strength to 0."
        )


def _fold_warning(percent_folded: float) -> Iterator[str]:
    """Warn that the deformation folds, if it does."""
    if percent_folded > 0:
        yield (
            f"The deformation folds in {percent_folded:.2g} % of the voxels; turn on the removal of folds, or lower "
            "the strength."
        )
