"""Fits the calibration of one modality by the likelihood of the truth, a point of the brain at a time."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult, minimize

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
MAX_TRIALS = 500
LENGTH_PENALTY = 0.01  # of the logarithm of the lengths' exponent
LIMIT_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the lengths; where the searches for their limit begin


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


def fit_calibration(cases: list[FittedCase], sigma_mm: float, max_trials: int = MAX_TRIALS) -> Calibration:
    """Fit all values of a calibration but the lengths of the error, which are left as the model says them."""
    guess = np.log(list(FIRST_GUESS.values()))

    def cost(logarithms: np.ndarray) -> float:
        calibration = _calibration(logarithms, sigma_mm)
        return float(mean_cost(cases, calibration) + (PENALTIES * (logarithms - guess) ** 2).sum())

    simplex = np.vstack([guess, guess + np.diag(FIRST_STEPS)])
    options = {"maxfev": max_trials, "initial_simplex": simplex, "fatol": 1e-3, "xatol": 0.02, "adaptive": True}
    found = minimize(cost, guess, method="Nelder-Mead", options=options)
    return _calibration(found.x, sigma_mm)


def fit_lengths(cases: list[FittedCase], calibration: Calibration) -> Calibration:
    """Fit the lengths of the error that a calibration expects, and leave its other values as they are."""
    predictions = [_predict(case, calibration) for case in cases]
    lengths = np.concatenate([prediction.lengths for prediction in predictions])

    def corrected(logarithms: np.ndarray) -> Calibration:
        ratio, exponent, limit = np.exp(logarithms)  # the ratio of expected to modeled lengths from the limit on
        limit = limit.clip(lengths.min(), lengths.max())
        scale = float(ratio * limit ** (1 - exponent))
        values = {"length_scale": scale, "length_exponent": float(exponent), "length_limit": float(limit)}
        return replace(calibration, **{name: round(value, 4) for name, value in values.items()})

    def cost(logarithms: np.ndarray) -> float:
        tried = corrected(logarithms)
        pairs = zip(predictions, cases, strict=True)
        likelihood = np.mean([compare(prediction.corrected(tried), case.truth).cost for prediction, case in pairs])
        return float(likelihood + LENGTH_PENALTY * logarithms[1] ** 2)

    def search(limit: float) -> OptimizeResult:
        first = np.array([0.0, 0.4, np.log(limit)])
        options = {"initial_simplex": np.vstack([first, first + 0.2 * np.eye(3)]), "xatol": 1e-3, "fatol": 1e-5}
        return minimize(cost, first, method="Nelder-Mead", options=options)

    return corrected(min(map(search, np.quantile(lengths, LIMIT_QUANTILES)), key=lambda found: found.fun).x)


def mean_cost(cases: list[FittedCase], calibration: Calibration) -> float:
    """Return the mean negative log density of the truth, a component, over cases."""
    return float(np.mean([score(case, calibration).cost for case in cases]))


def score(case: FittedCase, calibration: Calibration) -> Score:
    """Compare the prediction of one case with the truth."""
    return compare(_predict(case, calibration).corrected(calibration), case.truth)


def compare(prediction: Prediction, truth: np.ndarray) -> Score:
    """Compare a prediction with the truth (n, 3), mm."""
    errors = truth - prediction.mean
    factors = np.linalg.cholesky(prediction.covariance)
    white = np.linalg.solve(factors, errors[..., None])[..., 0]
    log_volume = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return Score(
        cost=float(((white**2).sum(axis=1) / 2 + log_volume).mean() / 3),
        errors=np.linalg.norm(errors, axis=1),
        predicted=prediction.lengths,
        squared=float((white**2).mean()),
    )


def _predict(case: FittedCase, calibration: Calibration) -> Prediction:
    case.amplitudes = case.rotated.telling.amplitudes(calibration, case.amplitudes)
    return case.rotated.predict(calibration, case.amplitudes)


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
