"""Judge whether a registration may leave the placement in the files, where no head says so."""

import SimpleITK as sitk

from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.measures import corrected_information
from BSAFusionLib.pipeline.rigid_search import Region, head_region, largest_gap

SPACING_MM = 4.0
BINS = 24
SMALL_MOVE_MM = 15.0
LARGE_MOVE_GAIN = 1.5  # of the shared information, for a move that is not small
LARGE_MOVE_NATS = 0.2  # at least so much must be shared after it: bodies without a head reach 0.14


def is_worth_the_move(
    fixed: sitk.Image, moving: sitk.Image, transform: sitk.Euler3DTransform, region: Region = head_region
) -> bool:
    """Decide whether a transform is better than the placement by more than chance.

    Args:
        fixed: The network input, float32 in [0, 1].
        moving: Likewise.
        transform: Fixed point to moving point, mm, LPS.
        region: Where to compare them.
    """
    as_placed = sitk.Euler3DTransform()
    as_placed.SetCenter(transform.GetCenter())
    before, after = (shared_information(fixed, moving, motion, region) for motion in (as_placed, transform))
    if largest_gap(transform, as_placed) <= SMALL_MOVE_MM:
        return after > before
    return after >= max(LARGE_MOVE_NATS, LARGE_MOVE_GAIN * before)


def shared_information(
    fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform, region: Region = head_region
) -> float:
    """Compute the mutual information of both volumes where both show something, times the share of the fixed head.

    Mutual information alone rewards a small overlap, and, with air around the volumes, an edge of the field of view
    that lies along the head's outline.

    Args:
        fixed: The network input, float32 in [0, 1].
        moving: Likewise.
        transform: Fixed point to moving point, mm, LPS.
        region: Where to compare them.

    Returns:
        In nats, corrected for the number of voxels.
    """
    coarse = downsample(fixed, SPACING_MM)
    moving = downsample(moving, SPACING_MM)
    outside = sitk.Resample(moving, coarse, transform, sitk.sitkLinear, -1.0)
    values, others = sitk.GetArrayFromImage(coarse), sitk.GetArrayFromImage(outside)
    head = sitk.GetArrayFromImage(region(coarse)) > 0
    both = head & (others >= 0)
    count = int(both.sum())
    if count == 0:
        return 0.0
    return corrected_information(values[both], others[both], BINS) * count / int(head.sum())
