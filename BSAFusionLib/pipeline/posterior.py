"""Combine the evidence from slices of one or more axes to one displacement field in space, with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.linalg import cho_solve, cholesky, solve_triangular

from BSAFusionLib.geometry.grids import directions, lattice_over
from BSAFusionLib.pipeline.amplitudes import estimate_amplitudes, reported_variances
from BSAFusionLib.pipeline.calibration import Amplitudes, Calibration
from BSAFusionLib.pipeline.observed import Observed
from BSAFusionLib.pipeline.smooth_basis import AFFINE_FUNCTIONS, SmoothBasis

NODES_PER_SIGMA = 6  # of the field's grid; linear interpolation in between is off by 0.2 % of the displacement


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

    def variances(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Compute the variance of the displacement, summed over its components, on a lattice.

        Args:
            axes: Every axis' functions at its places, of `SmoothBasis.along`.

        Returns:
            (x, y, z), mm^2, without what the basis leaves out.
        """
        size, spread = self.basis.size, solve_triangular(self.factor, np.diag(self.gain), lower=True)
        covariance = np.diag(self.remaining.reshape(3, size).sum(axis=0))
        for component in range(3):
            own = spread[:, component * size : (component + 1) * size]
            covariance += own.T @ own
        first, *others = axes
        planes = []
        for row in first:  # a plane at a time, since all functions at all places would take gigabytes
            functions = self.basis.on_lattice([row[None], *others])
            planes.append(np.einsum("pf,pf->p", functions @ covariance, functions))
        return np.reshape(planes, [len(axis) for axis in axes])


def infer(observed: Observed, calibration: Calibration) -> Posterior:
    """Compute the distribution of the displacement, given the evidence.

    Displacement and smooth error are independent normal variables, of which the evidence shows one sum. (Rasmussen and
    Williams, Gaussian Processes for Machine Learning, 2006, equation 2.11.)
    """
    amplitudes = estimate_amplitudes(observed, calibration)
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


def _groups(basis: SmoothBasis) -> np.ndarray:
    """Return for each coefficient the index of its part in `Amplitudes` (coefficient,)."""
    return np.tile(np.repeat([0, 1, 2], [1, AFFINE_FUNCTIONS - 1, basis.size - AFFINE_FUNCTIONS]), 3)
