"""Say a result in two sentences and a short table, in the same words wherever a report is read.

A report comes as `Report.as_dict` gives it, or from JSON: one of an older version may lack some figures.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from BSAFusionLib.modalities import MODALITIES

DOUBTFUL = "Doubtful:"  # begins every doubt
AXES = ("RL", "AP", "SI")  # of a position or a shift: its letters towards and against right, anterior, superior


class Row(NamedTuple):
    """A row of a report's table.

    Attributes:
        name: Of the figure.
        figure: With its unit.
        meaning: What it says, a sentence or two.
    """

    name: str
    figure: str
    meaning: str


def doubt_of(report: Mapping[str, Any]) -> str:
    """Return "Doubtful: " and the reasons, in one line; "" where the result is not doubtful.

    Args:
        report: One of an older version is never doubtful.
    """
    verdict = report.get("verdict") or {}
    return " ".join((DOUBTFUL, *verdict.get("reasons", ()))) if verdict.get("doubtful") else ""


def known_error(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the expected error of a report; None where it is not known, or the result is doubtful.

    It comes from evidence near the result, which does not show that the whole head lies in a wrong place.
    """
    return None if doubt_of(report) else report.get("expected_error")


def error_if_right(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the expected error of a doubtful report, which holds only if it is right; None of any other."""
    return report.get("expected_error") if doubt_of(report) else None


def sentences(report: Mapping[str, Any]) -> tuple[str, str]:
    """Return two sentences: what was moved and by how much; the expected error and its place."""
    return f"{_moved(report)}{_bent(report['network_displacement'])}.", _expected(report)


def one_line(report: Mapping[str, Any]) -> str:
    """Return a result in a few words, for a table of several: doubtful or not, how far it moved, the expected error."""
    motion, error = report.get("motion"), known_error(report)
    moved_mm = _length(motion["shift_mm"]) if motion is not None else report["displacement"]["mean"]
    parts = ["Doubtful"] if doubt_of(report) else []
    parts.append(f"moved by {moved_mm:.1f} mm")
    if error is not None:
        parts.append(f"expected error {error['head'] if error.get('brain') is None else error['brain']:.1f} mm")
    text = ", ".join(parts)
    return text[0].upper() + text[1:]


def short_table(report: Mapping[str, Any]) -> list[Row]:
    """Return the figures that every reader wants."""
    total, network = report["displacement"], report["network_displacement"]
    return [
        *_motion_rows(report.get("motion")),
        Row(
            "Deformation",
            f"mean {network['mean']:.1f}, maximum {network['maximum']:.1f} mm",
            "What the network bends beyond the rigid motion, inside the head.",
        ),
        Row(
            "Displacement",
            f"mean {total['mean']:.1f}, maximum {total['maximum']:.1f} mm",
            "How far points inside the head move in all, by rigid motion and deformation.",
        ),
        *_error_rows(report),
        *_landmark_rows(report.get("landmarks")),
        Row(
            "Jacobian",
            f"at least {report['smallest_jacobian']:.2f}, {report['percent_folded']:.2g} % folded",
            "Jacobian determinant of the total transform: 1 keeps volume, 0.5 halves it, 0 or less folds space.",
        ),
        Row("Modality", _label(report), "Of the moving volume."),
        Row(
            "Initialization",
            report["prealignment"],
            "The initial transform: rigid is estimated, none takes the volumes as placed.",
        ),
        Row("Time", f"{sum(report['seconds'].values()):.1f} s", "Of all stages until this was shown."),
    ]


def summary_text(report: Mapping[str, Any]) -> str:
    """Return the doubt if there is one, the two sentences, the short table and the warnings, as lines of text."""
    doubt = doubt_of(report)
    rows = [(row.name, row.figure) for row in short_table(report)]
    rows += [("Warning", warning) for warning in report["warnings"]]
    return "\n".join([*([doubt] if doubt else []), *sentences(report), "", *(line(*row) for row in rows)])


def line(name: str, figure: str) -> str:
    """Return one line of a table in text."""
    return f"{name:<24}{figure}"


def place_text(place: Sequence[float], decimals: int = 0) -> str:
    """Return a position or shift (right, anterior, superior) in mm as Slicer writes it, such as "L 32, A 40, I 20"."""
    return ", ".join(f"{axis[value < 0]} {abs(value):.{decimals}f}" for axis, value in zip(AXES, place, strict=True))


def _label(report: Mapping[str, Any]) -> str:
    row = MODALITIES.get(report["modality"])
    return row.label if row is not None else report["modality"].upper()


def _moved(report: Mapping[str, Any]) -> str:
    label, kind, motion = _label(report), report["prealignment"], report.get("motion")
    if kind == "none":
        return f"The {label} was taken as it was placed"
    if motion is None:
        return f"The {label} was moved onto the MRI by {report['displacement']['mean']:.1f} mm on average"
    by = "by the given transform, " if kind == "given" else "by "
    return (
        f"The {label} was moved {by}{_length(motion['shift_mm']):.1f} mm and turned by "
        f"{_length(motion['turn_deg']):.1f} degrees onto the MRI"
    )


def _bent(network: Mapping[str, float]) -> str:
    if network["maximum"] == 0:
        return "; the network bent nothing"
    return f"; the network bent it by {network['mean']:.1f} mm on average and {network['maximum']:.1f} mm at most"


def _expected(report: Mapping[str, Any]) -> str:
    error = known_error(report)
    if error is None:
        is_unknown = report.get("expected_error") is None
        why = "is unknown for these weights" if is_unknown else "is not stated, because the result is doubtful"
        return f"The expected error {why}; compare the ventricles and the edge of the brain in the overlay."
    text = f"Expect an error of {_regions(error)}"
    if error.get("largest") is not None:
        text += (
            f"; the least certain place is the {error['largest_in']} of the head "
            f"({place_text(error['largest_at'])} mm), with {error['largest']:.1f} mm"
        )
    return f"{text}."


def _regions(error: Mapping[str, Any]) -> str:
    if error.get("brain") is None:
        return f"{error['head']:.1f} mm in the head"
    brain = f"{error['brain']:.1f} mm in the brain"
    if error.get("skull_base") is None:  # not in the MRI's field of view
        return brain
    return f"{brain} and {error['skull_base']:.1f} mm near the skull base"


def _motion_rows(motion: Mapping[str, Any] | None) -> list[Row]:
    if motion is None:
        return []
    shift, turn = motion["shift_mm"], motion["turn_deg"]
    degrees = [round(value, 1) + 0.0 for value in turn]  # 0.0 makes 0 of -0
    about = ", ".join(f"{name[0]} {value:.1f}" for name, value in zip(AXES, degrees, strict=True))
    return [
        Row(
            "Shift",
            f"{_length(shift):.1f} mm ({place_text(shift, decimals=1)})",
            "By the rigid transform, at the head's center: right or left, anterior or posterior, superior or inferior.",
        ),
        Row(
            "Rotation",
            f"{_length(turn):.1f} degrees ({about})",
            "By the rigid transform: its angle, and its parts about the axes right, anterior and superior, by the "
            "right-hand rule.",
        ),
    ]


def error_text(error: Mapping[str, Any]) -> str:
    """Return the figures of an expected error in one line."""
    names = ("head", "largest") if error.get("brain") is None else ("brain", "skull_base", "largest")
    known = [f"{name.replace('_', ' ')} {error[name]:.1f}" for name in names if error.get(name) is not None]
    return f"{', '.join(known)} mm"


def _error_rows(report: Mapping[str, Any]) -> list[Row]:
    if report.get("expected_error") is None:
        return []
    error = known_error(report)
    if error is None:
        meaning = "It holds only for a correct result. The details have the figure for that case."
        return [Row("Expected error", "not stated: the result is doubtful", meaning)]
    return [
        Row(
            "Expected error",
            error_text(error),
            "How far off the result is expected to be, from the evidence of all slices: means in the brain and near "
            "the skull base, and the largest value. Calibrated in the brain of simulated heads.",
        )
    ]


def _landmark_rows(landmarks: Mapping[str, float] | None) -> list[Row]:
    if landmarks is None:
        return []
    return [
        Row(
            f"Landmarks, {when}",
            f"mean {landmarks[f'mean_{when}']:.1f}, maximum {landmarks[f'largest_{when}']:.1f} mm",
            f"Distances of the same points on both volumes {when} registration.",
        )
        for when in ("before", "after")
    ]


def _length(vector: Sequence[float]) -> float:
    return float(sum(value**2 for value in vector) ** 0.5)
