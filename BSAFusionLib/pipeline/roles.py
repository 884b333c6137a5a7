"""Tell from the voxels that volumes were given in the wrong roles: exchanged, the same one twice, a label map."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import ExchangedRoles, FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.network.stack import Stack
from BSAFusionLib.pipeline.ct_units import is_hounsfield
from BSAFusionLib.pipeline.guess import finite_sample, is_surely_labels, without_fill

if TYPE_CHECKING:  # it imports torch
    from BSAFusionLib.network.runner import Runner

CLASSIFIED_SLICES = 8  # about
# Of the median slice. Testing/benchmarks/roles.py prints what scans in their roles and exchanged ones reach.
LEAST_LOG_ODDS = 0.5


def check_roles(fixed: sitk.Image, moving: sitk.Image, modality: str) -> None:
    """Reject volumes that cannot have the roles they were given.

    Args:
        fixed: The MRI.
        moving: The other volume.
        modality: Of the moving volume.

    Raises:
        ExchangedRoles: The fixed volume is in Hounsfield units.
        FusionError: Both hold the same voxels.
    """
    if _same_voxels(fixed, moving):
        raise FusionError(
            "The fixed and the moving volume are the same: both hold the same voxels; give the MRI as the fixed volume "
            f"and the {MODALITIES[modality].label} as the moving one."
        )
    if in_hounsfield_units(fixed):
        raise ExchangedRoles(
            "The fixed volume is in Hounsfield units, so it is a CT and not the MRI; exchange the two volumes."
        )


def remarks_on_roles(fixed: sitk.Image, moving: sitk.Image, modality: str) -> Iterator[str]:
    """Yield what is odd about volumes in their roles, a sentence each.

    Args:
        fixed: The MRI.
        moving: The other volume.
        modality: Of the moving volume.
    """
    label = MODALITIES[modality].label
    if holds_labels(fixed):
        yield "The fixed volume looks like a label map; give the MRI that it was drawn on."
    if MODALITIES[modality].window is None and in_hounsfield_units(moving):
        yield f"The moving volume is in Hounsfield units, so it is a CT and not a {label}; set its modality to CT."
    if holds_labels(moving):
        yield (
            "The moving volume looks like a label map, so it was resampled to the nearest voxel; better register the "
            f"{label} that it was drawn on, and carry it along."
        )


def remark_on_modality(runner: "Runner", stack: Stack, modality: str) -> Iterator[str]:
    """Yield a remark where the network's classifier takes the moving volume for an MRI.

    An MRI and a PET that were exchanged are registered as well as in their roles, but the wrong one is fused for the
    other.

    Args:
        runner: Runs the network of the modality.
        stack: Slices of both volumes.
        modality: Of the moving volume.
    """
    log_odds = median_log_odds(runner, stack)
    if log_odds is not None and log_odds < LEAST_LOG_ODDS:
        yield (
            f"The network takes the moving volume for an MRI and not for a {MODALITIES[modality].label}; if the two "
            "volumes were exchanged, give the MRI as the fixed one."
        )


def median_log_odds(runner: "Runner", stack: Stack) -> float | None:
    """Return the median slice's logarithm of the odds that the moving volume is of its modality, and not an MRI.

    Args:
        runner: Runs the network of the modality.
        stack: Slices of both volumes, of which a few are classified.

    Returns:
        None where these show nothing.
    """
    log_odds = runner.moving_log_odds(stack.every(max(1, len(stack.filled) // CLASSIFIED_SLICES)))
    return float(np.median(log_odds)) if len(log_odds) > 0 else None


def in_hounsfield_units(image: sitk.Image) -> bool:
    """Return whether a scalar volume is certainly in Hounsfield units; False for one in color."""
    scalar = image.GetNumberOfComponentsPerPixel() == 1
    return scalar and is_hounsfield(without_fill(finite_sample(sitk.GetArrayViewFromImage(image))).astype(np.float64))


def holds_labels(image: sitk.Image) -> bool:
    """Return whether a volume can only hold labels."""
    scalar = image.GetNumberOfComponentsPerPixel() == 1
    return scalar and is_surely_labels(sitk.GetArrayViewFromImage(image))


def _same_voxels(one: sitk.Image, other: sitk.Image) -> bool:
    views = [sitk.GetArrayViewFromImage(image) for image in (one, other)]
    # Plane by plane: two volumes differ in their first ones, as a rule.
    return views[0].shape == views[1].shape and all(np.array_equal(*planes) for planes in zip(*views, strict=True))
