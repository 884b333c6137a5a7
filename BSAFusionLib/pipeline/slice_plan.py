"""Decide which slices are registered and which are fused, and where the head lies in them."""

from dataclasses import dataclass

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.grids import downsample, lattice_over
from BSAFusionLib.network.stack import Stack
from BSAFusionLib.pipeline.case import Case
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.slicing import other_axes, slice_axis, slice_grid, sufficient_size, without_padding

MAX_VOXEL_PX = 12.0  # longer voxels show too little of a head's shape
HEAD_SPACING_PX = 2.0  # of the head's mask, in pixels of the registered slices; about 2 mm


@dataclass(frozen=True)
class SlicePlan:
    """The slices of a run.

    Attributes:
        axes: Index axes whose slices are registered; those of the first are fused.
        stacks: The slices that are registered, one stack an axis; those that show nothing are left out.
        pixel_mm: Of the registered slices.
        head: Mask of the fixed head, uint8, on a coarse lattice over the fixed volume.
        fusion_grid: Grid of the slices that are fused.
    """

    axes: tuple[int, ...]
    stacks: tuple[Stack, ...]
    pixel_mm: float
    head: sitk.Image
    fusion_grid: sitk.Image


def plan_slices(case: Case, initial_transform: sitk.Transform) -> SlicePlan:
    """Cut the slices that are registered, and prepare the grid of those that are fused.

    Args:
        case: The prepared volumes and network.
        initial_transform: Fixed point to moving point, mm, LPS.

    Raises:
        FusionError: No slice shows both volumes, or no head was detected.
    """
    settings, size = case.settings, case.network.size
    axes = _registered_axes(case.fixed, settings.slice_axis, settings.three_axes, size)
    stacks = _filled_stacks(case, initial_transform, axes)
    pixel_mm = stacks[0].grid.GetSpacing()[0]
    spacing_mm = HEAD_SPACING_PX * pixel_mm
    coarse = downsample(case.network_input.fixed, spacing_mm)
    head = head_mask(sitk.Resample(coarse, lattice_over(case.fixed, [spacing_mm] * 3)))
    if not sitk.GetArrayViewFromImage(head).any():
        raise FusionError("No head was detected in the fixed volume; choose an MRI of a head.")
    fused = slice_grid(case.fixed, settings.slice_axis, sufficient_size(case.fixed, axes[0], size))
    return SlicePlan(axes, stacks, pixel_mm, head, without_padding(fused, case.fixed))


def _registered_axes(fixed: sitk.Image, axis: str, three_axes: bool, size: int) -> tuple[int, ...]:
    """Return the index axes whose slices are registered, the chosen one first.

    The others count only where their slices are fine enough in both directions.
    """
    across = slice_axis(fixed, axis)
    spacing = fixed.GetSpacing()

    def is_fine(candidate: int) -> bool:
        pixel_mm: float = slice_grid(fixed, "ijk"[candidate], size).GetSpacing()[0]
        longest_mm: float = max(spacing[other] for other in other_axes(candidate))
        return longest_mm <= MAX_VOXEL_PX * pixel_mm

    fine = filter(is_fine, other_axes(across)) if three_axes else ()
    return (across, *fine)


def _filled_stacks(case: Case, initial_transform: sitk.Transform, axes: tuple[int, ...]) -> tuple[Stack, ...]:
    """Cut the slices of every axis that are registered, without axes whose slices show nothing."""
    grids = [case.network_input.registration_grid(axis, case.network.size) for axis in axes]
    stacks = [case.network_input.stack(grid, initial_transform) for grid in grids]
    filled = tuple(stack for stack in stacks if len(stack.filled) > 0)
    if not filled:
        raise FusionError(
            "No slice shows both volumes after initialization; check that both show the same head and that their voxel "
            "sizes are right, or choose another initial transform."
        )
    return filled
