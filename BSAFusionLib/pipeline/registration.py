"""Register slices in two rounds: a few as the initial transform places them, then all from where those lead."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import compose_transform
from BSAFusionLib.geometry.grids import directions
from BSAFusionLib.network.stack import Evidence, Stack
from BSAFusionLib.pipeline.case import Case
from BSAFusionLib.pipeline.displacement import infer_displacement, rough_field
from BSAFusionLib.pipeline.progress import StageTimer
from BSAFusionLib.pipeline.slice_plan import SlicePlan
from BSAFusionLib.pipeline.slicing import cut_slices

if TYPE_CHECKING:  # it imports torch
    from BSAFusionLib.network.runner import Runner

ROUGH_STEP = 3  # of so many slices, one is registered in the first round; half of them lead no further


class Registered(NamedTuple):
    """What the network reads from the slices.

    Attributes:
        rough: Of a few slices, as the initial transform places them.
        rough_field: The displacement that these lead to, mm, LPS.
        evidence: Of all slices, in the second round.
    """

    rough: list[Evidence]
    rough_field: sitk.Image
    evidence: list[Evidence]


def register_slices(case: Case, plan: SlicePlan, initial: sitk.Transform, timer: StageTimer) -> Registered:
    """Estimate the displacement that follows the initial transform.

    The error of an estimate grows with the displacement, so most of it is taken away before the slices that count are
    cut.

    Args:
        case: The prepared volumes and network.
        plan: The slices.
        initial: Fixed point to moving point, mm, LPS.
        timer: Of the run.

    Returns:
        The evidence of both rounds, and the displacement between them.
    """
    runner, mirrored = case.network.runner, case.settings.refine
    with timer.stage("pre-registration"):
        rough = register_few(runner, plan.stacks, mirrored)
        field = rough_field(infer_displacement(case, plan, rough), case.fixed, plan.pixel_mm)
    with timer.stage("registration"):
        moving = case.network_input.moving
        return Registered(rough, field, register_from(runner, plan.stacks, moving, field, initial, mirrored))


def register_few(runner: "Runner", stacks: Sequence[Stack], mirrored: bool = False) -> list[Evidence]:
    """Register every third slice of stacks, or all of a stack of which these show nothing."""
    few = [stack.every(ROUGH_STEP) for stack in stacks]
    return runner.register(
        [some if len(some.filled) > 0 else stack for some, stack in zip(few, stacks, strict=True)], mirrored
    )


def register_from(
    runner: "Runner",
    stacks: Sequence[Stack],
    moving: sitk.Image,
    field: sitk.Image,
    initial: sitk.Transform,
    mirrored: bool = False,
) -> list[Evidence]:
    """Register slices from where a displacement leads.

    Args:
        runner: Of the network.
        stacks: The slices, as the initial transform places them.
        moving: The network input.
        field: The displacement, mm, LPS.
        initial: Follows it; fixed point to moving point, mm, LPS.
        mirrored: As `Runner.register` takes it.

    Returns:
        Evidence of the whole displacement that the initial transform follows. A stack that shows nothing any more is
        registered as it is.
    """
    through = compose_transform(field, initial)
    moved = [Stack(stack.grid, stack.fixed, cut_slices(moving, stack.grid, through)) for stack in stacks]
    seen = [len(stack.filled) > 0 for stack in moved]
    chosen = [one if shown else stack for one, stack, shown in zip(moved, stacks, seen, strict=True)]
    found = runner.register(chosen, mirrored)
    return [_after(field, evidence) if shown else evidence for evidence, shown in zip(found, seen, strict=True)]


def _after(field: sitk.Image, evidence: Evidence) -> Evidence:
    """Return the evidence of a displacement before which another one was applied, as evidence of both together."""
    # Strictly, the field is to be taken where the second displacement leads; it is far smoother than that is long.
    applied = sitk.GetArrayFromImage(sitk.Resample(field, evidence.cells, sitk.Transform(), sitk.sitkLinear))
    pixels = applied @ directions(evidence.grid)[:, :2] / evidence.grid.GetSpacing()[0]
    return Evidence(evidence.grid, (evidence.mean + np.moveaxis(pixels, -1, 1)).astype(np.float32), evidence.precision)
