"""The report of a run as one HTML page that holds everything: figures, warnings, and the pictures people look at."""

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import field_from_transform, jacobian_determinant
from BSAFusionLib.pipeline.intensities import head_mask, luminance_weights, measure_intensities
from BSAFusionLib.pipeline.report import Report, rows
from BSAFusionLib.pipeline.result import Result
from BSAFusionLib.report.pictures import Pictures, Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

pixels_across = 220  # the head, in a picture
margin = 8.0  # mm around it
fields = 8  # of the checkerboard, along each axis
lines_mm = 10.0  # between the lines of the grid
most_lengths = 200_000  # that a histogram is counted from
normals = {"Axial": 2, "Coronal": 1, "Sagittal": 0}  # of each plane: the axis of LPS


def look(fixed: sitk.Image, moving: sitk.Image, result: Result) -> Pictures:
    """What the pictures of a result are drawn from; a few hundred kB, however large the volumes are."""
    head = head_mask(measure_intensities(fixed, "mri")[0].luminance(fixed))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(head)
    first, size = np.split(np.array(shape.GetBoundingBox(1)), 2)
    corners = np.array(np.meshgrid(*np.stack([first - 0.5, first + size - 0.5], axis=1))).reshape(3, -1).T
    points = np.array([head.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners.tolist()])
    lowest, highest = points.min(axis=0) - margin, points.max(axis=0) + margin
    planes = [
        _plane(name, axis, _slab(lowest, highest, shape.GetCentroid(1), axis), fixed, moving, result)
        for name, axis in normals.items()
    ]
    step = max(1, round((np.prod(size) / most_lengths) ** (1 / 3)))
    some = head[::step, ::step, ::step]
    inside = sitk.GetArrayFromImage(some) > 0
    lengths = [
        np.linalg.norm(sitk.GetArrayFromImage(field)[inside], axis=-1)
        for field in (field_from_transform(result.transform(), some), sitk.Resample(result.network_field, some))
    ]
    return Pictures(tuple(planes), *lengths)


def page(pictures: Pictures, report: Report, title: str) -> str:
    """The page, which needs no other file and no network."""
    from jinja2 import Environment  # as matplotlib below: here, since only who wants the page waits for them

    planes = pictures.planes
    fixed_range, moving_range = (_range(planes, names) for names in (("fixed",), ("before", "after")))
    edges = _edges(planes)

    def board(when: str) -> Callable[["Axes", Plane], None]:
        return lambda axes, plane: _draw(
            axes, plane, _checkerboard(_shown(plane.fixed, fixed_range), _shown(getattr(plane, when), moving_range))
        )

    def outline(when: str) -> Callable[["Axes", Plane], None]:
        def draw(axes: "Axes", plane: Plane) -> None:
            _draw(axes, plane, _shown(plane.fixed, fixed_range))
            axes.contour(_smooth(getattr(plane, when)), levels=edges, colors=["#ffb000", "#fe6100"], linewidths=0.9)

        return draw

    drawn = [
        ("Checkerboard of both volumes, before", _three(planes, board("before"))),
        ("Checkerboard of both volumes, after", _three(planes, board("after"))),
        ("Edges of the moving volume on the fixed one, before", _three(planes, outline("before"))),
        ("Edges of the moving volume on the fixed one, after", _three(planes, outline("after"))),
        (f"The network's deformation: a grid of {lines_mm:g} mm, over its length in mm", _grid(planes)),
        ("Jacobian determinant: what grows is red, what shrinks blue; black lines surround folds", _jacobian(planes)),
        ("Displacement inside the head", _histogram(pictures)),
    ]
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_template)
    return template.render(title=title, warnings=report.warnings, rows=rows(report.as_dict()), pictures=drawn)


def _slab(lowest: np.ndarray, highest: np.ndarray, centre: tuple[float, float, float], axis: int) -> sitk.Image:
    """An empty grid three voxels thick, along the axes of LPS, about a plane through the centre."""
    spacing = float(max(highest - lowest)) / pixels_across
    size, origin = np.ceil((highest - lowest) / spacing).astype(int), lowest.copy()
    size[axis], origin[axis] = 3, centre[axis] - spacing
    slab = sitk.Image(size.tolist(), sitk.sitkUInt8)
    slab.SetSpacing([spacing] * 3)
    slab.SetOrigin(origin.tolist())
    return slab


def _plane(name: str, axis: int, slab: sitk.Image, fixed: sitk.Image, moving: sitk.Image, result: Result) -> Plane:
    def middle(image: sitk.Image) -> np.ndarray:
        return np.take(sitk.GetArrayFromImage(image), 1, axis=2 - axis)

    def values(image: sitk.Image, transform: sitk.Transform) -> np.ndarray:
        colour = image.GetNumberOfComponentsPerPixel() > 1
        kind = sitk.sitkVectorFloat32 if colour else sitk.sitkFloat32
        seen = middle(sitk.Resample(image, slab, transform, sitk.sitkLinear, float("nan"), kind))
        return seen @ luminance_weights if colour else seen

    unmoved = sitk.Transform(3, sitk.sitkIdentity)
    total = result.transform()
    network = middle(sitk.Resample(result.network_field, slab))
    at = middle(sitk.PhysicalPointSource(sitk.sitkVectorFloat64, slab.GetSize(), slab.GetOrigin(), slab.GetSpacing()))
    across = [other for other in range(3) if other != axis]  # of the columns, and of the rows
    return Plane(
        name,
        values(fixed, unmoved),
        values(moving, unmoved),
        values(moving, total),
        np.moveaxis((at + network)[..., across], -1, 0),
        np.linalg.norm(network, axis=-1),
        middle(jacobian_determinant(field_from_transform(total, slab))),
    )


def _range(planes: tuple[Plane, ...], names: tuple[str, ...]) -> tuple[float, float]:
    """The values to show as black and white."""
    values = np.concatenate([getattr(plane, name).ravel() for plane in planes for name in names])
    low, high = np.nanpercentile(values, (1, 99.5))
    return float(low), float(max(high, low + 1e-9))


def _shown(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    low, high = limits
    return np.nan_to_num(np.clip((values - low) / (high - low), 0, 1))


def _checkerboard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    images = [sitk.GetImageFromArray(values) for values in (first, second)]
    return sitk.GetArrayFromImage(sitk.CheckerBoard(*images, (fields, fields)))


def _smooth(values: np.ndarray) -> np.ndarray:
    lowest = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    image = sitk.GetImageFromArray(np.nan_to_num(values, nan=lowest))
    return sitk.GetArrayFromImage(sitk.DiscreteGaussian(image, [1.0, 1.0]))


def _edges(planes: tuple[Plane, ...]) -> list[float]:
    """The values that part the moving volume into background, dark and bright, by Otsu's method."""
    values = np.concatenate([plane.before[np.isfinite(plane.before)] for plane in planes])
    otsu = sitk.OtsuMultipleThresholdsImageFilter()
    otsu.SetNumberOfThresholds(2)
    otsu.Execute(sitk.GetImageFromArray(values[None]))
    return sorted(otsu.GetThresholds())


def _draw(axes: "Axes", plane: Plane, values: np.ndarray, **how: Any) -> Any:
    """An array of a plane the usual way up: the head, or in an axial plane the face, upwards; right at the left."""
    drawn = axes.imshow(values, **{"cmap": "gray", "vmin": 0, "vmax": 1, "origin": "lower", **how})
    if plane.name == "Axial":
        axes.invert_yaxis()
    axes.set_axis_off()
    return drawn


def _three(planes: tuple[Plane, ...], draw: Callable[["Axes", Plane], Any], bar: bool = False) -> str:
    """The three planes beside each other, each drawn by draw(axes, plane), with a bar of colours if asked for."""
    from matplotlib.figure import Figure

    widths = [plane.fixed.shape[1] for plane in planes]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    all_axes = figure.subplots(1, 3, width_ratios=widths)
    for axes, plane in zip(all_axes, planes, strict=True):
        drawn = draw(axes, plane)
        axes.set_title(plane.name, fontsize=9)
    if bar:
        figure.colorbar(drawn, ax=all_axes, shrink=0.8)
    return _png(figure)


def _grid(planes: tuple[Plane, ...]) -> str:
    longest = max(1.0, *(float(plane.network_mm.max()) for plane in planes))

    def draw(axes: "Axes", plane: Plane) -> Any:
        drawn = _draw(axes, plane, plane.network_mm, cmap="viridis", vmax=longest)
        for places in plane.coordinates:
            first, last = np.floor(places.min() / lines_mm), np.ceil(places.max() / lines_mm)
            levels = lines_mm * np.arange(first, last + 1)
            axes.contour(places, levels=levels, colors="white", linewidths=0.6, linestyles="solid")
        return drawn

    return _three(planes, draw, bar=True)


def _jacobian(planes: tuple[Plane, ...]) -> str:
    furthest = max(float(np.abs(plane.determinant - 1).max()) for plane in planes)
    reach = min(1.0, max(0.1, furthest))

    def draw(axes: "Axes", plane: Plane) -> Any:
        drawn = _draw(axes, plane, plane.determinant, cmap="RdBu_r", vmin=1 - reach, vmax=1 + reach)
        if plane.determinant.min() <= 0:
            axes.contour(plane.determinant, levels=[0.0], colors="black", linewidths=1)
        return drawn

    return _three(planes, draw, bar=True)


def _histogram(pictures: Pictures) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6), layout="constrained")
    whole, part = figure.subplots(1, 2)
    for axes, lengths, name in (
        (whole, pictures.total_mm, "in total"),
        (part, pictures.network_mm, "by the network"),
    ):
        axes.hist(lengths, bins=40, weights=np.full(len(lengths), 100 / len(lengths)), color="#648fff")
        axes.set_xlabel(f"displacement {name}, mm", fontsize=9)
        axes.set_ylabel("% of the head", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _png(figure: "Figure") -> str:
    """A figure as a PNG, in base64."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100)
    return base64.b64encode(written.getvalue()).decode("ascii")


_template = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.4 sans-serif; max-width: 1280px; margin: 1em auto; padding: 0 1em; color: #222; background: #fff; }
h1 { margin-bottom: 0; }
.warnings { border-left: 4px solid #dc267f; padding: 0.2em 1em; background: #fdf0f6; }
th { text-align: left; font-weight: normal; color: #555; padding-right: 2em; vertical-align: top; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr)); gap: 1em; }
figure { margin: 0; }
figcaption { font-size: 13px; color: #555; }
img { width: 100%; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>For research use only. Not for clinical use.</p>
{% if warnings %}
<ul class="warnings">
{% for warning in warnings %}
<li>{{ warning }}</li>
{% endfor %}
</ul>
{% endif %}
<table>
{% for name, figure in rows %}
<tr><th>{{ name }}</th><td>{{ figure }}</td></tr>
{% endfor %}
</table>
<div class="pictures">
{% for caption, png in pictures %}
<figure><figcaption>{{ caption }}</figcaption><img alt="{{ caption }}" src="data:image/png;base64,{{ png }}"></figure>
{% endfor %}
</div>
</body>
</html>
"""
