"""Fits the calibration of one modality by the likelihood of the truth, a point of the brain at a time."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from BSAFusionLib.pipeline.calibration import Amplitudes, Calibration
from BSAFusionResearch.calibration.rotated import Prediction, RotatedCase

# How freely a case's amplitudes follow its evidence: shifts and turns have too few coefficients to follow far.
SPREAD = Amplitudes(0.5, 0.5, 1.5)
EXPECTED_ELASTIC_MM = 0.7
FIRST_GUESS = {
    "trust": 0.7,
    "expected shift": 0.4,
    "expected linear": 0.3,
    "shift error": 0.2,
    "linear error": 0.2,
    "elastic error": 0.15,
    "slope": 1.0,
    "relative error": 0.4,
}
FIRST_STEPS = (0.7, -0.5, -0.5, 0.5, 0.5, 0.5, -0.15, -0.5)  # of the logarithms
# A weak prior: the log score lost for a factor of e away from the first guess; a slope far from 1 is least likely.
PENALTIES = np.array([0.003, 0.003, 0.003, 0.003, 0.003, 0.003, 0.1, 0.003])
MAX_TRIALS = 250
# E|e| of a normal vector with equal variances, over the root of its expected square: sqrt(8 / (3 pi)).
LENGTH_PER_RMS = float(np.sqrt(8 / (3 * np.pi)))


@dataclass
class FittedCase:
    """One case of a fit.

    Attributes:
        name: Of the case.
        elastic_mm: Largest length of the elastic part.
        best_rigid_mm: Mean error of the best rigid motion.
        rotated: Its evidence.
        truth: At its points (n, 3), mm.
        amplitudes: Those estimated last, where the next search begins.
    """

    name: str
    elastic_mm: float
    best_rigid_mm: float
    rotated: RotatedCase
    truth: np.ndarray
    amplitudes: Amplitudes | None = field(default=None)


class Score(NamedTuple):
    """How well the prediction of one case agrees with the truth, over its points.

    Attributes:
        cost: Mean negative log density of the truth, a component.
        errors: True lengths of the error (n,), mm.
        predicted: Expected ones (n,), mm.
        squared: Mean squared error over its standard deviation, a component.
    """

    cost: float
    errors: np.ndarray
    predicted: np.ndarray
    squared: float


def fit_calibration(cases: list[FittedCase], sigma_mm: float) -> tuple[Calibration, float]:
    """Fit a calibration, and return it with the mean cost of the cases."""
    guess = np.log(list(FIRST_GUESS.values()))

    def cost(logarithms: np.ndarray) -> float:
        calibration = _calibration(logarithms, sigma_mm)
        likelihood = np.mean([score(case, calibration).cost for case in cases])
        return float(likelihood + (PENALTIES * (logarithms - guess) ** 2).sum())

    simplex = np.vstack([guess, guess + np.diag(FIRST_STEPS)])
    options = {"maxfev": MAX_TRIALS, "initial_simplex": simplex, "fatol": 1e-3, "xatol": 0.02, "adaptive": True}
    found = minimize(cost, guess, method="Nelder-Mead", options=options)
    calibration = _calibration(found.x, sigma_mm)
    return calibration, float(np.mean([score(case, calibration).cost for case in cases]))


def score(case: FittedCase, calibration: Calibration) -> Score:
    """Compare the prediction of one case with the truth."""
    case.amplitudes = case.rotated.amplitudes(calibration, case.amplitudes)
    return compare(case.rotated.predict(calibration, case.amplitudes), case.truth)


def compare(prediction: Prediction, truth: np.ndarray) -> Score:
    """Compare a prediction with the truth (n, 3), mm."""
    errors = truth - prediction.mean
    factors = np.linalg.cholesky(prediction.covariance)
    white = np.linalg.solve(factors, errors[..., None])[..., 0]
    log_volume = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return Score(
        cost=float(((white**2).sum(axis=1) / 2 + log_volume).mean() / 3),
        errors=np.linalg.norm(errors, axis=1),
        predicted=LENGTH_PER_RMS * np.sqrt(np.trace(prediction.covariance, axis1=1, axis2=2)),
        squared=float((white**2).mean()),
    )


def _calibration(logarithms: np.ndarray, sigma_mm: float) -> Calibration:
    values = dict(zip(FIRST_GUESS, np.exp(logarithms).round(4).tolist(), strict=True))
    return Calibration(
        trust=values["trust"],
        sigma_mm=sigma_mm,
        expected=Amplitudes(values["expected shift"], values["expected linear"], EXPECTED_ELASTIC_MM),
        spread=SPREAD,
        error=Amplitudes(values["shift error"], values["linear error"], values["elastic error"]),
        slope=values["slope"],
        relative_error=values["relative error"],
    )
