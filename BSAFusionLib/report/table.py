"""The further figures of a report, each with what it means, for those who open the details."""

from collections.abc import Mapping
from typing import Any

from BSAFusionLib.pipeline.summary import Row, error_if_right, error_text

_SIMILARITY = (
    "Similarity inside the head, in nats: as placed, with the rigid transform, and after registration. It should "
    "rise; it is not an error in mm."
)
_AGREEMENT = (
    "How well the network's features of both volumes agree, mean of the slices. Greater is better; the number itself "
    "means nothing outside this network."
)
_FRACTION = (
    "How much of the network's deformation was applied: the strength and, with weights that are not calibrated, the "
    "fraction of it that passed the check of the mutual information."
)
_ERROR_IF_RIGHT = (
    "What the expected error would be if the result were right in spite of the doubt. It comes from evidence near the "
    "result and does not show that the whole head lies in a wrong place: do not quote it."
)


def detail_rows(report: Mapping[str, Any]) -> list[Row]:
    """Return the figures that `short_table` leaves out.

    Args:
        report: What `Report.as_dict` gives; one from a scene of an older version may lack some figures.
    """
    verdict = report.get("verdict") or {}
    information = ", ".join(
        f"{report[f'mutual_information_{when}']:.3f} {title}"
        for when, title in (("before", "before"), ("prealigned", "initial"), ("after", "final"))
    )
    agreements = [
        f"{verdict[f'agreement_{when}']:.3f} {title}"
        for when, title in (("before", "initial"), ("after", "final"))
        if verdict.get(f"agreement_{when}") is not None
    ]
    return [
        Row("Mutual information", information, _SIMILARITY),
        *([Row("Feature agreement", ", ".join(agreements), _AGREEMENT)] if agreements else []),
        Row("Fraction applied", _fraction_applied(report), _FRACTION),
        *_error_if_right(report),
        Row("Displacement, 95 %", f"{report['displacement']['percentile_95']:.1f} mm", "In all, inside the head."),
        Row("Slices", f"{report['slices']}", "Slices that the network fused."),
        Row("Device", report["device"], "Where the network ran."),
        Row("Precision", report.get("precision", "float32"), "Number format of the network's layers."),
        Row("Weights", f"{report['weights']} ({report['weights_sha256'][:12]})", "File and start of its SHA-256."),
        *(Row("Remark", text, "") for text in report.get("details", ())),
    ]


def _error_if_right(report: Mapping[str, Any]) -> list[Row]:
    """Return the expected error of a doubtful result."""
    error = error_if_right(report)
    return [] if error is None else [Row("Expected error, if right", error_text(error), _ERROR_IF_RIGHT)]


def _fraction_applied(report: Mapping[str, Any]) -> str:
    """Return the strength times the fraction that passed the check; an older report knows the fraction alone."""
    strength, kept = report.get("strength"), (report.get("verdict") or {}).get("kept")
    if strength is None and kept is None:
        return "all" if report.get("expected_error") is not None else "all, unchecked"
    share = (1.0 if strength is None else strength) * (1.0 if kept is None else kept)
    return f"{100 * share:.0f} %" + (", unchecked" if report.get("do_no_harm") is False else "")
