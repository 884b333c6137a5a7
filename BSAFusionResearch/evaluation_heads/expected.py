"""How far the expected error that a run delivers agrees with the true error, of simulated heads."""

from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy.stats import spearmanr

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionLib.geometry.inverse import carry_points
from BSAFusionLib.pipeline.result import Result

POINTS = 400  # of the brain, a case
DRAWS = 20
# Normal errors with a component's variance v have the mean square 3 v and the mean length sqrt(8 v / pi).
VARIANCE_PER_SQUARE = 8 / (3 * np.pi)


def compare_expected(result: Result, truth: sitk.Transform, brain: sitk.Image) -> dict[str, list[float]] | None:
    """Return true and expected lengths of the error at points of the brain.

    Args:
        result: Of the registration.
        truth: Fixed point to moving point, mm, LPS.
        brain: Mask in the fixed volume's space.

    Returns:
        `true` and `expected`, mm, at the same points, those for which an error is expected at all; None where the
        result has no expected error.
    """
    if result.expected_error is None:
        return None
    inside = voxel_centers(brain)[sitk.GetArrayFromImage(brain) > 0]
    points = np.random.default_rng(0).permutation(inside)[:POINTS]
    true = np.linalg.norm(carry_points(result.transform(), points) - carry_points(truth, points), axis=1)
    expected = _nearest_values(result.expected_error, points)
    known = np.isfinite(expected)
    return {"true": true[known].round(4).tolist(), "expected": expected[known].round(4).tolist()}


def _nearest_values(image: sitk.Image, points: np.ndarray) -> np.ndarray:
    """Return an image's value at the voxel nearest to each point (n, 3), mm, LPS; NaN outside the image."""
    values = np.full(len(points), np.nan)
    for number, point in enumerate(points.tolist()):
        index = image.TransformPhysicalPointToIndex(point)
        if all(0 <= place < size for place, size in zip(index, image.GetSize(), strict=True)):
            values[number] = image.GetPixel(*index)
    return values


def expected_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarize rows of one modality that hold `compare_expected` as `expected`.

    Returns:
        groups: By elastic size: cases; ratio, mean true over mean expected length; variance, the mean of the error over
            its standard deviation, squared, a component, if its three variances are equal; rank_within, the mean
            rank correlation within a case; rank_if_right, the same of errors drawn from what is expected, and so what
            an expectation that is quite right would reach.
        fifths: True over expected length in fifths of all points by rising expected length.
        rank_between: Rank correlation of the cases' means; None of a single case.
    """
    pairs = [tuple(np.array(row["expected"][name]) for name in ("true", "expected")) for row in rows]
    sizes = [row["elastic_mm"] for row in rows]
    groups = {}
    for size in sorted(set(sizes)):
        chosen = [pair for pair, its_size in zip(pairs, sizes, strict=True) if its_size == size]
        true, expected = (np.concatenate(part) for part in zip(*chosen, strict=True))
        groups[f"{size:g} mm"] = {
            "cases": len(chosen),
            "ratio": float(true.mean() / expected.mean()),
            "variance": float(np.mean((true / expected) ** 2) * VARIANCE_PER_SQUARE),
            "rank_within": float(np.mean([spearmanr(*pair).statistic for pair in chosen])),
            "rank_if_right": float(np.mean([_rank_of_drawn(lengths) for _, lengths in chosen])),
        }
    true, expected = (np.concatenate(part) for part in zip(*pairs, strict=True))
    means = np.array([(one.mean(), other.mean()) for one, other in pairs])
    return {
        "groups": groups,
        "fifths": ratios_in_fifths(true, expected),
        "rank_between": float(spearmanr(*means.T).statistic) if len(rows) > 1 else None,
    }


def ratios_in_fifths(true: np.ndarray, expected: np.ndarray) -> list[float]:
    """Return mean true over mean expected length (n,) in fifths of the points by rising expected length."""
    fifths = np.array_split(expected.argsort(), 5)
    return [float(true[fifth].mean() / expected[fifth].mean()) for fifth in fifths]


def _rank_of_drawn(expected: np.ndarray) -> float:
    """Return the mean rank correlation of expected lengths (n,) with those of normal errors drawn from them."""
    drawn = np.linalg.norm(np.random.default_rng(0).standard_normal((DRAWS, len(expected), 3)), axis=-1) * expected
    return float(np.mean([spearmanr(each, expected).statistic for each in drawn]))
