"""Combine the evidence from slices of one or more axes to one displacement field in space, with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from BSAFusionLib.geometry.grids import directions, lattice_over
from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline.calibration import Amplitudes, Calibration
from BSAFusionLib.pipeline.lattice_evidence import evidence_on_lattice
from BSAFusionLib.pipeline.smooth_basis import AFFINE_FUNCTIONS, SmoothBasis

AMPLITUDE_STRENGTH_FLOOR = 2e-2  # of the modes that amplitudes are estimated from; of fewer, they come out too large
MAX_ESTIMATES = 20  # of the marginal likelihood
NODES_PER_SIGMA = 8  # of the field's grid; linear interpolation in between is off by a thousandth of the displacement
AMPLITUDE_BOUNDS_MM = (1e-3, 20.0)


class Observed(NamedTuple):
    """The evidence as sums over functions of place; coefficients are ordered (component, function), flat.

    Attributes:
        basis: The functions.
        information: Its precision (coefficient, coefficient), as reported.
        weighted: Precision times mean (coefficient,).
    """

    basis: SmoothBasis
    information: np.ndarray
    weighted: np.ndarray

    def strongest(self, floor: float) -> "Observed":
        """Keep the functions whose strength is above a fraction of the strongest mode's."""
        basis = self.basis.strongest(floor)
        kept = np.tile(self.basis.strengths > floor, 3)
        return Observed(basis, self.information[np.ix_(kept, kept)], self.weighted[kept])


@dataclass(frozen=True)
class Posterior:
    """What is known of the displacement, given the evidence: a normal distribution of its coefficients.

    Attributes:
        basis: The functions.
        calibration: How far the evidence was trusted.
        amplitudes: Of the displacement, estimated from this case.
        mean: (3, function), mm along the fixed volume's index axes.
        factor: Lower Cholesky factor of the precision of the reported displacement (coefficient, coefficient).
        gain: What of the reported displacement, smooth error included, is expected to be true (coefficient,).
        remaining: Variance of the displacement, were the reported one known without noise (coefficient,).
    """

    basis: SmoothBasis
    calibration: Calibration
    amplitudes: Amplitudes
    mean: np.ndarray
    factor: np.ndarray
    gain: np.ndarray
    remaining: np.ndarray

    def deviations(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw differences between displacement and mean (count, 3, function), reproducibly."""
        random = np.random.default_rng(seed)
        white = random.standard_normal((2, len(self.factor), count))
        sums = solve_triangular(self.factor, white[0], lower=True, trans="T")
        drawn = self.gain[:, None] * sums + np.sqrt(self.remaining)[:, None] * white[1]
        samples: np.ndarray = drawn.T.reshape(count, 3, -1)
        return samples


def observe(evidence: Sequence[Evidence], fixed: sitk.Image, sigma: Sequence[float]) -> Observed:
    """Sum the evidence over the functions of a smooth displacement.

    Args:
        evidence: Of the slices of one or more axes.
        fixed: The fixed volume.
        sigma: Smoothness along each of its index axes, mm.
    """
    cells = evidence_on_lattice(evidence, fixed)
    basis = SmoothBasis.over(np.multiply(fixed.GetSize(), fixed.GetSpacing()), sigma)
    return observe_cells(basis, cells.places, cells.weighted_mean, cells.precision)


def observe_cells(
    basis: SmoothBasis, places: Sequence[np.ndarray], weighted_mean: np.ndarray, precision: np.ndarray
) -> Observed:
    """Sum evidence on a lattice over the functions of a basis; the arguments are those of `LatticeEvidence`."""
    axes = basis.along(places)
    information = np.zeros((3, basis.size, 3, basis.size))
    for first in range(3):
        for second in range(first, 3):
            block = basis.gram(precision[first, second], axes)
            information[first, :, second], information[second, :, first] = block, block
    size = 3 * basis.size
    return Observed(basis, information.reshape(size, size), basis.project(weighted_mean, axes).ravel())


def infer(observed: Observed, calibration: Calibration) -> Posterior:
    """Compute the distribution of the displacement, given the evidence.

    Displacement and smooth error are independent normal variables, of which the evidence shows one sum. (Rasmussen and
    Williams, Gaussian Processes for Machine Learning, 2006, equation 2.11.)
    """
    amplitudes = _estimate_amplitudes(observed.strongest(AMPLITUDE_STRENGTH_FLOOR), calibration)
    groups = _groups(observed.basis)
    true = np.square(amplitudes)[groups]
    reported = reported_variances(np.square(amplitudes), calibration)[groups]
    precision = calibration.trust * observed.information
    precision[np.diag_indices_from(precision)] += 1 / reported
    factor = cholesky(precision, lower=True, overwrite_a=True)
    gain = calibration.slope * true / reported
    mean = gain * cho_solve((factor, True), calibration.trust * observed.weighted)
    remaining = true - gain**2 * reported
    return Posterior(observed.basis, calibration, amplitudes, mean.reshape(3, -1), factor, gain, remaining)


def posterior_field(posterior: Posterior, grid: sitk.Image) -> sitk.Image:
    """Evaluate the mean on a grid that has the fixed volume's axes and middle (float64 vectors, mm, LPS)."""
    basis = posterior.basis
    along_axes = basis.evaluate(posterior.mean, basis.along(basis.places_on(grid)))
    field = sitk.GetImageFromArray(along_axes.T @ directions(grid).T, isVector=True)
    field.CopyInformation(grid)
    return field


def mean_field(posterior: Posterior, fixed: sitk.Image) -> sitk.Image:
    """Evaluate the mean on a lattice over the fixed volume that is fine enough for its smoothness (mm, LPS)."""
    return posterior_field(posterior, lattice_over(fixed, [sigma / NODES_PER_SIGMA for sigma in posterior.basis.sigma]))


def _estimate_amplitudes(observed: Observed, calibration: Calibration) -> Amplitudes:
    """Estimate how large the parts of the displacement are, as the amplitudes that make the evidence most probable.

    This is type-II maximum likelihood with a broad prior, log-normal around the usual amplitudes. (Rasmussen and
    Williams, Gaussian Processes for Machine Learning, 2006, section 5.4.1.)
    """
    expected, spread = np.log(calibration.expected), np.array(calibration.spread)
    free = spread > 0
    if not free.any():
        return calibration.expected
    information, weighted = calibration.trust * observed.information, calibration.trust * observed.weighted
    groups = _groups(observed.basis)

    def cost(logarithms: np.ndarray) -> tuple[float, np.ndarray]:
        every = expected.copy()
        every[free] = logarithms
        variances = reported_variances(np.exp(2 * every), calibration)
        value, slopes = _negative_log_likelihood(information, weighted, variances[groups])
        by_logarithm = np.bincount(groups, slopes, 3) * 2 * (variances - np.square(calibration.error))
        surprise = (every - expected)[free] / spread[free]
        return value + (surprise**2).sum() / 2, by_logarithm[free] + surprise / spread[free]

    bounds = [tuple(np.log(AMPLITUDE_BOUNDS_MM))] * int(free.sum())
    found = minimize(
        cost, expected[free], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxfun": MAX_ESTIMATES}
    )
    logarithms = expected.copy()
    logarithms[free] = found.x
    return Amplitudes(*np.exp(logarithms).tolist())


def _negative_log_likelihood(
    information: np.ndarray, weighted: np.ndarray, variances: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the evidence's negative log likelihood, up to a constant, and its slopes by the variances."""
    precision = information.copy()
    precision[np.diag_indices_from(precision)] += 1 / variances
    factor = cholesky(precision, lower=True)
    mean = cho_solve((factor, True), weighted)
    inverse, _ = dpotri(factor, lower=1)
    value = np.log(np.diag(factor)).sum() + np.log(variances).sum() / 2 - weighted @ mean / 2
    slopes = (1 / variances - (mean**2 + np.diag(inverse)) / variances**2) / 2
    return float(value), slopes


def _groups(basis: SmoothBasis) -> np.ndarray:
    """Return for each coefficient the index of its part in `Amplitudes` (coefficient,)."""
    return np.tile(np.repeat([0, 1, 2], [1, AFFINE_FUNCTIONS - 1, basis.size - AFFINE_FUNCTIONS]), 3)


def reported_variances(true: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return the variances of the parts as reported, smooth error included, from those of the true parts (3,), mm^2."""
    factors = calibration.slope**2 + np.square([0.0, 0.0, calibration.relative_error])
    reported: np.ndarray = factors * true + np.square(calibration.error)
    return reported
