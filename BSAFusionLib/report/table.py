"""The figures of a report as people read them."""

from collections.abc import Mapping
from typing import Any


def rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of Report.as_dict() as people read them, each with its name and unit.

    A report that a scene of an older version kept lacks some of them.
    """
    total, network = report["displacement"], report["network_displacement"]
    verdict = report.get("verdict")
    agreements = [
        (f"Features' agreement, {title}", f"{verdict[f'agreement_{when}']:.3f}")
        for when, title in (("before", "start"), ("after", "after"))
        if verdict is not None and verdict.get(f"agreement_{when}") is not None
    ]
    landmarks = report.get("landmarks")
    distances = [
        (f"Landmarks {when}, {which}", f"{landmarks[f'{which}_{when}']:.1f} mm")
        for when in ("before", "after")
        for which in ("mean", "largest")
        if landmarks is not None
    ]
    return [
        ("Mutual information, before", f"{report['mutual_information_before']:.3f}"),
        ("Mutual information, start", f"{report['mutual_information_prealigned']:.3f}"),
        ("Mutual information, after", f"{report['mutual_information_after']:.3f}"),
        *agreements,
        *distances,
        ("Displacement, mean", f"{total['mean']:.1f} mm"),
        ("Displacement, 95 %", f"{total['percentile_95']:.1f} mm"),
        ("Displacement, largest", f"{total['maximum']:.1f} mm"),
        ("By the network, mean", f"{network['mean']:.1f} mm"),
        ("By the network, largest", f"{network['maximum']:.1f} mm"),
        ("Kept of that", "all, unchecked" if verdict is None else f"{100 * verdict['kept']:.0f} %"),
        ("Smallest Jacobian", f"{report['smallest_jacobian']:.2f}"),
        ("Folded voxels", f"{report['percent_folded']:.2f} %"),
        ("Modality", report["modality"].upper()),
        ("Start", report["prealignment"]),
        ("Slices", f"{report['slices']}"),
        ("Time", f"{sum(report['seconds'].values()):.1f} s"),
        ("Device", report["device"]),
        ("Precision", report.get("precision", "float32")),
        ("Weights", f"{report['weights']} ({report['weights_sha256'][:12]})"),
    ]
