"""Summarize a cohort, worst case first, as CSV and as a page with thumbnails."""

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from BSAFusionLib.cohort.cases import Case, LeftOut
from BSAFusionLib.files.atomic import written_whole
from BSAFusionLib.pipeline.summary import doubt_of, known_error, sentences

SUMMARY_NAMES = ("summary.csv", "summary.html")
COLUMNS = (
    "case",
    "modality",
    "state",
    "doubtful",
    "reasons",
    "summary",
    "shift_mm",
    "turn_deg",
    "expected_error_mm",
    "largest_expected_error_mm",
    "mutual_information_before",
    "mutual_information_prealigned",
    "mutual_information_after",
    "displacement_mm",
    "network_displacement_mm",
    "smallest_jacobian",
    "percent_folded",
    "seconds",
    "device",
    "warnings",
    "error",
    "folder",
)


@dataclass(frozen=True)
class Outcome:
    """A case with the content of its report.json, or with an error message; with neither it was not run."""

    case: Case
    report: dict[str, Any] | None = None
    error: str = ""

    @property
    def state(self) -> str:
        """Return "finished", "failed" or "not run"."""
        return "finished" if self.report else "failed" if self.error else "not run"

    @property
    def doubt(self) -> str:
        """Return "Doubtful: " and the reasons; "" where the result is not doubtful or failed."""
        return doubt_of(self.report) if self.report else ""


def worst_first(outcomes: list[Outcome]) -> list[Outcome]:
    """Sort doubtful cases first, then failed ones, then the others from the largest expected error downwards.

    Where the expected error is unknown, the final mutual information relative to the modality's median decides; these
    cases come before the others.
    """
    values = defaultdict(list)
    for outcome in outcomes:
        if outcome.report:
            values[outcome.case.pair.modality].append(outcome.report["mutual_information_after"])
    medians = {modality: statistics.median(figures) for modality, figures in values.items()}

    def sort_key(outcome: Outcome) -> tuple[bool, bool, float, float, str]:
        modality, report = outcome.case.pair.modality, outcome.report
        share = report["mutual_information_after"] / medians[modality] if report and medians[modality] else 0.0
        error = _largest_error(report) if report else None
        return not outcome.doubt, report is not None, -math.inf if error is None else -error, share, outcome.case.name

    return sorted(outcomes, key=sort_key)


def row(outcome: Outcome) -> dict[str, Any]:
    """Return the figures of a case by `COLUMNS`."""
    report, case = outcome.report, outcome.case
    figures: dict[str, Any] = {
        "case": "_".join(case.entities),
        "modality": case.pair.modality,
        "state": outcome.state,
        "warnings": case.remark,
        "error": outcome.error,
        "folder": str(case.folder),
    }
    if report is not None:
        figures |= {name: report[name] for name in COLUMNS if name in report and name not in ("seconds", "warnings")}
        figures |= {
            **_measured(report),
            "displacement_mm": report["displacement"]["mean"],
            "network_displacement_mm": report["network_displacement"]["mean"],
            "seconds": sum(report["seconds"].values()),
            "doubtful": bool(outcome.doubt),
            "reasons": " ".join((report.get("verdict") or {}).get("reasons", ())),
            "warnings": " ".join([*filter(None, [case.remark]), *report["warnings"]]),
        }
    return figures


def _measured(report: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a report, its motion and its expected error, by `COLUMNS`; "" for what is not known."""
    error, motion = known_error(report) or {}, report.get("motion") or {}
    means = [error[region] for region in ("brain", "head") if error.get(region) is not None]
    return {
        "summary": " ".join(sentences(report)),
        "shift_mm": math.hypot(*motion["shift_mm"]) if motion else "",
        "turn_deg": math.hypot(*motion["turn_deg"]) if motion else "",
        "expected_error_mm": means[0] if means else "",
        "largest_expected_error_mm": error.get("largest", ""),
    }


def _largest_error(report: dict[str, Any]) -> float | None:
    return (known_error(report) or {}).get("largest")


def write_summary(outcomes: list[Outcome], left_out: Sequence[LeftOut], folder: Path) -> None:
    """Write summary.csv and summary.html into the folder of a cohort's results, both or neither.

    Several jobs that share the folder may write at the same time: the last one stays, whole.
    """
    with written_whole(folder) as unfinished:
        outcomes = worst_first(outcomes)
        table_file, page_file = (unfinished / name for name in SUMMARY_NAMES)
        with table_file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(row(outcome) for outcome in outcomes)
            table.writerows({"case": item.name, "state": "left out", "error": item.reason} for item in left_out)
        page_file.write_text(_page(outcomes, left_out), encoding="utf-8", errors="backslashreplace")


def _page(outcomes: list[Outcome], left_out: Sequence[LeftOut]) -> str:
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_TEMPLATE)
    shown = [(outcome.case, row(outcome), outcome.report is not None) for outcome in outcomes]
    counts = {
        "doubtful": sum(bool(outcome.doubt) for outcome in outcomes),
        "failed": sum(outcome.state == "failed" for outcome in outcomes),
        "not_run": sum(outcome.state == "not run" for outcome in outcomes),
    }
    return template.render(rows=shown, left_out=left_out, **counts)


_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ rows|length }} cases</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 1em; color: #222; background: #fff; }
article { display: grid; grid-template-columns: 22em 1fr; gap: 1em; border-top: 1px solid #ccc; padding: 0.5em 0; }
h2 { font-size: 1em; margin: 0; overflow-wrap: anywhere; }
p { margin: 0.2em 0; }
.bad { color: #b0135a; }
img { width: 100%; max-width: 1000px; }
@media (max-width: 50em) { article { grid-template-columns: 1fr; } }
</style>
</head>
<body>
<h1>{{ rows|length }} cases, {{ doubtful }} doubtful, {{ failed }} failed{{ ", %d not run"|format(not_run) if not_run }}
{{- ", %d left out"|format(left_out|length) if left_out }}</h1>
<p>Doubtful cases first, then failed ones, then the others from the largest expected error downwards. For research use
only. Not for clinical use.</p>
{% for case, row, finished in rows %}
<article>
<div>
{% if finished %}
<h2><a href="{{ case.folder }}/{{ case.names.page }}">{{ case.name }}</a></h2>
{% if row.doubtful %}
<p class="bad"><strong>Doubtful:</strong> {{ row.reasons }}</p>
{% endif %}
<p>{{ row.summary }}</p>
<p class="bad">{{ row.warnings }}</p>
<details>
<summary>Details</summary>
<p>Mutual information in nats, which should rise: {{ "%.3f"|format(row.mutual_information_before) }} before,
{{ "%.3f"|format(row.mutual_information_prealigned) }} after initialization,
{{ "%.3f"|format(row.mutual_information_after) }} after registration</p>
<p>Displacement {{ "%.1f"|format(row.displacement_mm) }} mm on average,
by the network {{ "%.1f"|format(row.network_displacement_mm) }} mm</p>
<p>{{ "%.0f"|format(row.seconds) }} s on {{ row.device }}</p>
</details>
{% else %}
<h2>{{ case.name }}</h2>
<p class="bad">{{ row.error or "Not run." }}</p>
<p>{{ row.warnings }}</p>
{% endif %}
</div>
{% if finished %}
<img loading="lazy" alt="Fixed, moving, overlay before and after, deformation"
src="{{ case.folder }}/{{ case.names.preview }}">
{% endif %}
</article>
{% endfor %}
{% for item in left_out %}
<article>
<div>
<h2>{{ item.name }}</h2>
<p class="bad">Left out: {{ item.reason }}</p>
</div>
</article>
{% endfor %}
</body>
</html>
"""
