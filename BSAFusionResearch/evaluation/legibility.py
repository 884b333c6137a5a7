"""Measure what can be read from a picture of two volumes: uptake where there is some, the MRI where there is little."""

from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

UPTAKE_SHARE = 0.15  # of the uptake's high percentile, above which it counts
HIGH_PERCENTILE = 99.5


class Legibility(NamedTuple):
    """How a picture's luminance goes with what it shows.

    Attributes:
        uptake: Spearman's rank correlation with the uptake, where that counts; 1 tells every level from the next.
        anatomy: Pearson's correlation with the MRI elsewhere.
    """

    uptake: float
    anatomy: float


def measure_legibility(luminance: np.ndarray, uptake: np.ndarray, mri: np.ndarray) -> Legibility:
    """Measure a picture by its luminance.

    Args:
        luminance: Of the voxels of the head (n,).
        uptake: Values of the registered volume there (n,).
        mri: Values of the MRI there (n,).
    """
    high = uptake > UPTAKE_SHARE * np.percentile(uptake, HIGH_PERCENTILE)
    return Legibility(
        float(spearmanr(luminance[high], uptake[high]).statistic),
        float(np.corrcoef(luminance[~high], mri[~high])[0, 1]),
    )
