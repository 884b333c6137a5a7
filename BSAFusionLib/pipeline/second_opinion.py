"""Measure evidence on a result that the registration did not choose it by; `doubt` decides from it."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.inverse import carry_points
from BSAFusionLib.geometry.rigid import nearest_rotation
from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline import handedness
from BSAFusionLib.pipeline.brain_only import BRAIN_RADIUS_MM
from BSAFusionLib.pipeline.doubt import SecondOpinion
from BSAFusionLib.pipeline.head_start import HeadStart
from BSAFusionLib.pipeline.pair_comparison import PairComparison


def measure_opinion(
    pair: PairComparison, heads: HeadStart, transform: sitk.Transform, estimated_mm: float | None
) -> SecondOpinion:
    """Measure the evidence on a result.

    Args:
        pair: Both volumes.
        heads: The heads' own poses.
        transform: The result, fixed point to moving point, mm, LPS.
        estimated_mm: As `estimated_length` returns it.

    Returns:
        The figures that `doubt.judge` decides from.
    """
    gap_mm, gap_deg = pose_gap(heads, transform)
    turned = [handedness.turned_axis(head) for head in (heads.fixed, heads.moving)]
    mirrored = None
    if turned[0] != turned[1]:
        fine = PairComparison(pair.volumes, handedness.SPACING_MM)
        mirrored = handedness.mirror_share(fine, heads, transform)
    if heads.fixed.found:
        pair = pair.without_ramp(heads.fixed.translation)
    return SecondOpinion(
        fixed_head=heads.fixed.found,
        moving_head=heads.moving.found,
        pose_gap_mm=gap_mm,
        pose_gap_deg=gap_deg,
        estimated_mm=estimated_mm,
        overlap=pair.overlap(transform),
        information=pair.information(transform),
        information_placed=pair.information(sitk.Transform()),
        information_random=pair.random_information(transform),
        information_nearby=pair.nearby_information(transform),
        fixed_turned=turned[0],
        moving_turned=turned[1],
        mirror_share=mirrored,
    )


def pose_gap(heads: HeadStart, transform: sitk.Transform) -> tuple[float, float] | tuple[None, None]:
    """Measure how far a result lies from the motion between two heads' own poses.

    Args:
        heads: Both heads' own poses.
        transform: Fixed point to moving point, mm, LPS.

    Returns:
        Mean distance in mm over points of the fixed brain, and the angle between both rotations in degrees; None
        where a head was not found.
    """
    if heads.transform is None:
        return None, None
    offsets = BRAIN_RADIUS_MM * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    points = heads.fixed.translation + offsets
    by_poses, by_result = carry_points(heads.transform, points), carry_points(transform, points)
    turn = nearest_rotation(by_poses, by_result)
    return float(np.linalg.norm(by_result - by_poses, axis=1).mean()), handedness.angle_deg(turn)


def estimated_length(evidence: Sequence[Evidence]) -> float | None:
    """Return the mean length of the displacements that the network estimated, in mm; None where it saw nothing.

    They count as much as the network is sure of them: by the root of their precision's determinant.

    Args:
        evidence: Of slices of both volumes.
    """
    lengths, weights = [], []
    for part in evidence:
        xx, yy, xy = np.moveaxis(part.precision, 1, 0)
        weights.append(np.sqrt(np.maximum(xx * yy - xy**2, 0)).ravel())
        lengths.append(np.linalg.norm(part.mean, axis=1).ravel() * part.grid.GetSpacing()[0])
    total = float(sum(weight.sum() for weight in weights))
    if not total > 0:
        return None
    return float(sum(length @ weight for length, weight in zip(lengths, weights, strict=True)) / total)
