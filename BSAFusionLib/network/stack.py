"""Stacks of slices that lie on one grid in space, and the evidence that the network reads from them; no PyTorch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions

VISIBLE_LEVEL = 0.05  # of [0, 1]: a pixel brighter than this shows something
VISIBLE_SHARE = 0.005  # fraction of visible pixels from which on a slice is worth the network


@dataclass(frozen=True)
class Stack:
    """Slices of both volumes on one grid.

    Attributes:
        grid: An empty image whose slices along its third axis are meant (mm, LPS).
        fixed: (slice, row, column), float32 in [0, 1].
        moving: The same shape.
    """

    grid: sitk.Image
    fixed: np.ndarray
    moving: np.ndarray

    @cached_property
    def filled(self) -> np.ndarray:
        """Return the indices of the slices in which both volumes show something."""
        return np.flatnonzero(_is_filled(self.fixed) & _is_filled(self.moving))

    def filled_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the fixed and the moving slices of `filled`."""
        return self.fixed[self.filled], self.moving[self.filled]

    def every(self, step: int) -> "Stack":
        """Return one of so many slices, the same number of others left at both ends."""
        chosen = slice((len(self.fixed) - 1) % step // 2, None, step)
        return Stack(self.grid[:, :, chosen], self.fixed[chosen], self.moving[chosen])


@dataclass(frozen=True)
class Evidence:
    """A displacement that was estimated from each slice of a stack by itself, and its precision.

    Attributes:
        grid: The stack's grid; `mean` and `precision` lie on cells of its slices.
        mean: (slice, 2, h, w), float32, fixed to moving in pixels of the grid; channel 0 along columns.
        precision: (slice, 3, h, w), float32, inverse covariance (xx, yy, xy) in 1 / pixels^2; zero for slices that were
            left out.
    """

    grid: sitk.Image
    mean: np.ndarray
    precision: np.ndarray

    @cached_property
    def cells(self) -> sitk.Image:
        """Return an empty image whose voxels are the cells, mm, LPS."""
        height, width = self.mean.shape[-2:]
        pixel_mm, _, gap_mm = self.grid.GetSpacing()
        cell_mm = pixel_mm * self.grid.GetWidth() / width
        cells = sitk.Image(width, height, len(self.mean), sitk.sitkUInt8)
        cells.SetSpacing((cell_mm, cell_mm, gap_mm))
        cells.SetDirection(self.grid.GetDirection())
        to_cell = directions(self.grid)[:, :2].sum(axis=1) * (cell_mm - pixel_mm) / 2
        cells.SetOrigin((np.array(self.grid.GetOrigin()) + to_cell).tolist())
        return cells


def _is_filled(slices: np.ndarray) -> np.ndarray:
    """Return which slices (slice, row, column) show something."""
    visible: np.ndarray = (slices > VISIBLE_LEVEL).mean(axis=(1, 2))
    return visible > VISIBLE_SHARE
