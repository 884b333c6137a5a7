"""Measure a rigid motion in the words of its users: a shift in mm and a turn in degrees."""

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from BSAFusionLib.geometry.rigid import nearest_rotation
from BSAFusionLib.pipeline.measures import RigidMotion

REACH_MM = 60.0  # from the head's center, of the points that are followed
RAS = np.array((-1.0, -1.0, 1.0))  # of LPS, for shifts and for rotation vectors


def measure_motion(transform: sitk.Transform, center: np.ndarray) -> RigidMotion:
    """Measure how a transform moves the moving volume onto the fixed one.

    Of a transform that is not rigid, the nearest rigid motion is measured.

    Args:
        transform: Fixed point to moving point, mm, LPS; the moving volume goes the other way.
        center: (3,) Of the head in the fixed volume, mm, LPS.
    """
    onto = center + REACH_MM * np.concatenate([np.eye(3), -np.eye(3)])
    moved_from = np.array([transform.TransformPoint(point) for point in onto.tolist()])
    shift = (onto - moved_from).mean(axis=0)
    turn = Rotation.from_matrix(nearest_rotation(moved_from, onto)).as_rotvec(degrees=True)
    return RigidMotion(tuple((RAS * shift).tolist()), tuple((RAS * turn).tolist()))
