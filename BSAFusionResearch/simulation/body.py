"""Continues a head that is cut below: a neck, and a torso with the organs that scans of a whole body show."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_fill_holes, distance_transform_edt, map_coordinates

from BSAFusionResearch.simulation.tissues import CODES

NECK_MM = 60.0
"""The length of neck that every head is continued by, so that a tilted field of view does not end in air."""

TORSO_SPACING_MM = 3.0
SKIN_MM = 3.0
# Distances below the cut (mm) between which one outline becomes the next.
CUT_TO_NECK = (0.0, 40.0)
NECK_TO_TORSO = (70.0, 140.0)
TORSO_TO_LEGS = (650.0, 750.0)


@dataclass(frozen=True)
class Body:
    """Where a body continues a head.

    cut_mm: the height (z) at which the labels end.
    spine: (x, y) of the spinal cord there, mm, LPS.
    scale: the head's width as a fraction of a usual one; the neck and torso are as large.
    outline: the signed distance (mm, negative inside) to the head's outline at the cut, (row, column).
    outline_origin, outline_spacing: of that array, (x, y), mm.
    """

    cut_mm: float
    spine: tuple[float, float]
    scale: float
    outline: np.ndarray
    outline_origin: tuple[float, float]
    outline_spacing: tuple[float, float]

    @classmethod
    def below(cls, labels: sitk.Image) -> "Body":
        """Find where the body has to continue a label map on an upright LPS grid."""
        values = sitk.GetArrayViewFromImage(labels)
        spacing, origin = labels.GetSpacing(), labels.GetOrigin()
        lowest = int(np.flatnonzero(values.any(axis=(1, 2)))[0])
        slices = values[lowest : lowest + max(1, round(3 / spacing[2]))]
        inside = binary_fill_holes(slices.any(axis=0))
        outline = _signed_distance(inside, spacing[1::-1])
        rows, columns = np.nonzero(inside)
        for code in ("spinal cord", "brain stem"):
            levels, found_rows, found_columns = np.nonzero(values == CODES[code])
            if len(levels):
                near = levels <= levels.min() + 5 / spacing[2]
                rows, columns = found_rows[near], found_columns[near]
                break
        width = np.ptp(np.flatnonzero(values.any(axis=(0, 1)))) * spacing[0]
        return cls(
            cut_mm=origin[2] + (lowest - 0.5) * spacing[2],
            spine=(float(origin[0] + columns.mean() * spacing[0]), float(origin[1] + rows.mean() * spacing[1])),
            scale=float(np.clip(width / 160, 0.5, 1.3)),
            outline=outline,
            outline_origin=origin[:2],
            outline_spacing=spacing[:2],
        )

    def scaled(self, factor: float, center: np.ndarray) -> "Body":
        """Return the body below a head that has grown by a factor about a point (3,), mm, LPS."""
        x, y, z = center + factor * (np.array([*self.spine, self.cut_mm]) - center)
        return replace(self, cut_mm=float(z), spine=(float(x), float(y)), scale=self.scale * factor)

    def with_neck(self, labels: sitk.Image, margin_mm: float) -> sitk.Image:
        """Return the labels with air around them and a neck below, and with what lies obliquely cut filled up."""
        cells = [round(margin_mm / spacing) for spacing in labels.GetSpacing()]
        padded = sitk.ConstantPad(labels, [*cells[:2], round(NECK_MM / labels.GetSpacing()[2])], cells, 0)
        values = sitk.GetArrayFromImage(padded)
        heights = padded.GetOrigin()[2] + padded.GetSpacing()[2] * np.arange(len(values))
        below, beside = heights < self.cut_mm, (heights >= self.cut_mm) & (heights < self.cut_mm + NECK_MM)
        continued = self.labels(padded, below | beside)
        values[below] = continued[: below.sum()]
        for index, slab in zip(np.flatnonzero(beside), continued[below.sum() :], strict=True):
            outside = ~binary_fill_holes(values[index] > 0)
            values[index][outside] = slab[outside]
        image = sitk.GetImageFromArray(values)
        image.CopyInformation(padded)
        return image

    def torso(self, length_mm: float) -> sitk.Image:
        """Return the labels of everything from the cut down to `length_mm` below it, on a coarse grid."""
        half_width = 260 * self.scale
        size = [2 * half_width, 320 * self.scale, length_mm + NECK_MM]
        grid = sitk.Image([round(each / TORSO_SPACING_MM) for each in size], sitk.sitkUInt8)
        grid.SetSpacing([TORSO_SPACING_MM] * 3)
        front = self.spine[1] - 220 * self.scale
        grid.SetOrigin([self.spine[0] - half_width, front, self.cut_mm - length_mm])
        image = sitk.GetImageFromArray(self.labels(grid, np.ones(grid.GetSize()[2], bool)))
        image.CopyInformation(grid)
        return image

    def labels(self, grid: sitk.Image, slices: np.ndarray) -> np.ndarray:
        """Return the codes of neck, torso and legs in the chosen slices of an upright grid.

        Args:
            grid: upright LPS.
            slices: (slices,), bool; above the cut the neck goes on, narrowing.

        Returns:
            (chosen slices, row, column), uint8.
        """
        # From here on: x to the patient's left, y to the back from the cord, d below the cut; a usual adult's mm.
        along = [
            np.float32(origin) + np.float32(spacing) * np.arange(size, dtype=np.float32)
            for origin, spacing, size in zip(grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), strict=True)
        ]
        x = ((along[0] - self.spine[0]) / self.scale)[None, None, :]
        y = ((along[1] - self.spine[1]) / self.scale)[None, :, None]
        d = ((self.cut_mm - along[2][slices]) / self.scale)[:, None, None]
        surface = self._surface(self._outline_at(along[0], along[1]), x, y, d)
        labels = np.zeros(surface.shape, np.uint8)
        labels[surface < 0] = CODES["skin"]
        labels[surface < -SKIN_MM] = CODES["fat and muscle"]
        _paint_organs(labels, x, y, d, surface)
        _paint_spine(labels, x, y, d)
        return labels

    def _outline_at(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """Return the signed distance to the head's outline at the cut, (1, row, column)."""
        rows = (ys - self.outline_origin[1]) / self.outline_spacing[1]
        columns = (xs - self.outline_origin[0]) / self.outline_spacing[0]
        places = np.meshgrid(rows, columns, indexing="ij")
        return map_coordinates(self.outline, places, order=1, mode="nearest")[None]

    def _surface(self, head: np.ndarray, x: np.ndarray, y: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Return the signed distance to the skin, roughly, mm: negative inside."""
        neck = _ellipse(x, y + 22, 58, 62)
        torso = _ellipse(x, y + 70, 190, 115)
        legs = np.minimum(_ellipse(x - 95, y + 70, 80, 85), _ellipse(x + 95, y + 70, 80, 85))
        surface = np.where(d > 0, _blend(d, CUT_TO_NECK, head, neck), neck + np.maximum(-d, 0))
        return _blend(d, TORSO_TO_LEGS, _blend(d, NECK_TO_TORSO, surface, torso), legs)


def _paint_organs(labels: np.ndarray, x: np.ndarray, y: np.ndarray, d: np.ndarray, surface: np.ndarray) -> None:
    """Paint airway, ribs, lungs and organs into the body, in place."""
    soft = labels == CODES["fat and muscle"]
    chest = (d > 120) & (d < 380) & soft
    ribs = chest & (surface > -26) & (surface < -16) & ((d + 0.4 * y) % 26 < 11)
    labels[ribs] = CODES["cortical bone"]
    lungs = np.minimum(
        _ellipsoid(x - 85, y + 75, d - 245, 68, 80, 120), _ellipsoid(x + 85, y + 75, d - 245, 68, 80, 120)
    )
    labels[soft & (lungs < 1) & (surface < -28)] = CODES["lung"]
    for name, organ in (
        ("heart", _ellipsoid(x - 28, y + 105, d - 290, 52, 48, 58)),
        ("liver", _ellipsoid(x + 75, y + 85, d - 400, 90, 75, 65)),
        ("kidney", _ellipsoid(x - 65, y + 35, d - 450, 28, 25, 55)),
        ("kidney", _ellipsoid(x + 65, y + 35, d - 460, 28, 25, 55)),
        ("bladder", _ellipsoid(x, y + 105, d - 660, 42, 35, 35)),
    ):
        labels[soft & (organ < 1) & (surface < -20)] = CODES[name]
    trachea = np.hypot(x, y + 50) < 9
    labels[soft & trachea & (d > 15) & (d < 190)] = CODES["air"]


def _paint_spine(labels: np.ndarray, x: np.ndarray, y: np.ndarray, d: np.ndarray) -> None:
    """Paint vertebrae, canal and cord into the body, in place; the neck's vertebrae are the smaller ones."""
    here = (d > 0) & (d < 700) & (labels > 0)
    large = np.clip((d - 60) / 200, 0, 1)
    radius, height = 11 + 11 * large, 18 + 14 * large
    distance = np.hypot(x, y + 9 + radius)
    vertebra = here & (distance < radius) & (d % height > 0.2 * height)
    arch = here & (np.hypot(x, y) < 15) & (d % height > 0.35 * height)
    labels[vertebra | arch] = CODES["cortical bone"]
    labels[vertebra & (distance < radius - 2.5)] = CODES["marrow"]
    labels[here & (np.hypot(x, y) < 9)] = CODES["cerebrospinal fluid"]
    labels[here & (np.hypot(x, y) < 5.5) & (d < 480)] = CODES["spinal cord"]


def _signed_distance(inside: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the distance to the border of a mask, negative inside."""
    distance = distance_transform_edt(~inside, sampling=spacing) - distance_transform_edt(inside, sampling=spacing)
    return distance.astype(np.float32)


def _ellipse(x: np.ndarray, y: np.ndarray, along_x: float, along_y: float) -> np.ndarray:
    """Return the signed distance to an ellipse, exact on its axes only."""
    radius = np.hypot(x / along_x, y / along_y)
    return (radius - 1) * min(along_x, along_y)


def _ellipsoid(x: np.ndarray, y: np.ndarray, z: np.ndarray, *half_axes: float) -> np.ndarray:
    """Return the squared radius in units of the half axes: below 1 inside."""
    return (x / half_axes[0]) ** 2 + (y / half_axes[1]) ** 2 + (z / half_axes[2]) ** 2


def _blend(d: np.ndarray, between: tuple[float, float], above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Pass smoothly from one field to another between two distances below the cut."""
    share = np.clip((d - between[0]) / (between[1] - between[0]), 0, 1)
    share = share**2 * (3 - 2 * share)
    return (1 - share) * above + share * below
