"""Stacks of slices that lie on one grid in space, and the evidence that the network reads from them; no PyTorch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk

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


def _is_filled(slices: np.ndarray) -> np.ndarray:
    """Return which slices (slice, row, column) show something."""
    visible: np.ndarray = (slices > VISIBLE_LEVEL).mean(axis=(1, 2))
    return visible > VISIBLE_SHARE
