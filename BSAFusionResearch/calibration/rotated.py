"""What the rotated evidence of one case predicts at points, so that fits take seconds.

The same model as `BSAFusionLib.pipeline.posterior`: there a case is solved once, by a Cholesky factor; here thousands
of times, with other amplitudes and calibrations.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from BSAFusionLib.pipeline.amplitudes import AFFINE_PARTS, RotatedEvidence, reported_variances, rotate, rotate_telling
from BSAFusionLib.pipeline.calibration import LENGTH_PER_RMS, Amplitudes, Calibration
from BSAFusionLib.pipeline.observed import Observed
from BSAFusionLib.pipeline.smooth_basis import AFFINE_FUNCTIONS


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


@dataclass(frozen=True)
class RotatedCase:
    """One case; its elastic coordinates (m,) are those of its rotated evidence.

    Attributes:
        evidence: In coordinates in which its elastic modes are independent.
        telling: The same of the modes alone that the amplitudes are estimated from.
        affine_at: The affine functions at the points (n, 3, 12).
        elastic_at: The elastic functions at the points (n, 3, m), float32.
        elastic_share: Share of the elastic variance that the basis holds at the points (n,).
    """

    evidence: RotatedEvidence
    telling: RotatedEvidence
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
        evidence, vectors = rotate(observed)
        elastic = functions[:, AFFINE_FUNCTIONS:]
        by_component = vectors.reshape(3, elastic.shape[1], -1)
        return cls(
            evidence=evidence,
            telling=rotate_telling(observed),
            affine_at=np.einsum("cd,pf->pcdf", np.eye(3), functions[:, :AFFINE_FUNCTIONS]).reshape(-1, 3, 12),
            elastic_at=np.stack([elastic @ part for part in by_component], axis=1).astype(np.float32),
            elastic_share=np.minimum((elastic**2).sum(axis=1), 1),
        )

    def predict(self, calibration: Calibration, amplitudes: Amplitudes) -> Prediction:
        """Predict the displacement at the points."""
        true = np.square(amplitudes)
        reported = reported_variances(true, calibration)
        gain = calibration.slope * true / reported
        remaining = true - gain**2 * reported
        solution = self.evidence.solve(calibration, np.array(amplitudes))
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
