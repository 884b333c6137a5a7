"""All wild cases, and what their rows come to."""

import re
from typing import Any

from BSAFusionResearch.wild.cases import FOUND, SAID, UNRELATED, WildCase
from BSAFusionResearch.wild.kinds_commands import command_cases
from BSAFusionResearch.wild.kinds_dicom import dicom_cases
from BSAFusionResearch.wild.kinds_placed import placed_cases
from BSAFusionResearch.wild.kinds_read import read_cases
from BSAFusionResearch.wild.kinds_unrelated import unrelated_cases
from BSAFusionResearch.wild.measure import CRASHED, REGISTERED, REJECTED

RIGHT_MM = 3.0
WRONG_MM = 10.0
FOUND_KINDS = ("01", "02", "03", "04", "06", "07")
"""The kinds whose cases hold a head that should be found."""


def wild_cases(kinds: list[str] | None = None) -> list[WildCase]:
    """Return the cases, by kind; of all kinds, or of those that are named."""
    cases = [*placed_cases(), *read_cases(), *dicom_cases(), *unrelated_cases(), *command_cases()]
    return sorted((case for case in cases if not kinds or case.kind in kinds), key=lambda case: case.kind)


def is_silently_wrong(row: dict[str, Any]) -> bool:
    """Decide whether a result is wrong, or should not exist, and nothing calls it doubtful."""
    if row["outcome"] != REGISTERED or row["doubtful"]:
        return False
    return row["expected"] == UNRELATED or (row["error_mm"] or 0.0) > WRONG_MM


def is_falsely_doubtful(row: dict[str, Any]) -> bool:
    """Decide whether a right result is called doubtful."""
    return bool(row["doubtful"]) and row["motion_error_mm"] is not None and row["motion_error_mm"] < RIGHT_MM


def is_right(row: dict[str, Any]) -> bool:
    """Decide whether a row is as expected, in all that it says."""
    said = all(any(re.search(word, text, re.I) for text in row["sentences"]) for word in row["words"])
    if row["outcome"] == CRASHED or not said:
        return False
    if row["expected"] == UNRELATED:
        return row["outcome"] == REJECTED or bool(row["doubtful"])
    if row["expected"] == FOUND:
        return row["outcome"] == REGISTERED and row["motion_error_mm"] < RIGHT_MM and not row["doubtful"]
    return row["expected"] == SAID


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what rows come to.

    Args:
        rows: Those of `measure`.

    Returns:
        cases: How many there are.
        right: How many are as expected.
        crashed, silent, falsely_doubtful: Titles of those that crashed, are silently wrong, or right but doubtful.
        judged_right: How many results of less than `RIGHT_MM` the doubts were counted over.
        found: Share of the cases of `FOUND_KINDS` that ended within `RIGHT_MM`; None without any.
    """
    heads = [row for row in rows if row["kind"] in FOUND_KINDS]
    near = [row for row in heads if row["motion_error_mm"] is not None and row["motion_error_mm"] < RIGHT_MM]
    accurate = [row for row in rows if row["motion_error_mm"] is not None and row["motion_error_mm"] < RIGHT_MM]
    return {
        "cases": len(rows),
        "right": sum(is_right(row) for row in rows),
        "crashed": [row["title"] for row in rows if row["outcome"] == CRASHED],
        "silent": [row["title"] for row in rows if is_silently_wrong(row)],
        "falsely_doubtful": [row["title"] for row in rows if is_falsely_doubtful(row)],
        "judged_right": len(accurate),
        "found": len(near) / len(heads) if heads else None,
    }
