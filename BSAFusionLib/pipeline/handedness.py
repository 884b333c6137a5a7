"""Tell a head that is turned in its file from one that is mirrored: no head is quite symmetric."""

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.pipeline.head_start import HeadStart
from BSAFusionLib.pipeline.pair_comparison import PairComparison

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose

SPACING_MM = 4.0  # coarser volumes hardly show what differs between left and right
STEPS = 6.0, 3.0, 1.5  # of the climb, in mm and degrees
ROUNDS = 2  # over all six parameters, a step size
TURNED_DEG = 60.0  # a head that is turned by less is taken to lie as its file says


def turned_axis(head: "HeadPose") -> str:
    """Return how a head is turned against what its file says.

    Returns:
        The axis of LPS about which it is turned by about 180 degrees, "x", "y" or "z"; "other" for another turn of 60
        degrees or more; "" for none, or where no head was found.
    """
    if not head.found or angle_deg(head.rotation) < TURNED_DEG:
        return ""
    for name, axis in zip("xyz", np.eye(3), strict=True):
        if angle_deg(head.rotation @ (2 * np.outer(axis, axis) - np.eye(3))) < TURNED_DEG:
            return name
    return "other"


def mirror_share(pair: PairComparison, heads: HeadStart, transform: sitk.Transform) -> float | None:
    """Compare a result with one that takes the moving head for mirrored, left to right.

    A head that is mirrored front to back, or top to bottom, is one that is mirrored left to right and turned, so it is
    found as a turned one. Both results climb to their nearest optimum first.

    Args:
        pair: Both volumes, at `SPACING_MM`.
        heads: The heads' own poses.
        transform: The result, fixed point to moving point, mm, LPS.

    Returns:
        Mutual information with the mirrored result, relative to that with the result itself: above 1 the mirrored one
        fits better. None where a head was not found, or the volumes do not overlap.
    """
    if heads.transform is None:
        return None
    center, across = heads.fixed.translation, heads.fixed.rotation[:, 0]
    mirror = sitk.AffineTransform(3)
    mirror.SetMatrix((np.eye(3) - 2 * np.outer(across, across)).ravel().tolist())
    mirror.SetCenter(center.tolist())
    bases = transform, sitk.CompositeTransform([transform, mirror])
    own, mirrored = (pair.information(settle(pair, base, center)) for base in bases)
    return mirrored / own if own > 0 else None


def angle_deg(rotation: np.ndarray) -> float:
    """Return the angle of a rotation (3, 3) in degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def settle(pair: PairComparison, base: sitk.Transform, center: np.ndarray) -> sitk.Transform:
    """Return the optimum of mutual information next to a transform, by steps along one parameter after another.

    Args:
        pair: Both volumes.
        base: Fixed point to moving point, mm, LPS.
        center: (3,) of the turns, mm, LPS.
    """
    best, value = np.zeros(6), pair.information(base)
    for step in STEPS:
        for _ in range(ROUNDS):
            start = value
            for change in step * np.concatenate([np.eye(6), -np.eye(6)]):
                moved = pair.information(sitk.CompositeTransform([base, _motion(best + change, center)]))
                if moved > value:
                    best, value = best + change, moved
            if value == start:
                break
    return sitk.CompositeTransform([base, _motion(best, center)])


def _motion(parameters: np.ndarray, center: np.ndarray) -> sitk.Transform:
    """Return the rigid motion about a point, of a shift in mm and a rotation vector in degrees."""
    motion = sitk.VersorRigid3DTransform()
    motion.SetCenter(center.tolist())
    angle = float(np.linalg.norm(parameters[3:]))
    if angle > 0:
        motion.SetRotation((parameters[3:] / angle).tolist(), np.radians(angle))
    motion.SetTranslation(parameters[:3].tolist())
    return motion
