"""How large the parts of a case's displacement are, estimated from its evidence."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, eigh
from scipy.optimize import minimize

from BSAFusionLib.pipeline.calibration import Amplitudes, Calibration
from BSAFusionLib.pipeline.observed import Observed
from BSAFusionLib.pipeline.smooth_basis import AFFINE_FUNCTIONS

STRENGTH_FLOOR = 2e-2  # of the modes that amplitudes are estimated from; of fewer, they come out too large
BOUNDS_MM = (1e-3, 20.0)
MAX_ESTIMATES = 60  # of the marginal likelihood, of which each slope takes some
TOLERANCE = 1e-6  # of the likelihood, relative
AFFINE_PARTS = np.tile(np.repeat([0, 1], [1, AFFINE_FUNCTIONS - 1]), 3)  # of the twelve coefficients, in `Amplitudes`


class Solution(NamedTuple):
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
class RotatedEvidence:
    """The evidence in coordinates in which its elastic modes are independent.

    Other amplitudes then cost a sum over eigenvalues and a system of the twelve affine coefficients.

    Attributes:
        eigenvalues: Of the elastic information (m,).
        coupling: Information between affine and elastic coordinates (12, m).
        affine_information: (12, 12).
        affine_weighted: Precision times mean (12,).
        elastic_weighted: (m,).
    """

    eigenvalues: np.ndarray
    coupling: np.ndarray
    affine_information: np.ndarray
    affine_weighted: np.ndarray
    elastic_weighted: np.ndarray

    def amplitudes(self, calibration: Calibration, start: Amplitudes | None = None) -> Amplitudes:
        """Estimate the amplitudes that make the evidence most probable.

        This is type-II maximum likelihood with a broad prior, log-normal around the usual amplitudes. (Rasmussen and
        Williams, Gaussian Processes for Machine Learning, 2006, section 5.4.1.)

        Args:
            calibration: How far the evidence can be trusted.
            start: Where the search begins; the usual amplitudes by default.
        """
        expected, spread = np.log(calibration.expected), np.array(calibration.spread)
        free = spread > 0

        def with_free(logarithms: np.ndarray) -> np.ndarray:
            every: np.ndarray = expected.copy()
            every[free] = logarithms
            return every

        def cost(logarithms: np.ndarray) -> float:
            every = with_free(logarithms)
            surprise = (every - expected)[free] / spread[free]
            return float((surprise**2).sum() / 2) - self.solve(calibration, np.exp(every)).likelihood

        bounds = [tuple(np.log(BOUNDS_MM))] * int(free.sum())
        options = {"maxfun": MAX_ESTIMATES, "ftol": TOLERANCE}
        begin = np.log(start or calibration.expected)[free]
        found = minimize(cost, begin, method="L-BFGS-B", bounds=bounds, options=options)
        return Amplitudes(*np.exp(with_free(found.x)).tolist())

    def solve(self, calibration: Calibration, amplitudes: np.ndarray) -> Solution:
        """Compute the reported displacement, given the amplitudes (3,), mm, and how probable that is."""
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
        return Solution(float(fit - log_volume - log_prior) / 2, affine, elastic, precision, coupling, factor)


def rotate(observed: Observed) -> tuple[RotatedEvidence, np.ndarray]:
    """Rotate evidence to coordinates in which its elastic modes are independent.

    Returns:
        The evidence, and the directions of these coordinates among the elastic coefficients (coefficient, m).
    """
    affine = np.tile(np.arange(observed.basis.size) < AFFINE_FUNCTIONS, 3)
    information, weighted = observed.information, observed.weighted
    eigenvalues, vectors = eigh(information[np.ix_(~affine, ~affine)], driver="evd")
    rotated = RotatedEvidence(
        eigenvalues=np.maximum(eigenvalues, 0),
        coupling=information[np.ix_(affine, ~affine)] @ vectors,
        affine_information=information[np.ix_(affine, affine)],
        affine_weighted=weighted[affine],
        elastic_weighted=vectors.T @ weighted[~affine],
    )
    return rotated, vectors


def rotate_telling(observed: Observed) -> RotatedEvidence:
    """Rotate the evidence of the modes alone that are strong enough to tell the amplitudes."""
    return rotate(observed.strongest(STRENGTH_FLOOR))[0]


def estimate_amplitudes(observed: Observed, calibration: Calibration) -> Amplitudes:
    """Estimate how large the parts of the displacement are."""
    if not any(calibration.spread):
        return calibration.expected
    return rotate_telling(observed).amplitudes(calibration)


def reported_variances(true: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return the variances of the parts as reported, smooth error included, from those of the true parts (3,), mm^2."""
    factors = calibration.slope**2 + np.square([0.0, 0.0, calibration.relative_error])
    reported: np.ndarray = factors * true + np.square(calibration.error)
    return reported
