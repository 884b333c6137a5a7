"""Guess the modality of a volume from its voxels; needs numpy only, so that a panel may ask at once."""

import numpy as np

from BSAFusionLib.modalities import MODALITIES

SAMPLE_VOXELS = 1e6
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


def likeliest_modality(voxels: np.ndarray) -> str:
    """Return "ct" for a scalar volume in Hounsfield units, else "pet", also for one with components (4 axes)."""
    hounsfield = voxels.ndim == 3 and looks_hounsfield(voxels)
    return next(row.name for row in MODALITIES.values() if (row.window is not None) == hounsfield)
