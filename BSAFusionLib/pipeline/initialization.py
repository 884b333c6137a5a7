"""Find both heads, and the transform from which registration goes on."""

from collections.abc import Callable

from BSAFusionLib.pipeline.case import Case, Initialization
from BSAFusionLib.pipeline.head_start import HeadStart, start_from_heads
from BSAFusionLib.pipeline.input_checks import no_overlap
from BSAFusionLib.pipeline.progress import CancelCheck
from BSAFusionLib.pipeline.rigid import prealign_rigidly


def find_heads(case: Case, cancelled: CancelCheck | None = None) -> HeadStart:
    """Find both heads, each in its own volume: to begin with, and for the second opinion on the result.

    Args:
        case: The prepared volumes.
        cancelled: Asked often; True stops the run.
    """
    colored = case.moving.GetNumberOfComponentsPerPixel() > 1
    moving = case.network_input.moving if colored else case.moving
    return start_from_heads(case.fixed, moving, cancelled, upright=case.placement.kind != "rigid")


def initialize(
    case: Case,
    heads: HeadStart,
    progress: Callable[[float], None] | None = None,
    cancelled: CancelCheck | None = None,
) -> Initialization:
    """Return the initial transform, estimated if the settings ask for it.

    Args:
        case: The prepared volumes.
        heads: Of `find_heads`.
        progress: Called with the fraction that is done.
        cancelled: Asked often; True stops the run.

    Raises:
        FusionError: The volumes lie apart, and no head says how to bring them together.
    """
    if case.placement.kind != "rigid":
        return case.placement
    if heads.transform is None and not case.overlap:
        raise no_overlap()
    volumes = case.network_input
    return Initialization(
        prealign_rigidly(volumes.fixed, volumes.moving, progress, cancelled, heads.transform, case.fixed_mask), "rigid"
    )
