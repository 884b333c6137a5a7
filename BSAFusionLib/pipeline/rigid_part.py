"""Let the rigid transform have what the network found of shift and turn, so that the deformation only bends."""

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionLib.geometry.inverse import carry_points
from BSAFusionLib.geometry.rigid import rigid_through
from BSAFusionLib.pipeline.brain_only import BRAIN_RADIUS_MM

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose

POINTS = 1000  # more change nothing that could be seen, and are carried one by one


def rigid_part(transform: sitk.Transform, head: sitk.Image, pose: "HeadPose") -> sitk.Euler3DTransform:
    """Fit the rigid motion that is nearest to a transform in the brain, by least squares.

    Args:
        transform: Fixed point to moving point, mm, LPS.
        head: Mask of the fixed head.
        pose: Of the fixed head; where none was found, the motion is fitted to the whole mask.

    Returns:
        The motion, fixed point to moving point, mm, LPS.
    """
    points = voxel_centers(head)[sitk.GetArrayViewFromImage(head) > 0]
    if pose.found:
        brain = np.linalg.norm(points - pose.translation, axis=1) <= BRAIN_RADIUS_MM
        points = points[brain] if brain.any() else points
    points = points[:: -(-len(points) // POINTS)]
    return rigid_through(points, carry_points(transform, points))
