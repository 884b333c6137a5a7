"""Measure similarity and displacement, for reports and the verdict."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Displacement:
    """Lengths of a displacement inside the head, in mm."""

    mean: float
    percentile_95: float
    maximum: float


@dataclass(frozen=True)
class RigidMotion:
    """A motion of the moving volume, along and about the axes right, anterior and superior.

    Attributes:
        shift_mm: Of the point that arrives at the center of the fixed head.
        turn_deg: Rotation vector by the right-hand rule; its length is the angle.
    """

    shift_mm: tuple[float, float, float]
    turn_deg: tuple[float, float, float]


def mutual_information(fixed: np.ndarray, moving: np.ndarray, bins: int = 64) -> float:
    """Compute the mutual information in nats of two arrays of paired intensities.

    Args:
        fixed: In [0, 1], any shape.
        moving: In [0, 1], as many values.
        bins: Of a side of the joint histogram.
    """
    return histogram_information(_joint_histogram(fixed, moving, bins))


def corrected_information(fixed: np.ndarray, moving: np.ndarray, bins: int = 64) -> float:
    """Compute the mutual information in nats as `mutual_information` does, corrected for the number of values.

    The fewer the values, the more of it is chance. (Miller, 1955.)
    """
    joint = _joint_histogram(fixed, moving, bins)
    occupied = (joint > 0).sum() - (joint.sum(axis=0) > 0).sum() - (joint.sum(axis=1) > 0).sum() + 1
    return histogram_information(joint) - float(occupied) / (2 * len(fixed))


def _joint_histogram(fixed: np.ndarray, moving: np.ndarray, bins: int) -> np.ndarray:
    """Count pairs of values in [0, 1] as `numpy.histogram2d` does, whose search for the bins takes far longer.

    Values beyond are counted with those at the ends: smoothing leads air below 0, and bone above 1.
    """
    edges = np.linspace(0, 1, bins + 1)
    places = []
    for values in (np.clip(each.ravel().astype(np.float64), 0, 1) for each in (fixed, moving)):
        place = np.minimum((values * bins).astype(np.intp), bins - 1)
        # A product may round to the other side of an edge.
        place -= values < edges[place]
        place += (values >= edges[place + 1]) & (place < bins - 1)
        places.append(place)
    return np.bincount(places[0] * bins + places[1], minlength=bins**2).reshape(bins, bins)


def histogram_information(joint: np.ndarray) -> float:
    """Compute the mutual information in nats of a joint histogram (bins, bins); 0 for an empty one."""
    joint = joint / max(joint.sum(), 1)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    occupied = joint > 0
    return float(np.sum(joint[occupied] * np.log(joint[occupied] / independent[occupied])))


def displacement_lengths(vectors: np.ndarray) -> Displacement:
    """Return mean, 95th percentile and maximum of the lengths of vectors (..., 3) in mm."""
    lengths = np.linalg.norm(vectors, axis=-1)
    return Displacement(float(lengths.mean()), float(np.percentile(lengths, 95)), float(lengths.max()))
