"""The evidence of one case in coordinates in which its elastic modes are independent, so that fits take seconds.

The same model as `BSAFusionLib.pipeline.posterior`: there a case is solved once, by a Cholesky factor; here thousands
of times with other amplitudes, which then costs a sum over eigenvalues and a system of the twelve affine coefficients.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, eigh, solve_triangular
from scipy.optimize import minimize

from BSAFusionLib.pipeline.calibration import Amplitudes, Calibration
from BSAFusionLib.pipeline.posterior import AMPLITUDE_BOUNDS_MM, Observed, reported_variances
from BSAFusionLib.pipeline.smooth_basis import AFFINE_FUNCTIONS

AFFINE_PARTS = np.tile(np.repeat([0, 1], [1, AFFINE_FUNCTIONS - 1]), 3)  # of the twelve coefficients, in `Amplitudes`
MAX_ESTIMATES = 60  # of the marginal likelihood, of which each slope takes some


# E|e| of a normal vector with equal variances, over the root of its expected square: sqrt(8 / (3 pi)).
LENGTH_PER_RMS = float(np.sqrt(8 / (3 * np.pi)))


class Prediction(NamedTuple):
    """Normal distributions of the displacement at points: mean (n, 3), mm, and covariance (n, 3, 3), mm^2."""

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Return the expected lengths of the difference between displacement and mean (n,), mm."""
        return LENGTH_PER_RMS * np.sqrt(np.trace(self.covariance, axis1=1, axis2=2))

    def corrected(self, calibration: Calibration) -> "Prediction":
        """Return the prediction with the lengths that a calibration expects, in the same directions."""
        factors = calibration.expected_lengths(self.lengths) / self.lengths
        return Prediction(self.mean, self.covariance * np.square(factors)[:, None, None])


class _Solution(NamedTuple):
    """The reported displacement, given the amplitudes.

    Attributes:
        likelihood: Logarithm of the evidence's marginal likelihood, up to a constant.
        affine: (12,).
        elastic: In the rotated coordinates.
        precision: Of the elastic coordinates.
        coupling: Of the affine coefficients (12,) to the elastic coordinates, over their precision.
        factor: Lower Cholesky factor of the affine coefficients' marginal precision.
    """

    likelihood: float
    affine: np.ndarray
    elastic: np.ndarray
    precision: np.ndarray
    coupling: np.ndarray
    factor: np.ndarray


@dataclass(frozen=True)
class RotatedCase:
    """One case; coefficients are affine (12,) and elastic (m,), the latter in eigenvectors of their information.

    Attributes:
        eigenvalues: Of the elastic information (m,).
        coupling: Information between affine and elastic coefficients (12, m).
        affine_information: (12, 12).
        affine_weighted: Precision times mean (12,).
        elastic_weighted: (m,).
        affine_at: The affine functions at the points (n, 3, 12).
        elastic_at: The elastic functions at the points (n, 3, m), float32.
        elastic_share: Share of the elastic variance that the basis holds at the points (n,).
    """

    eigenvalues: np.ndarray
    coupling: np.ndarray
    affine_information: np.ndarray
    affine_weighted: np.ndarray
    elastic_weighted: np.ndarray
    affine_at: np.ndarray
    elastic_at: np.ndarray
    elastic_share: np.ndarray

    @classmethod
    def of(cls, observed: Observed, points: np.ndarray) -> "RotatedCase":
        """Rotate the evidence of a case.

        Args:
            observed: Its sums over the functions of place.
            points: Where the displacement is to be predicted (n, 3), mm from the beginning of each axis.
        """
        functions = observed.basis.at_points(points)
        affine = np.tile(np.arange(observed.basis.size) < AFFINE_FUNCTIONS, 3)
        information = observed.information
        eigenvalues, vectors = eigh(information[np.ix_(~affine, ~affine)], driver="evd")
        elastic = functions[:, AFFINE_FUNCTIONS:]
        by_component = vectors.reshape(3, elastic.shape[1], -1)
        return cls(
            eigenvalues=np.maximum(eigenvalues, 0),
            coupling=information[np.ix_(affine, ~affine)] @ vectors,
            affine_information=information[np.ix_(affine, affine)],
            affine_weighted=observed.weighted[affine],
            elastic_weighted=vectors.T @ observed.weighted[~affine],
            affine_at=np.einsum("cd,pf->pcdf", np.eye(3), functions[:, :AFFINE_FUNCTIONS]).reshape(-1, 3, 12),
            elastic_at=np.stack([elastic @ part for part in by_component], axis=1).astype(np.float32),
            elastic_share=np.minimum((elastic**2).sum(axis=1), 1),
        )

    def amplitudes(self, calibration: Calibration, start: Amplitudes | None = None) -> Amplitudes:
        """Estimate the amplitudes as `infer` does, from all modes; `start` is where the search begins."""
        expected, spread = np.log(calibration.expected), np.array(calibration.spread)

        def cost(logarithms: np.ndarray) -> float:
            likelihood = self._solve(calibration, np.exp(logarithms)).likelihood
            return -likelihood + float((((logarithms - expected) / spread) ** 2).sum()) / 2

        found = minimize(
            cost,
            np.log(start or calibration.expected),
            method="L-BFGS-B",
            bounds=[tuple(np.log(AMPLITUDE_BOUNDS_MM))] * 3,
            options={"maxfun": MAX_ESTIMATES, "ftol": 1e-6},
        )
        return Amplitudes(*np.exp(found.x).tolist())

    def predict(self, calibration: Calibration, amplitudes: Amplitudes) -> Prediction:
        """Predict the displacement at the points."""
        true = np.square(amplitudes)
        reported = reported_variances(true, calibration)
        gain = calibration.slope * true / reported
        remaining = true - gain**2 * reported
        solution = self._solve(calibration, np.array(amplitudes))
        affine_gain = gain[AFFINE_PARTS]
        mean = self.affine_at @ (affine_gain * solution.affine)
        mean += gain[2] * (self.elastic_at @ solution.elastic.astype(np.float32))
        shared = self.affine_at * affine_gain
        shared -= gain[2] * (self.elastic_at @ solution.coupling.T.astype(np.float32))
        white = solve_triangular(solution.factor, shared.reshape(-1, 12).T, lower=True).T.reshape(shared.shape)
        covariance = white @ white.transpose(0, 2, 1)
        scaled = self.elastic_at / solution.precision.astype(np.float32)
        covariance += gain[2] ** 2 * (scaled @ self.elastic_at.transpose(0, 2, 1))
        covariance += (self.affine_at * remaining[AFFINE_PARTS]) @ self.affine_at.transpose(0, 2, 1)
        alone = remaining[2] * self.elastic_share + true[2] * (1 - self.elastic_share)
        return Prediction(mean, covariance + alone[:, None, None] * np.eye(3))

    def _solve(self, calibration: Calibration, amplitudes: np.ndarray) -> _Solution:
        reported = reported_variances(np.square(amplitudes), calibration)
        trust, affine_variances = calibration.trust, reported[AFFINE_PARTS]
        precision = trust * self.eigenvalues + 1 / reported[2]
        coupling = trust * self.coupling / precision
        marginal = trust * self.affine_information + np.diag(1 / affine_variances)
        marginal -= coupling @ (trust * self.coupling).T
        factor = np.linalg.cholesky(marginal)
        affine_weighted, elastic_weighted = trust * self.affine_weighted, trust * self.elastic_weighted
        affine = cho_solve((factor, True), affine_weighted - coupling @ elastic_weighted)
        elastic = elastic_weighted / precision - coupling.T @ affine
        log_volume = np.log(precision).sum() + 2 * np.log(np.diag(factor)).sum()
        log_prior = len(precision) * np.log(reported[2]) + np.log(affine_variances).sum()
        fit = affine_weighted @ affine + elastic_weighted @ elastic
        return _Solution(float(fit - log_volume - log_prior) / 2, affine, elastic, precision, coupling, factor)
