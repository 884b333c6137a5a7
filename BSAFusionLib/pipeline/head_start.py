"""The rigid motion between two heads, each found in its own image without looking at the other."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import SimpleITK as sitk

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose


class HeadStart(NamedTuple):
    """Both heads' own poses and the motion between them.

    transform: rigid, fixed point to moving point in mm LPS; None where a head was not found.
    fixed: the fixed head's pose.
    moving: the moving head's pose.
    """

    transform: sitk.Euler3DTransform | None
    fixed: "HeadPose"
    moving: "HeadPose"


def start_from_heads(fixed: sitk.Image, moving: sitk.Image, cancelled: Callable[[], bool] | None = None) -> HeadStart:
    """Find both heads and the motion between them.

    Args:
        fixed: a scalar volume, any intensities.
        moving: a scalar volume, any intensities.
        cancelled: asked often.

    Raises:
        Cancelled: `cancelled` said so.
        FusionError: the network's weights are missing or damaged.
    """
    # Here, since torch takes seconds to import.
    from BSAFusionLib.head_pose.search import find_head, rigid_between
    from BSAFusionLib.head_pose.weights import load_head_network

    network = load_head_network()
    poses = [find_head(image, network, cancelled=cancelled) for image in (fixed, moving)]
    found = all(pose.found for pose in poses)
    return HeadStart(rigid_between(*poses) if found else None, *poses)
