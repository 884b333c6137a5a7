"""A rigid motion with scale, fitted robustly to predicted coordinates."""

from dataclasses import dataclass

import numpy as np

from BSAFusionLib.geometry.similarity import fit_similarity

MIN_SCALE, MAX_SCALE = 0.8, 1.3  # of a head, relative to the standard head
CAUCHY_MM = 12.0  # residuals far beyond it hardly count
AGREES_MM = 15.0  # cells whose residual is smaller agree with the pose
ROUNDS = 8
MIN_BRAIN = 0.1  # cells less likely to be brain are left out


@dataclass(frozen=True)
class Fit:
    """A similarity from standard points to world points, and how well the cells agree with it.

    Attributes:
        rotation: (3, 3).
        scale: size of the head, relative to the standard head.
        shift: (3,) where the standard origin, the brain's center, lies, mm.
        agreeing: number of cells within 15 mm of the pose, weighted by their probability of brain.
        residual_mm: mean distance of the agreeing cells from the pose.
        spread_mm: mean error that the network expects of the agreeing cells.
    """

    rotation: np.ndarray
    scale: float
    shift: np.ndarray
    agreeing: float
    residual_mm: float
    spread_mm: float


def fit_pose(standard: np.ndarray, world: np.ndarray, brain: np.ndarray, spread_mm: np.ndarray) -> Fit | None:
    """Fit the pose by least squares, reweighted with Cauchy's weights.

    Args:
        standard: (N, 3) predicted coordinates in the standard head, mm.
        world: (N, 3) where these cells lie, mm.
        brain: (N,) probability of brain.
        spread_mm: (N,) expected error.

    Returns:
        The fit; None where fewer than ten cells look like brain. Umeyama, IEEE TPAMI 1991, for each step.
    """
    used = brain > MIN_BRAIN
    if used.sum() < 10:
        return None
    standard, world = standard[used].astype(np.float64), world[used].astype(np.float64)
    brain, spread_mm = brain[used].astype(np.float64), spread_mm[used].astype(np.float64)
    precision = brain / np.maximum(spread_mm, 1.0) ** 2
    weights = precision
    for _ in range(ROUNDS):
        pose = fit_similarity(standard, world, weights, (MIN_SCALE, MAX_SCALE))
        residual = np.linalg.norm(pose(standard) - world, axis=1)
        weights = precision / (1 + (residual / CAUCHY_MM) ** 2)
    agrees = brain * (residual < AGREES_MM)
    agreeing = float(agrees.sum())
    share = agrees / max(agreeing, 1e-9)
    return Fit(pose.rotation, pose.scale, pose.shift, agreeing, float(share @ residual), float(share @ spread_mm))
