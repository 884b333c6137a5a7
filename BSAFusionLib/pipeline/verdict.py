"""Decide how much of the deformation to apply, from image similarity: figures in, decision out."""

from dataclasses import dataclass

import numpy as np

from BSAFusionLib.pipeline.measures import histogram_information
from BSAFusionLib.pipeline.report import Verdict

FRACTIONS = np.linspace(0, 1, 9)  # of the deformation that are tried
PENALTY_NATS = 0.015  # of all of the deformation; of a fraction, its square of that
WINDOW_SIGMA_MM = 12.0  # of the Gaussian that smooths figures along the slices
INFORMATION_TOLERANCE_NATS = 0.02  # loss of mutual information at which a slice loses all of its deformation
AGREEMENT_TOLERANCE = 0.05  # the same for the feature agreement; gains and losses of both are added
DAMPED_BELOW = 0.5  # of the applied fraction: slices that keep less count as damped


@dataclass(frozen=True)
class SliceFigures:
    """Similarity of both volumes in the slices across one axis, for every fraction of the deformation.

    Attributes:
        histograms: Joint histograms of the intensities inside the head (fraction, slice, bin, bin), by `FRACTIONS`.
        shows_head: Slices that show the head (slice,), bool.
        spacing_mm: Between the slices.
    """

    histograms: np.ndarray
    shows_head: np.ndarray
    spacing_mm: float


@dataclass(frozen=True)
class AgreementFigures:
    """Agreement of the network's features of both volumes, on slices of their own across the same axis.

    Attributes:
        before: With the initial transform (n,); NaN where a slice shows nothing. Greater is better.
        after: With the chosen fraction of the deformation (n,).
        positions: Of these slices among those of `SliceFigures` (n,), in slices.
        spacing_mm: Between these slices.
    """

    before: np.ndarray
    after: np.ndarray
    positions: np.ndarray
    spacing_mm: float


def choose_fraction(histograms: np.ndarray) -> int:
    """Choose the fraction of the deformation with the most mutual information, less a penalty on its size.

    The penalty is there since noise, and what two scans show differently, raise the mutual information a little, too.

    Args:
        histograms: As in `SliceFigures`.

    Returns:
        An index into `FRACTIONS`.
    """
    information = [histogram_information(joint.sum(axis=0)) for joint in histograms]
    return int((information - PENALTY_NATS * FRACTIONS**2).argmax())


def judge_slices(
    figures: SliceFigures, choice: int, agreement: AgreementFigures | None = None
) -> tuple[Verdict, np.ndarray]:
    """Decide how much of the chosen fraction every slice keeps.

    A slice keeps less where, together with its neighbors, its mutual information falls; what the feature agreement
    gains or loses there is added.

    Args:
        figures: Similarity of the slices.
        choice: The index that `choose_fraction` returned.
        agreement: For the same choice; none to judge by mutual information alone.

    Returns:
        The verdict, and the factors (slice,) in [0, 1] by which to scale the deformation.
    """
    if choice == 0:
        return Verdict(0.0, 100.0), np.zeros(len(figures.shows_head))
    sigma = WINDOW_SIGMA_MM / figures.spacing_mm
    before, after = (_slice_information(figures.histograms[index], sigma) for index in (0, choice))
    gain = (after - before) / INFORMATION_TOLERANCE_NATS
    means: tuple[float | None, float | None] = (None, None)
    if agreement is not None:
        valid = np.isfinite(agreement.before) & np.isfinite(agreement.after)
        if valid.any():
            means = float(agreement.before[valid].mean()), float(agreement.after[valid].mean())
            gain += _agreement_gain(agreement, valid, len(gain))
    kept = _smooth(np.clip(1 + gain, 0, 1), sigma)
    percent_damped = float(100 * np.mean(kept[figures.shows_head] < DAMPED_BELOW))
    return Verdict(float(FRACTIONS[choice]), percent_damped, *means), FRACTIONS[choice] * kept


def _slice_information(histograms: np.ndarray, sigma: float) -> np.ndarray:
    """Compute the mutual information in nats of every slice (slice,) and its neighbors."""
    return np.array([histogram_information(joint) for joint in _smooth(histograms, sigma)])


def _agreement_gain(agreement: AgreementFigures, valid: np.ndarray, count: int) -> np.ndarray:
    """Return the gain in feature agreement, in tolerances, at each of `count` slices of `SliceFigures`."""
    sigma = WINDOW_SIGMA_MM / agreement.spacing_mm
    change = _smooth(agreement.after[valid] - agreement.before[valid], sigma)
    return np.interp(np.arange(count), agreement.positions[valid], change / AGREEMENT_TOLERANCE)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth values along the first axis by a Gaussian of so many slices, normalized at the ends."""
    distance = np.arange(len(values))[:, None] - np.arange(len(values))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    smooth: np.ndarray = np.tensordot(weights / weights.sum(axis=1, keepdims=True), values, 1)
    return smooth
