"""The report of a run as one HTML page that needs no other file and no network, and prints on two pages."""

import base64
from collections.abc import Mapping

from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.report import Report
from BSAFusionLib.pipeline.summary import doubt_of, error_if_right, known_error, sentences, short_table
from BSAFusionLib.report.figures import GRID_LINES_MM, Drawing
from BSAFusionLib.report.pictures import Pictures
from BSAFusionLib.report.record import CITATIONS, Record
from BSAFusionLib.report.table import detail_rows

ERROR_CAPTION = "Expected length of the error in mm, over the MRI; its colors begin at the smallest"


def page(pictures: Pictures, report: Report, title: str, record: Record) -> str:
    """Return a report as an HTML page with its pictures; bytes of file names that are no UTF-8 are escaped.

    Args:
        pictures: What the pictures are drawn from, of the same run.
        report: The verdict, figures and warnings of a run.
        title: Heading of the page.
        record: Where the result comes from.
    """
    from jinja2 import Environment  # here, since only who wants the page waits for it

    drawing, content = Drawing(pictures), report.as_dict()
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_TEMPLATE)
    text = template.render(
        title=title,
        doubt=doubt_of(content),
        sentences=sentences(content),
        warnings=report.warnings,
        rows=short_table(content),
        details=detail_rows(content),
        overviews=_encoded(_overviews(drawing, report)),
        pictures=_encoded(_network_pictures(drawing, report)),
        further=_encoded(_further_pictures(drawing, report)),
        scans={"MRI": record.fixed.texts(), MODALITIES[report.modality].label: record.moving.texts()},
        record=record,
        settings=", ".join(f"{name.replace('_', ' ')} {value}" for name, value in record.settings.items()),
        citations=CITATIONS,
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _overviews(drawing: Drawing, report: Report) -> dict[str, bytes]:
    """Draw what everybody looks at, by caption: the volumes over and beside each other, and the expected error."""
    row = MODALITIES[report.modality]
    pictures = {
        f"{row.label} over the MRI, before and after registration": drawing.overlay(),
        f"The MRI, and the {row.label} before and after registration": drawing.registered(row.in_color),
    }
    if known_error(report.as_dict()) is not None:
        pictures[ERROR_CAPTION] = drawing.expected_error()
    return pictures


def _network_pictures(drawing: Drawing, report: Report) -> dict[str, bytes]:
    """Draw what the network made, by caption."""
    row = MODALITIES[report.modality]
    how_to_read = f". Its brightness is mostly the MRI's: read the {row.label} from the overlay" if row.in_color else ""
    return {
        f"The network's deformation: a grid of {GRID_LINES_MM:g} mm, over its length in mm": drawing.grid(),
        f"BSAFusion fused, the network's picture of both{how_to_read}": drawing.fused(),
    }


def _further_pictures(drawing: Drawing, report: Report) -> dict[str, bytes]:
    """Draw what those look at who open the details, by caption."""
    if_right = {}
    if error_if_right(report.as_dict()) is not None:
        if_right[f"{ERROR_CAPTION}; only if the result is right in spite of the doubt"] = drawing.expected_error()
    return {
        **if_right,
        "Checkerboard of both volumes, before and after registration": drawing.checkerboard(),
        "Edges of the moving volume on the fixed one, before and after registration": drawing.edges(),
        "Jacobian determinant: red where it expands, blue where it shrinks; black lines surround folds": (
            drawing.jacobian()
        ),
        "Displacement inside the head": drawing.displacements(),
    }


def _encoded(pictures: Mapping[str, bytes]) -> list[tuple[str, str]]:
    return [(caption, base64.b64encode(png).decode("ascii")) for caption, png in pictures.items()]


_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
{% macro figures(list) %}
<div class="pictures">
{% for caption, png in list %}
<figure><figcaption>{{ caption }}</figcaption><img alt="{{ caption }}" src="data:image/png;base64,{{ png }}"></figure>
{% endfor %}
</div>
{% endmacro %}
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.4 sans-serif; max-width: 1280px; margin: 1em auto; padding: 0 1em; color: #222; background: #fff; }
h1 { margin-bottom: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 1em 0 0.3em; }
p { margin: 0.4em 0; }
.doubt { border: 2px solid #dc267f; padding: 0.5em 1em; background: #fdf0f6; font-weight: bold; }
.summary { font-size: 17px; }
.warnings { border-left: 4px solid #dc267f; padding: 0.2em 1em 0.2em 2em; background: #fdf0f6; }
table { border-collapse: collapse; }
th, td { text-align: left; padding-right: 1.5em; vertical-align: top; }
th { font-weight: normal; color: #555; white-space: nowrap; }
td { overflow-wrap: anywhere; }
.meaning, figcaption, .small { color: #555; font-size: 13px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr)); gap: 1em; }
figure { margin: 0; break-inside: avoid; }
.overviews figure:nth-child(2) { grid-row: span 2; }
img { width: 100%; }
code { font-size: 13px; overflow-wrap: anywhere; }
summary { font-size: 17px; margin: 1em 0 0.3em; cursor: pointer; }
@page { size: A4; margin: 11mm; }
@media print {
body { font-size: 12px; max-width: none; margin: 0; padding: 0; }
h1 { font-size: 19px; }
h2, .summary { font-size: 13px; }
.meaning, figcaption, .small, code { font-size: 10px; }
.pictures { grid-template-columns: 1fr 1fr; gap: 0.5em; }
.second { break-before: page; }
details:not([open]) { display: none; }
}
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if doubt %}
<p class="doubt">{{ doubt }}</p>
{% endif %}
{% for sentence in sentences %}
<p class="summary">{{ sentence }}</p>
{% endfor %}
<p class="small">For research use only. Not for clinical use.</p>
{% if warnings %}
<ul class="warnings">
{% for warning in warnings %}
<li>{{ warning }}</li>
{% endfor %}
</ul>
{% endif %}
<table>
{% for name, figure, meaning in rows %}
<tr title="{{ meaning }}"><th>{{ name }}</th><td>{{ figure }}</td></tr>
{% endfor %}
</table>
<div class="overviews">
{{ figures(overviews) }}
</div>
<div class="second">
{{ figures(pictures) }}
<h2>Volumes</h2>
<table>
<tr><th></th><th>file</th><th>voxels</th><th>voxel size</th><th>unit</th></tr>
{% for role, (name, size, spacing, unit) in scans.items() %}
<tr><th>{{ role }}</th><td>{{ name }}</td><td>{{ size }}</td><td>{{ spacing }}</td><td>{{ unit }}</td></tr>
{% endfor %}
</table>
<h2>Run</h2>
<table>
<tr><th>Program</th><td>BSAFusion {{ record.version }}</td></tr>
<tr><th>Date</th><td>{{ record.date }}</td></tr>
<tr><th>Command</th><td><code>{{ record.command }}</code></td></tr>
<tr><th>Settings</th><td class="small">{{ settings }}</td></tr>
</table>
<h2>To cite</h2>
{% for citation in citations %}
<p class="small">{{ citation }}</p>
{% endfor %}
</div>
<details>
<summary>Details</summary>
<table>
{% for name, figure, meaning in details %}
<tr><th>{{ name }}</th><td>{{ figure }}</td><td class="meaning">{{ meaning }}</td></tr>
{% endfor %}
</table>
{{ figures(further) }}
</details>
</body>
</html>
"""
