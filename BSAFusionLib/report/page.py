"""The report of a run as one HTML page that needs no other file and no network."""

import base64

from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.report import Report
from BSAFusionLib.pipeline.summary import doubt_of, sentences, short_table
from BSAFusionLib.report.figures import GRID_LINES_MM, Drawing
from BSAFusionLib.report.pictures import Pictures
from BSAFusionLib.report.table import detail_rows


def page(pictures: Pictures, report: Report, title: str) -> str:
    """Return a report as an HTML page with its pictures.

    Args:
        pictures: What the pictures are drawn from, of the same run.
        report: The verdict, figures and warnings of a run.
        title: Heading of the page.
    """
    from jinja2 import Environment  # here, since only who wants the page waits for it

    drawing = Drawing(pictures)
    label = MODALITIES[report.modality].label
    figures = {
        f"{label} over the MRI, before": drawing.overlay("before"),
        f"{label} over the MRI, after": drawing.overlay("after"),
        "Checkerboard of both volumes, before": drawing.checkerboard("before"),
        "Checkerboard of both volumes, after": drawing.checkerboard("after"),
        "Edges of the moving volume on the fixed one, before": drawing.edges("before"),
        "Edges of the moving volume on the fixed one, after": drawing.edges("after"),
        f"The network's deformation: a grid of {GRID_LINES_MM:g} mm, over its length in mm": drawing.grid(),
        "Jacobian determinant: red where it expands, blue where it shrinks; black lines surround folds": (
            drawing.jacobian()
        ),
        "Displacement inside the head": drawing.displacements(),
    }
    if report.expected_error is not None:
        figures["Expected length of the error in mm, over the MRI"] = drawing.expected_error()
    content = report.as_dict()
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_TEMPLATE)
    return template.render(
        title=title,
        doubt=doubt_of(content),
        sentences=sentences(content),
        warnings=report.warnings,
        rows=short_table(content),
        details=detail_rows(content),
        pictures=[(caption, base64.b64encode(png).decode("ascii")) for caption, png in figures.items()],
    )


_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.4 sans-serif; max-width: 1280px; margin: 1em auto; padding: 0 1em; color: #222; background: #fff; }
h1 { margin-bottom: 0; }
.doubt { border: 2px solid #dc267f; padding: 0.5em 1em; background: #fdf0f6; font-weight: bold; }
.warnings { border-left: 4px solid #dc267f; padding: 0.2em 1em; background: #fdf0f6; }
th { text-align: left; font-weight: normal; color: #555; padding-right: 2em; vertical-align: top; }
.summary { font-size: 17px; margin: 0.5em 0; }
.meaning { color: #555; font-size: 13px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr)); gap: 1em; }
figure { margin: 0; }
figcaption { font-size: 13px; color: #555; }
img { width: 100%; }
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
<p>For research use only. Not for clinical use.</p>
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
<details>
<summary>Details</summary>
<table>
{% for name, figure, meaning in details %}
<tr><th>{{ name }}</th><td>{{ figure }}</td><td class="meaning">{{ meaning }}</td></tr>
{% endfor %}
</table>
</details>
<div class="pictures">
{% for caption, png in pictures %}
<figure><figcaption>{{ caption }}</figcaption><img alt="{{ caption }}" src="data:image/png;base64,{{ png }}"></figure>
{% endfor %}
</div>
</body>
</html>
"""
