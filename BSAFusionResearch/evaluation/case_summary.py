"""Summarize the rows of the designed cases: means, harm, verdicts, and our method beside the baselines."""

import numpy as np

from BSAFusionResearch.evaluation import baselines
from BSAFusionResearch.evaluation.cases import FACTORS

HARM_MM = 0.1
"""A case is harmed where it ends worse than its initial transform by more than this."""

MEASURES = {"error_mm": "of the declared truth", "motion_error_mm": "of the motion"}
"""The two errors of a row, and how a table calls them."""


def harm(row: dict, measure: str = "error_mm") -> float:
    """Return by how many mm a case ended worse than its initial transform; below zero, it ended better."""
    return row[measure]["after"] - row[measure]["prealigned"]


def harmed(rows: list[dict], measure: str = "error_mm") -> list[dict]:
    """Return the cases that were harmed, worst first."""
    worse = [row for row in rows if harm(row, measure) > HARM_MM]
    return sorted(worse, key=lambda row: harm(row, measure), reverse=True)


def by_level(rows: list[dict]) -> dict[str, list[dict]]:
    """Return the rows of all cases, and of every level of every factor, by name in the design's order."""
    groups = {"all": rows}
    for factor in FACTORS:
        for level in sorted({row[factor] for row in rows}, key=lambda level: (isinstance(level, str), level)):
            groups[f"{factor.replace('_', ' ')} {level}"] = [row for row in rows if row[factor] == level]
    return groups


def summary(rows: list[dict]) -> dict[str, float]:
    """Return mean errors in mm, the worst harm, and how many cases were harmed, for some rows."""
    return {
        "cases": len(rows),
        **{name: _mean(rows, "error_mm", name) for name in ("before", "prealigned", "after")},
        "worst_harm": max(map(harm, rows)),
        "harmed": len(harmed(rows)),
        **{f"motion_{name}": _mean(rows, "motion_error_mm", name) for name in ("prealigned", "after")},
        "motion_worst_harm": max(harm(row, "motion_error_mm") for row in rows),
        "motion_harmed": len(harmed(rows, "motion_error_mm")),
        "smallest_jacobian": min(row["smallest_jacobian"] for row in rows),
        "inverse_error_voxels": max(row["inverse_error_voxels"] for row in rows),
        "seconds": float(np.mean([row["seconds"] for row in rows])),
    }


def verdicts(rows: list[dict], measure: str = "error_mm") -> dict[str, dict[str, int]]:
    """Count what was decided, by what applying the whole deformation would truly have done to each case.

    Returns:
        For `better`, `same` and `worse` than the initial transform by more than `HARM_MM`: `cases`; those in which
        `all`, `some` or `none` of the deformation was applied (all: no slice damped); `right`, those that ended within
        `HARM_MM` of the better of all and nothing; and those whose mutual information `rose` or `fell`.
    """
    counts = {
        truly: dict.fromkeys(("cases", "all", "some", "none", "right", "rose", "fell"), 0)
        for truly in ("better", "same", "worse")
    }
    for row in rows:
        errors, report = row[measure], row["report"]
        change = errors["undamped"] - errors["prealigned"]
        count = counts["worse" if change > HARM_MM else "better" if change < -HARM_MM else "same"]
        count["cases"] += 1
        kept = report["verdict"]["kept"]
        whole = kept is None or (kept == 1 and report["verdict"]["slices_damped"] == 0)  # None: nothing was damped
        count["none" if kept == 0 else "all" if whole else "some"] += 1
        count["right"] += errors["after"] <= min(errors["undamped"], errors["prealigned"]) + HARM_MM
        rose = report["mutual_information_after"] >= report["mutual_information_prealigned"]
        count["rose" if rose else "fell"] += 1
    return counts


def side_by_side(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Compare our method with the baselines on the cases in which none of them failed.

    Returns:
        By method: `cases` compared, how many it `gave_up`, mean error in mm after its rigid part (`prealigned`) and
        `after` all, and mean `seconds` and `cpu_seconds`.
    """
    rows = [row for row in rows if "baselines" in row]
    shared = [row for row in rows if not any("gave_up" in other for other in row["baselines"].values())]
    methods = {"ours": shared, **{name: [row["baselines"][name] for row in shared] for name in baselines.TITLES}}
    return {
        method: {
            "cases": len(measured),
            "gave_up": sum("gave_up" in row["baselines"].get(method, ()) for row in rows),
            "prealigned": _mean(measured, "error_mm", "prealigned"),
            "after": _mean(measured, "error_mm", "after"),
            "seconds": float(np.mean([row["seconds"] for row in measured])),
            "cpu_seconds": float(np.mean([row["cpu_seconds"] for row in measured])),
        }
        for method, measured in methods.items()
        if measured
    }


def _mean(rows: list[dict], measure: str, name: str) -> float:
    return float(np.mean([row[measure][name] for row in rows]))
