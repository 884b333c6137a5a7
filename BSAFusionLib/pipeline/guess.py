"""Guess the modality of a volume from its voxels; needs numpy only, so that a panel may ask at once."""

from typing import NamedTuple

import numpy as np

from BSAFusionLib.modalities import MODALITIES

SAMPLE_VOXELS = 1e6
MOST_LABELS = 5000  # FreeSurfer's codes of a parcellation are some hundreds, the largest 14,175
MOST_SURE_LABELS, FEW_LABELS = 300, 12
SURELY_SAME_AS_NEXT = 0.8  # of the voxels outside the background, in labels alone
NEXT_SHADE = 0.5  # share of the changes by one, in a scan of few shades
SAME_AS_NEXT = 0.5  # share of the voxels outside the background from which on they are labels
AIR_HU = -200  # every CT shows air, and only in Hounsfield units is that far below zero


def finite_sample(voxels: np.ndarray) -> np.ndarray:
    """Return a scalar volume's finite values, of a large volume about a million evenly spread ones."""
    step = max(1, round((voxels.size / SAMPLE_VOXELS) ** (1 / 3)))
    values: np.ndarray = voxels[::step, ::step, ::step].ravel()
    finite: np.ndarray = values[np.isfinite(values)]
    return finite


def looks_hounsfield(voxels: np.ndarray) -> bool:
    """Return whether a scalar volume is in Hounsfield units."""
    return bool((finite_sample(voxels) < AIR_HU).any())


def looks_like_labels(voxels: np.ndarray) -> bool:
    """Return whether a volume (slice, row, column) holds labels: whole numbers in regions, not noise or shades."""
    regions = _Regions.of(voxels, MOST_LABELS)
    return regions is not None and regions.share_like_the_next() > SAME_AS_NEXT


def is_surely_labels(voxels: np.ndarray) -> bool:
    """Return whether a volume (slice, row, column) can only hold labels, not a scan without noise.

    Its values are few, hardly any differs from the next one in its row, and where one does, it is not the next shade.
    """
    if voxels.ndim != 3 or len(np.unique(finite_sample(voxels))) > MOST_SURE_LABELS:  # of most scans, and seen fast
        return False
    regions = _Regions.of(voxels, MOST_SURE_LABELS)
    if regions is None or regions.share_like_the_next() <= SURELY_SAME_AS_NEXT:
        return False
    return regions.values <= FEW_LABELS or regions.share_of_next_shades() <= NEXT_SHADE


class _Regions(NamedTuple):
    """The voxels outside the background of a volume of whole numbers, each beside the next one in its row.

    In labels most of them are like the next one; in a scan that is so in the background alone, whose value is the most
    frequent.

    Attributes:
        values: How many different ones the whole volume has.
        own: (n,).
        next: (n,).
    """

    values: int
    own: np.ndarray
    next: np.ndarray

    @classmethod
    def of(cls, voxels: np.ndarray, most_values: int) -> "_Regions | None":
        """Return them; None where the volume has fractions, colors or more different values, or is all background."""
        if voxels.ndim != 3 or not np.issubdtype(voxels.dtype, np.integer):
            return None
        values, counts = np.unique(voxels, return_counts=True)
        if len(values) > most_values:
            return None
        inside = voxels[..., :-1] != values[counts.argmax()]
        return cls(len(values), voxels[..., :-1][inside], voxels[..., 1:][inside]) if inside.any() else None

    def share_like_the_next(self) -> float:
        return float((self.own == self.next).mean())

    def share_of_next_shades(self) -> float:
        """Return how often a change is one by one; 0 without any change."""
        changes = np.abs(self.own.astype(np.int64) - self.next)[self.own != self.next]
        return float((changes == 1).mean()) if len(changes) else 0.0


def likeliest_modality(voxels: np.ndarray) -> str:
    """Return "ct" for a scalar volume in Hounsfield units, else "pet", also for one with components (4 axes)."""
    hounsfield = voxels.ndim == 3 and looks_hounsfield(voxels)
    return next(row.name for row in MODALITIES.values() if (row.window is not None) == hounsfield)
