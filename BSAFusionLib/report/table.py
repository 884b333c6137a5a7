"""The figures of a report as people read them."""

from collections.abc import Mapping
from typing import Any


def rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures of a report with their names and units.

    Args:
        report: What `Report.as_dict` gives; one from a scene of an older version may lack some figures.
    """
    total, network = report["displacement"], report["network_displacement"]
    verdict = report.get("verdict") or {}
    agreements = [
        (f"Feature agreement, {title}", f"{verdict[f'agreement_{when}']:.3f}")
        for when, title in (("before", "initial"), ("after", "final"))
        if verdict.get(f"agreement_{when}") is not None
    ]
    landmarks = report.get("landmarks")
    distances = [
        (f"Landmarks {when}, {title}", f"{landmarks[f'{which}_{when}']:.1f} mm")
        for when in ("before", "after")
        for which, title in (("mean", "mean"), ("largest", "maximum"))
        if landmarks is not None
    ]
    return [
        ("Mutual information, before", f"{report['mutual_information_before']:.3f}"),
        ("Mutual information, initial", f"{report['mutual_information_prealigned']:.3f}"),
        ("Mutual information, final", f"{report['mutual_information_after']:.3f}"),
        *agreements,
        *distances,
        ("Displacement, mean", f"{total['mean']:.1f} mm"),
        ("Displacement, 95 %", f"{total['percentile_95']:.1f} mm"),
        ("Displacement, maximum", f"{total['maximum']:.1f} mm"),
        ("Network part, mean", f"{network['mean']:.1f} mm"),
        ("Network part, maximum", f"{network['maximum']:.1f} mm"),
        *_expected_error(report.get("expected_error")),
        ("Fraction applied", _fraction_applied(verdict, report.get("expected_error") is not None)),
        ("Smallest Jacobian", f"{report['smallest_jacobian']:.2f}"),
        ("Folded voxels", f"{report['percent_folded']:.2f} %"),
        ("Modality", report["modality"].upper()),
        ("Initial transform", report["prealignment"]),
        ("Slices", f"{report['slices']}"),
        ("Time", f"{sum(report['seconds'].values()):.1f} s"),
        ("Device", report["device"]),
        ("Precision", report.get("precision", "float32")),
        ("Weights", f"{report['weights']} ({report['weights_sha256'][:12]})"),
    ]


def _expected_error(error: Mapping[str, float | None] | None) -> list[tuple[str, str]]:
    regions = ("head", "in the head"), ("brain", "in the brain"), ("skull_base", "near the skull base")
    known = [(title, (error or {}).get(name)) for name, title in regions]
    return [(f"Expected error {title}", f"{value:.1f} mm") for title, value in known if value is not None]


def _fraction_applied(verdict: Mapping[str, Any], calibrated: bool) -> str:
    kept = verdict.get("kept")
    if kept is None:
        return "all" if calibrated else "all, unchecked"
    return f"{100 * kept:.0f} %"
