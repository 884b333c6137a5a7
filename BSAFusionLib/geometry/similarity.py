"""Motions with a uniform scale, and the one that carries points onto others best."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """A map of points: scale * rotation @ point + shift, mm LPS.

    Attributes:
        rotation: (3, 3).
        scale: A positive number.
        shift: (3,).
    """

    rotation: np.ndarray
    scale: float
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map (N, 3) points."""
        return np.asarray(self.scale * points @ self.rotation.T + self.shift)


def fit_similarity(
    source: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None = None,
    scales: tuple[float, float] = (0.0, np.inf),
) -> Similarity:
    """Fit a similarity by least squares (Umeyama, IEEE TPAMI 1991).

    Args:
        source: (N, 3) points, mm.
        target: (N, 3) where they are to be carried, mm.
        weights: (N,) of the points; None for equal ones.
        scales: The least and the largest scale.
    """
    share = np.full(len(source), 1 / len(source)) if weights is None else weights / weights.sum()
    middle, middle_target = share @ source, share @ target
    centered, centered_target = source - middle, target - middle_target
    u, lengths, vt = np.linalg.svd((centered_target * share[:, None]).T @ centered)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])  # a rotation, never a reflection
    rotation = (u * signs) @ vt
    variance = float(share @ (centered**2).sum(axis=1))
    scale = float(np.clip((lengths * signs).sum() / max(variance, 1e-9), *scales))
    return Similarity(rotation, scale, middle_target - scale * rotation @ middle)
