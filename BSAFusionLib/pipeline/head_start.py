"""The rigid motion between two heads, each found in its own image without looking at the other."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import SimpleITK as sitk

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose


KEPT_POSES = 8  # of the last volumes, since people register a pair again with other settings
_kept: "dict[tuple[object, ...], HeadPose]" = {}


class HeadStart(NamedTuple):
    """Both heads' own poses and the motion between them.

    transform: rigid, fixed point to moving point in mm LPS; None where a head was not found.
    fixed: the fixed head's pose.
    moving: the moving head's pose.
    """

    transform: sitk.Euler3DTransform | None
    fixed: "HeadPose"
    moving: "HeadPose"


def start_from_heads(
    fixed: sitk.Image, moving: sitk.Image, cancelled: Callable[[], bool] | None = None, upright: bool = False
) -> HeadStart:
    """Find both heads and the motion between them.

    Args:
        fixed: a scalar volume, any intensities.
        moving: a scalar volume, any intensities.
        cancelled: asked often.
        upright: look for heads as they lie only, not turned: enough where no motion is sought.

    Raises:
        Cancelled: `cancelled` said so.
        FusionError: the network's weights are missing or damaged.
    """
    # Here, since torch takes seconds to import.
    from BSAFusionLib.head_pose.search import rigid_between

    poses = [_pose_of(image, upright, cancelled) for image in (fixed, moving)]
    found = all(pose.found for pose in poses)
    return HeadStart(rigid_between(*poses) if found else None, *poses)


def _pose_of(image: sitk.Image, upright: bool, cancelled: Callable[[], bool] | None) -> "HeadPose":
    """Find a head, or return its pose where it was found before."""
    from BSAFusionLib.head_pose.search import find_head
    from BSAFusionLib.head_pose.weights import load_head_network

    grid = image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    key = sitk.Hash(image), image.GetPixelID(), upright, *grid
    if key not in _kept:
        _kept[key] = find_head(image, load_head_network(), False if upright else None, cancelled)
        while len(_kept) > KEPT_POSES:
            del _kept[next(iter(_kept))]
    return _kept[key]
