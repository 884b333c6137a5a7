"""Recognize Hounsfield units in a CT's values, also where they were shifted or wrapped to 16 bits."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from BSAFusionLib.pipeline.guess import finite_sample

OFFSETS = (0, 1024, -1024, 32768)  # as stored; 1024 added; the intercept subtracted twice; all 16 bits used
AIR_HU = (-1100.0, -850.0)
AIR_SHARE = 0.03  # of the voxels, at least, around a head
SOFT_HU = (-300.0, 300.0)  # in which the most frequent tissue is looked for
TISSUE_HU = (0.0, 90.0)  # where it is, in a head or body
SOFT_SHARE = 0.05  # of the voxels
CLIPPED_HU = (-300.0, 0.0)  # the value of the air where it was clipped or set
BONE_HU = 300.0
BONE_SHARE = (0.005, 0.5)  # of what is not air
HIGHEST_HU = 10_000.0  # above which only a few voxels of metal lie
BIN_HU = 10.0
WRAP = 1 << 16
WRAP_FROM = 1 << 15
SHARE_BETWEEN = 0.01  # of the voxels may lie between the two ends of what 16 bits hold


class CtUnits(NamedTuple):
    """How the values of a CT came from Hounsfield units.

    Attributes:
        offset: What was added to them.
        wrapped: What to add to the values below or from `WRAP_FROM`, where they were wrapped; 0 where they were not.
    """

    offset: int
    wrapped: int = 0

    def unwrap(self, values: np.ndarray) -> np.ndarray:
        """Return the values as they were before they were wrapped to 16 bits; the same array where they were not."""
        if self.wrapped == 0:
            return values
        moved = values >= WRAP_FROM if self.wrapped < 0 else values < 0
        return np.where(moved, values.astype(np.int32) + self.wrapped, values.astype(np.int32))


def recognize_ct_units(voxels: np.ndarray) -> CtUnits | None:
    """Return how the values of a scalar CT came from Hounsfield units, where that is certain; else None.

    Air, and the soft tissue that is most frequent, must both lie where they do in Hounsfield units.
    """
    values = finite_sample(voxels).astype(np.float64)
    for units in _possible(values):
        if is_hounsfield(units.unwrap(values) - units.offset):
            return units
    return None


def is_hounsfield(values: np.ndarray) -> bool:
    """Return whether values, of a sample of voxels, can only be Hounsfield units of a head or body in air."""
    air = (values > AIR_HU[0]) & (values < AIR_HU[1])
    return len(values) > 0 and bool(air.mean() >= AIR_SHARE) and _shows_tissue(values)


def is_clipped_hounsfield(values: np.ndarray) -> bool:
    """Return whether values, of a sample of voxels, are likely Hounsfield units whose air is set to another value."""
    different, counts = np.unique(values, return_counts=True)
    if len(different) < 2 or counts.max() < AIR_SHARE * len(values):
        return False
    air = different[counts.argmax()]
    if not CLIPPED_HU[0] <= air <= CLIPPED_HU[1]:
        return False
    inside = values[values != air]
    bone = (inside > BONE_HU).mean()
    return bool(BONE_SHARE[0] <= bone <= BONE_SHARE[1]) and _shows_tissue(inside)


def _shows_tissue(values: np.ndarray) -> bool:
    """Return whether the most frequent soft tissue lies where it does in Hounsfield units."""
    soft = values[(values > SOFT_HU[0]) & (values < SOFT_HU[1])]
    if len(soft) < SOFT_SHARE * len(values):
        return False
    counts, edges = np.histogram(soft, bins=round((SOFT_HU[1] - SOFT_HU[0]) / BIN_HU), range=SOFT_HU)
    most = edges[counts.argmax()] + BIN_HU / 2
    few_above = (values > HIGHEST_HU).mean() < SHARE_BETWEEN
    return bool(TISSUE_HU[0] <= most <= TISSUE_HU[1] and few_above)


def _possible(values: np.ndarray) -> Iterator[CtUnits]:
    """Yield what may have been done to Hounsfield units, the likeliest first."""
    for offset in OFFSETS:
        yield CtUnits(offset)
    between = (values > WRAP // 4) & (values < 3 * WRAP // 4)
    if values.max(initial=0) >= 3 * WRAP // 4 and between.mean() < SHARE_BETWEEN:
        for offset in OFFSETS:
            yield CtUnits(offset, -WRAP)
    near_zero = np.abs(values) < WRAP // 4
    if values.min(initial=0) < -WRAP // 4 and near_zero.mean() < SHARE_BETWEEN:
        for offset in OFFSETS:
            yield CtUnits(offset, WRAP)
