"""The pose fit recovers a motion from coordinates, also where many of them are wrong."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from BSAFusionLib.head_pose.fit import MAX_SCALE, fit_pose

N = 600


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform([-65, -80, -60], [65, 80, 60], (N, 3)), np.ones(N), np.full(N, 6.0)


def placed(standard: np.ndarray, rotation: np.ndarray, scale: float, shift: list[float]) -> np.ndarray:
    return scale * standard @ rotation.T + shift


def test_an_exact_motion_is_recovered_exactly(cells) -> None:
    standard, brain, spread = cells
    rotation = Rotation.from_euler("xyz", [170, -40, 75], degrees=True).as_matrix()
    fit = fit_pose(standard, placed(standard, rotation, 1.07, [30, -250, 900]), brain, spread)
    np.testing.assert_allclose(fit.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(fit.shift, [30, -250, 900], atol=1e-6)
    assert fit.scale == pytest.approx(1.07)
    assert (fit.agreeing, fit.residual_mm) == pytest.approx((N, 0), abs=1e-6)
    assert fit.spread_mm == pytest.approx(6)


def test_a_third_of_wrong_cells_hardly_moves_the_fit(cells) -> None:
    standard, brain, spread = cells
    rotation = Rotation.from_euler("xyz", [20, 10, -30], degrees=True).as_matrix()
    world = placed(standard, rotation, 1.0, [5, 6, 7])
    rng = np.random.default_rng(1)
    world += rng.normal(0, 2, world.shape)
    wrong = rng.choice(N, N // 3, replace=False)
    world[wrong] += rng.uniform(60, 160, (len(wrong), 3))  # all to one side, so that they do not cancel
    fit = fit_pose(standard, world, brain, spread)
    off = placed(standard, fit.rotation, fit.scale, fit.shift) - placed(standard, rotation, 1.0, [5, 6, 7])
    assert np.linalg.norm(off, axis=1).mean() < 2
    assert fit.agreeing == pytest.approx(2 * N / 3, rel=0.03)


def test_cells_that_know_they_are_wrong_count_for_little(cells) -> None:
    standard, brain, spread = cells
    world = standard.copy()
    world[: N // 2] += [40, 0, 0]
    spread[: N // 2] = 100
    fit = fit_pose(standard, world, brain, spread)
    assert np.abs(fit.shift).max() < 0.2


def test_the_size_of_a_head_is_bounded(cells) -> None:
    standard, brain, spread = cells
    assert fit_pose(standard, 2 * standard, brain, spread).scale == MAX_SCALE


def test_a_mirrored_head_is_not_mirrored_back(cells) -> None:
    standard, brain, spread = cells
    fit = fit_pose(standard, standard * [-1, 1, 1], brain, spread)
    assert np.linalg.det(fit.rotation) == pytest.approx(1)


def test_nothing_that_looks_like_brain_gives_no_fit(cells) -> None:
    standard, brain, spread = cells
    assert fit_pose(standard, standard, brain * 0.01, spread) is None
