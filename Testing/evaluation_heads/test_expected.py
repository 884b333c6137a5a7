"""The expected error is compared with the true one at the same points, in words that its figures bear out."""

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionResearch.evaluation_heads.expected import compare_expected, expected_summary


def test_both_lengths_are_those_at_the_same_points_and_places_without_a_value_are_left_out() -> None:
    brain = sitk.Image(8, 8, 8, sitk.sitkUInt8) + 1
    brain.SetSpacing((2.0, 3.0, 4.0))
    brain.SetOrigin((5.0, -6.0, 7.0))
    expected = np.fromfunction(lambda k, j, i: 1 + i, (8, 8, 8)).astype(np.float32)  # rises along x
    expected[:4] = np.nan
    error = sitk.GetImageFromArray(expected)
    error.CopyInformation(brain)
    stretched = sitk.AffineTransform(3)
    stretched.SetMatrix((1.5, 0, 0, 0, 1, 0, 0, 0, 1))
    stretched.SetCenter((5.0, 0.0, 0.0))
    result = SimpleNamespace(expected_error=error, transform=sitk.Transform)
    found = compare_expected(result, stretched, brain)
    assert found is not None and 100 < len(found["true"]) < 300
    assert found["true"] == pytest.approx([value - 1 for value in found["expected"]])  # 0.5 * 2 mm a voxel


def test_without_an_expected_error_there_is_nothing_to_compare() -> None:
    result = SimpleNamespace(expected_error=None)
    assert compare_expected(result, sitk.Transform(), sitk.Image(2, 2, 2, sitk.sitkUInt8)) is None


def row(elastic_mm: float, sigma_mm: float, expected_sigma_mm: float, seed: int) -> dict:
    """A case with normal errors, larger towards its last points, and what is expected of them."""
    sigmas = sigma_mm * np.linspace(0.5, 1.5, 4000)
    errors = sigmas[:, None] * np.random.default_rng(seed).standard_normal((4000, 3))
    lengths = np.sqrt(8 / np.pi) * sigmas * expected_sigma_mm / sigma_mm
    return {"elastic_mm": elastic_mm, "expected": {"true": np.linalg.norm(errors, axis=1), "expected": lengths}}


def test_errors_that_are_as_expected_have_ratio_and_variance_one() -> None:
    summary = expected_summary([row(0, 0.5, 0.5, 1), row(0, 1.0, 1.0, 2), row(4, 2.0, 2.0, 3)])
    assert [group["cases"] for group in summary["groups"].values()] == [2, 1]
    for group in summary["groups"].values():
        assert group["ratio"] == pytest.approx(1, abs=0.03)
        assert group["variance"] == pytest.approx(1, abs=0.05)
        assert 0.3 < group["rank_within"] < 0.8
        assert group["rank_within"] == pytest.approx(group["rank_if_right"], abs=0.05)
    assert summary["fifths"] == pytest.approx([1] * 5, abs=0.05)
    assert summary["rank_between"] == pytest.approx(1)


def test_errors_twice_as_large_as_expected_are_told() -> None:
    group = expected_summary([row(8, 2.0, 1.0, 1)])["groups"]["8 mm"]
    assert group["ratio"] == pytest.approx(2, abs=0.05)
    assert group["variance"] == pytest.approx(4, abs=0.2)
