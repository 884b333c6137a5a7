"""What a calibration comes to on some cases: error removed, and how well the error was predicted."""

import numpy as np
from scipy.stats import spearmanr

from BSAFusionLib.pipeline.calibration import Calibration
from BSAFusionResearch.calibration.fit import FittedCase, Score, score
from BSAFusionResearch.evaluation_heads.expected import ratios_in_fifths

COLUMNS = (
    ("cases", "cases"),
    ("best_rigid", "best rigid"),
    ("initialization", "initial"),
    ("final", "final"),
    ("residual_removed", "removed"),
    ("worst_change", "worst change"),
    ("true_to_predicted", "true / predicted"),
    ("squared", "variance ratio"),
    ("rank_within", "rank within"),
)
"""Figures of a group, and their titles; errors are means in the brain, mm."""


def figures(cases: list[FittedCase], calibration: Calibration) -> dict:
    """Measure a calibration on the cases of one modality.

    Returns:
        `groups` by elastic size, with the figures of `COLUMNS`; `fifths`, true over predicted error by rising
        prediction, of all points; `rank_between`, the rank correlation of the cases' true and predicted errors.
    """
    scores = [score(case, calibration) for case in cases]
    groups = {}
    for size in sorted({case.elastic_mm for case in cases}):
        chosen = [pair for pair in zip(cases, scores, strict=True) if pair[0].elastic_mm == size]
        groups[f"{size:g} mm"] = _group(chosen)
    true, predicted = (np.concatenate(parts) for parts in zip(*((s.errors, s.predicted) for s in scores), strict=True))
    means = np.array([(each.errors.mean(), each.predicted.mean()) for each in scores])
    return {
        "groups": groups,
        "fifths": ratios_in_fifths(true, predicted),
        "rank_between": rank_correlation(*means.T),
    }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation of two lists of values; 0 of single ones."""
    return float(spearmanr(first, second).statistic) if len(first) > 1 else 0.0


def _group(chosen: list[tuple[FittedCase, Score]]) -> dict[str, float]:
    best = float(np.mean([case.best_rigid_mm for case, _ in chosen]))
    before = np.array([np.linalg.norm(case.truth, axis=1).mean() for case, _ in chosen])
    after = np.array([each.errors.mean() for _, each in chosen])
    predicted = np.array([each.predicted.mean() for _, each in chosen])
    return {
        "cases": len(chosen),
        "best_rigid": best,
        "initialization": float(before.mean()),
        "final": float(after.mean()),
        "residual_removed": float(1 - after.mean() / best) if best > 1e-3 else float("nan"),
        "worst_change": float((after - before).max()),
        "true_to_predicted": float(after.mean() / predicted.mean()),
        "squared": float(np.mean([each.squared for _, each in chosen])),
        "rank_within": float(np.mean([rank_correlation(each.errors, each.predicted) for _, each in chosen])),
    }
