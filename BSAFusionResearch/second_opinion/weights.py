"""Fit how much more likely a result is wrong than right, from the figures of the second opinion."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from BSAFusionLib.pipeline.doubt import SecondOpinion, Weights, log_figures
from BSAFusionResearch.second_opinion.results import POSES_AGREE, RIGHT_MM, WRONG_MM, TriedResult

PENALTY = 1.0  # of squared weights of figures with unit variance; without it, they grow where nothing overlaps


def fit_weights(results: Sequence[TriedResult], with_poses: bool) -> Weights:
    """Fit the weights by logistic regression; right and wrong results count the same as a whole.

    Results count that are off by under 3 or over 10 mm, with both heads found and poses that nobody has changed. Those
    of mirrored images do not: all but their handedness is right.

    Args:
        results: Right and wrong ones.
        with_poses: False to leave the pose gap out, with weight 0.
    """
    figures, wrong = [], []
    for result in results:
        found, error_mm = log_figures(SecondOpinion(**result.opinion)), result.error_mm
        if error_mm is None or None in found or result.kind == "mirrored" or result.kind.endswith(POSES_AGREE):
            continue
        if not RIGHT_MM <= error_mm <= WRONG_MM:
            figures.append(found)
            wrong.append(error_mm > WRONG_MM)
    values, signs = np.array(figures, float), np.where(wrong, 1, -1)
    used = np.array([with_poses, True, True, True])
    mean, spread = values.mean(axis=0), values.std(axis=0)
    standard = (values - mean) / spread * used
    shares = np.where(wrong, 0.5 / np.sum(wrong), 0.5 / (len(wrong) - np.sum(wrong))) * len(wrong)

    def cost(trial: np.ndarray) -> float:
        odds = trial[0] + standard @ trial[1:]
        return float((shares * np.logaddexp(0, -signs * odds)).sum() + PENALTY * (trial[1:] ** 2).sum())

    constant, *fitted = minimize(cost, np.zeros(5)).x
    weights = fitted * used / spread
    return Weights(float(constant - weights @ mean), *weights.tolist())
