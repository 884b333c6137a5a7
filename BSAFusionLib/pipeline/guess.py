"""Guess the modality of a volume from its voxels; needs numpy only, so that a panel may ask at once."""

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
    """Return whether a volume (slice, row, column) holds labels: whole numbers in regions, not noise or shades.

    Most voxels of a region have the same value as the next one in their row; in a scan that is so in the background
    alone, whose value is the most frequent.
    """
    if voxels.ndim != 3 or not np.issubdtype(voxels.dtype, np.integer):
        return False
    values, counts = np.unique(voxels, return_counts=True)
    if len(values) > MOST_LABELS:
        return False
    left, right = voxels[..., :-1], voxels[..., 1:]
    inside = left != values[counts.argmax()]
    return bool(inside.any() and (left == right)[inside].mean() > SAME_AS_NEXT)


def is_surely_labels(voxels: np.ndarray) -> bool:
    """Return whether a volume (slice, row, column) can only hold labels, not a scan without noise.

    Its values are few, hardly any differs from the next one in its row, and where one does, it is not the next shade.
    """
    if voxels.ndim != 3 or not np.issubdtype(voxels.dtype, np.integer):
        return False
    if len(np.unique(finite_sample(voxels))) > MOST_SURE_LABELS:  # as of most scans, and much faster to see
        return False
    values, counts = np.unique(voxels, return_counts=True)
    if not 1 < len(values) <= MOST_SURE_LABELS:
        return False
    left, right = voxels[..., :-1].astype(np.int64), voxels[..., 1:].astype(np.int64)
    inside = left != values[counts.argmax()]
    differing = np.abs(left - right)[inside & (left != right)]
    shades = len(values) > FEW_LABELS and (differing == 1).mean() > NEXT_SHADE
    return bool(inside.any() and 1 - len(differing) / inside.sum() > SURELY_SAME_AS_NEXT and not shades)


def likeliest_modality(voxels: np.ndarray) -> str:
    """Return "ct" for a scalar volume in Hounsfield units, else "pet", also for one with components (4 axes)."""
    hounsfield = voxels.ndim == 3 and looks_hounsfield(voxels)
    return next(row.name for row in MODALITIES.values() if (row.window is not None) == hounsfield)
