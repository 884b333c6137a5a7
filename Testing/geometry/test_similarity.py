"""The similarity that is fitted to points is the one that moved them; weights and bounds of the scale count."""

import numpy as np
import pytest

from BSAFusionLib.geometry.similarity import Similarity, fit_similarity

turn = Similarity(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), 1.2, np.array([3.0, -2.0, 1.0]))
points = np.random.default_rng(0).normal(0, 50, (20, 3))


def test_the_motion_of_the_points_is_found() -> None:
    found = fit_similarity(points, turn(points))
    assert found(points) == pytest.approx(turn(points), abs=1e-9)
    assert found.scale == pytest.approx(1.2)


def test_a_point_of_no_weight_does_not_count() -> None:
    moved = turn(points)
    moved[0] += 500
    weights = np.ones(20)
    weights[0] = 0
    assert fit_similarity(points, moved, weights)(points)[1:] == pytest.approx(moved[1:], abs=1e-9)
    assert np.abs(fit_similarity(points, moved)(points) - turn(points)).max() > 5


def test_the_scale_stays_within_its_bounds_about_the_middle() -> None:
    found = fit_similarity(points, turn(points), scales=(0.9, 1.1))
    assert found.scale == 1.1
    assert found(points).mean(axis=0) == pytest.approx(turn(points).mean(axis=0))


def test_mirrored_points_are_met_by_a_rotation() -> None:
    found = fit_similarity(points, points * [-1, 1, 1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
