"""The pictures of a report, drawn by matplotlib from sampled planes; PNG as bytes."""

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.report.overlay import OverlayWindow, blend, colors_at
from BSAFusionLib.report.pictures import Pictures, Plane

if TYPE_CHECKING:  # imported where figures are made, since it takes a second
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

CHECKERS = 8  # along each axis
GRID_LINES_MM = 10.0
TILE_INCHES = 4.0  # at 100 dots an inch
FIGURE_INCHES, TITLE_INCHES = 9.0, 0.3
PNG_LEVEL = 1  # of 9; takes a third of the time of the usual 6 for 12 % more bytes
WHEN = ("before", "after")
SHADES = 256  # of a color map
# Readable on any ground, in the map's darkest and lightest colors.
LETTER_STYLE: dict[str, Any] = {
    "color": "white",
    "fontsize": 10,
    "bbox": {"facecolor": "black", "alpha": 0.5, "edgecolor": "none", "pad": 1.5},
}
GAP_PX = 4.0  # between planes
EDGE_COLORS = "#ffb000", "#fe6100"  # of the lower and the higher threshold


class Tile(NamedTuple):
    """The place of one plane among others in the same axes, whose unit is a pixel of the planes.

    One `Axes` a plane would take half of the figure's time.

    Attributes:
        axes: Where it is drawn.
        plane: Its name says which way up it is shown.
        left: Of its first column.
        bottom: Of its lowest row.
    """

    axes: "Axes"
    plane: Plane
    left: float
    bottom: float

    def show(self, values: np.ndarray, **how: Any) -> Any:
        """Show an array of the plane the radiological way: superior, or the face, at the top; right at the left."""
        height, width = values.shape[:2]
        extent = (self.left, self.left + width, self.bottom, self.bottom + height)
        window = {} if "norm" in how else {"vmin": 0, "vmax": 1}
        return self.axes.imshow(self._upright(values), **{"cmap": "gray", "extent": extent, **window, **how})

    def contour(self, values: np.ndarray, **how: Any) -> None:
        """Draw contours of an array of the plane."""
        height, width = values.shape
        columns, rows = self.left + 0.5 + np.arange(width), self.bottom + height - 0.5 - np.arange(height)
        self.axes.contour(columns, rows, self._upright(values), **how)

    def letters(self) -> None:
        """Write the directions of the patient that the left and right edges lie in."""
        height, width = self.plane.fixed.shape
        left, right = ("A", "P") if self.plane.name == "Sagittal" else ("R", "L")
        for letter, at, side in ((left, 0.02, "left"), (right, 0.98, "right")):
            place = self.left + at * width, self.bottom + 0.5 * height
            self.axes.text(*place, letter, **LETTER_STYLE, ha=side, va="center")

    def _upright(self, values: np.ndarray) -> np.ndarray:
        """Return an array whose first row is at the top."""
        return values if self.plane.name == "Axial" else values[::-1]


Draw = Callable[[Tile], Any]


class Drawing:
    """Draws the planes of a result, all with the same gray windows.

    Args:
        pictures: The planes and displacements of a result.
    """

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self._fixed_window = _window(pictures.planes, "fixed")
        self._moving_window = _window(pictures.planes, "before", "after")

    def overlay(self) -> bytes:
        """Draw the moving volume in colors over the fixed one, before and after, with a color bar."""
        colors = _colors(self.pictures.overlay)

        def draw(when: str) -> Draw:
            def draw_plane(tile: Tile) -> Any:
                tile.show(self._overlay(tile.plane, when))
                return colors

            return draw_plane

        return self._rows({when: draw(when) for when in WHEN}, bar=self.pictures.overlay.unit)

    def registered(self, in_color: bool) -> bytes:
        """Draw the fixed volume, and below it the moving one before and after, with a color bar.

        Args:
            in_color: Whether the moving volume is shown in the overlay's colors and window, otherwise in gray.
        """
        window = self.pictures.overlay
        low, high = (window.low, window.high) if in_color else self._moving_window
        colors = _colors(window).cmap if in_color else "gray"

        def draw(when: str) -> Draw:
            def draw_plane(tile: Tile) -> Any:
                values = np.nan_to_num(getattr(tile.plane, when), nan=low)
                return tile.show(values, cmap=colors, vmin=low, vmax=high)

            return draw_plane

        def draw_fixed(tile: Tile) -> None:
            tile.show(self._fixed(tile.plane))

        return self._rows({"MRI": draw_fixed, **{when: draw(when) for when in WHEN}}, bar=window.unit)

    def fused(self) -> bytes:
        """Draw the network's fused volume."""

        def draw(tile: Tile) -> None:
            tile.show(np.nan_to_num(tile.plane.fused))

        return self._rows({"": draw})

    def checkerboard(self) -> bytes:
        """Draw both volumes in turns, before and after."""

        def draw(when: str) -> Draw:
            def draw_plane(tile: Tile) -> None:
                grays = self._fixed(tile.plane), self._moving(tile.plane, when)
                images = [sitk.GetImageFromArray(gray) for gray in grays]
                tile.show(sitk.GetArrayFromImage(sitk.CheckerBoard(*images, (CHECKERS, CHECKERS))))

            return draw_plane

        return self._rows({when: draw(when) for when in WHEN})

    def edges(self) -> bytes:
        """Draw the fixed volume under the outlines of the moving one, before and after."""
        levels = _otsu_thresholds(self.pictures.planes)

        def draw(when: str) -> Draw:
            def draw_plane(tile: Tile) -> None:
                tile.show(self._fixed(tile.plane))
                smooth = _smoothed(getattr(tile.plane, when))
                shown = [level for level in levels if smooth.min() < level < smooth.max()]
                if shown:  # matplotlib rejects or warns of contours that are nowhere
                    colors = [EDGE_COLORS[levels.index(level)] for level in shown]
                    tile.contour(smooth, levels=shown, colors=colors, linewidths=0.9)

            return draw_plane

        return self._rows({when: draw(when) for when in WHEN})

    def grid(self) -> bytes:
        """Draw the network's deformation as a warped grid over its length in mm."""
        longest = max(1.0, *(float(plane.network_mm.max()) for plane in self.pictures.planes))

        def draw(tile: Tile) -> Any:
            drawn = tile.show(tile.plane.network_mm, cmap="viridis", vmax=longest)
            _grid_lines(tile)
            return drawn

        return self._rows({"": draw}, bar="mm")

    def jacobian(self) -> bytes:
        """Draw the Jacobian determinant of the total transform, folds outlined in black."""
        furthest = max(float(np.abs(plane.determinant - 1).max()) for plane in self.pictures.planes)
        reach = min(1.0, max(0.1, furthest))

        def draw(tile: Tile) -> Any:
            determinant = tile.plane.determinant
            drawn = tile.show(determinant, cmap="RdBu_r", vmin=1 - reach, vmax=1 + reach)
            if determinant.min() <= 0:
                tile.contour(determinant, levels=[0.0], colors="black", linewidths=1)
            return drawn

        return self._rows({"": draw}, bar="determinant")

    def expected_error(self) -> bytes:
        """Draw the expected length of the error over the fixed volume, with a color bar in mm."""
        colors = _colors(self.pictures.error_window())

        def draw(tile: Tile) -> Any:
            tile.show(self._fixed(tile.plane))
            tile.show(tile.plane.expected_error_mm, cmap=colors.cmap, norm=colors.norm, alpha=0.6)
            return colors

        return self._rows({"": draw}, bar="mm")

    def displacements(self) -> bytes:
        """Draw histograms of the displacements inside the head."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 2.6))
        total, network = figure.subplots(1, 2)
        # The same for all, since to lay it out by what is written there takes twice the time.
        figure.subplots_adjust(left=0.08, right=0.98, bottom=0.2, top=0.96, wspace=0.2)
        for axes, lengths, name in (
            (total, self.pictures.total_mm, "in total"),
            (network, self.pictures.network_mm, "by the network"),
        ):
            axes.hist(lengths, bins=40, weights=np.full(len(lengths), 100 / len(lengths)), color="#648fff")
            axes.set_xlabel(f"displacement {name}, mm", fontsize=9)
            axes.set_ylabel("% of the head", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
        return _png(figure)

    def preview(self, doubtful: bool = False) -> bytes:
        """Draw the axial plane five times: fixed, moving, overlay before and after, and the deformation as a grid.

        Args:
            doubtful: Say so beside the overlay after registration.
        """
        from matplotlib.figure import Figure

        plane = self.pictures.planes[0]
        tiles = {
            "Fixed": self._fixed(plane),
            "Moving": self._moving(plane, "before"),
            "Overlay, before": self._overlay(plane, "before"),
            "Overlay, after: doubtful" if doubtful else "Overlay, after": self._overlay(plane, "after"),
            "Deformation": self._fixed(plane),
        }
        height, width = plane.fixed.shape
        figure = Figure(figsize=(TILE_INCHES * len(tiles), TILE_INCHES))
        axes = _one_axes(figure, (0, 0, 1, 1), len(tiles) * (width + GAP_PX) - GAP_PX, height)
        for number, (name, image) in enumerate(tiles.items()):
            tile = Tile(axes, plane, number * (width + GAP_PX), 0)
            tile.show(image)
            place = tile.left + 0.03 * width, 0.97 * height
            axes.text(*place, name, color="white", fontsize=14, va="top")
        _grid_lines(tile, color="#ffd800")
        return _png(figure, facecolor="black")

    def _fixed(self, plane: Plane) -> np.ndarray:
        return _in_window(plane.fixed, self._fixed_window)

    def _moving(self, plane: Plane, when: str) -> np.ndarray:
        return _in_window(getattr(plane, when), self._moving_window)

    def _overlay(self, plane: Plane, when: str) -> np.ndarray:
        return blend(self._fixed(plane), getattr(plane, when), self.pictures.overlay)

    def _rows(self, draws: Mapping[str, Draw], bar: str | None = None) -> bytes:
        """Draw rows of the three planes, each with its name, and a color bar of that unit if one is given."""
        from matplotlib.figure import Figure

        planes = self.pictures.planes
        widths = [plane.fixed.shape[1] for plane in planes]
        lefts = np.cumsum([0, *widths[:-1]]) + GAP_PX * np.arange(len(planes))
        tallest = max(plane.fixed.shape[0] for plane in planes)
        wide, high = lefts[-1] + widths[-1], len(draws) * (tallest + GAP_PX) - GAP_PX
        left, right = 0.04, 0.88
        pictures_inches = FIGURE_INCHES * (right - left) * high / wide
        figure = Figure(figsize=(FIGURE_INCHES, pictures_inches + TITLE_INCHES))
        top = pictures_inches / (pictures_inches + TITLE_INCHES)
        axes = _one_axes(figure, (left, 0, right - left, top), wide, high)
        for number, (name, draw) in enumerate(draws.items()):
            bottom = high - tallest - number * (tallest + GAP_PX)
            for plane, at in zip(planes, lefts.tolist(), strict=True):
                tile = Tile(axes, plane, at, bottom + (tallest - plane.fixed.shape[0]) / 2)
                drawn = draw(tile)
                tile.letters()
            middle = bottom + tallest / 2
            axes.text(-0.01 * wide, middle, name, fontsize=10, rotation=90, ha="right", va="center")
        for plane, at, width in zip(planes, lefts, widths, strict=True):
            axes.text(at + width / 2, high + GAP_PX, plane.name, fontsize=10, ha="center", va="bottom")
        if bar is not None:
            figure.colorbar(drawn, cax=figure.add_axes((right + 0.015, 0.1 * top, 0.015, 0.8 * top)), label=bar)
        return _png(figure)


def _one_axes(figure: "Figure", place: tuple[float, float, float, float], width: float, height: float) -> "Axes":
    """Add axes without a frame whose unit is a pixel."""
    axes = figure.add_axes(place, xlim=(0, width), ylim=(0, height), aspect="equal", autoscale_on=False)
    axes.set_axis_off()
    return axes


def _colors(window: OverlayWindow) -> "ScalarMappable":
    """Return the colors of a window."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colors = ListedColormap(colors_at(np.linspace(0, 1, SHADES), window.color_map))
    return ScalarMappable(Normalize(window.low, window.high), colors)


def _window(planes: tuple[Plane, ...], *names: str) -> tuple[float, float]:
    """Return the values to show as black and as white: robust percentiles of arrays of all planes."""
    values = _finite(planes, *names)
    low, high = np.percentile(values, (1, 99.5)) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-9 * max(1.0, abs(low))))


def _in_window(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    low, high = window
    return np.nan_to_num(np.clip((values - low) / (high - low), 0, 1))


def _smoothed(values: np.ndarray) -> np.ndarray:
    lowest = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    image = sitk.GetImageFromArray(np.nan_to_num(values, nan=lowest))
    return sitk.GetArrayFromImage(sitk.DiscreteGaussian(image, [1.0, 1.0]))


def _finite(planes: tuple[Plane, ...], *names: str) -> np.ndarray:
    """Return the finite values of arrays of all planes, as one row."""
    values = np.concatenate([getattr(plane, name).ravel() for plane in planes for name in names])
    return values[np.isfinite(values)]


def _otsu_thresholds(planes: tuple[Plane, ...]) -> list[float]:
    """Return the values that separate background, dark and bright parts of the moving volume, rising.

    They are those before registration or, where the planes show one value or none of it there, those after; an empty
    list where these show no more.
    """
    for name in WHEN:
        values = _finite(planes, name)
        if values.size and values.min() < values.max():
            otsu = sitk.OtsuMultipleThresholdsImageFilter()
            otsu.SetNumberOfThresholds(2)
            otsu.Execute(sitk.GetImageFromArray(values[None]))
            return sorted(set(otsu.GetThresholds()))
    return []


def _grid_lines(tile: Tile, color: str = "white") -> None:
    for coordinates in tile.plane.coordinates:
        first, last = np.floor(coordinates.min() / GRID_LINES_MM), np.ceil(coordinates.max() / GRID_LINES_MM)
        levels = GRID_LINES_MM * np.arange(first, last + 1)
        tile.contour(coordinates, levels=levels, colors=color, linewidths=0.6, linestyles="solid")


def _png(figure: "Figure", **how: Any) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100, pil_kwargs={"compress_level": PNG_LEVEL}, **how)
    return written.getvalue()
