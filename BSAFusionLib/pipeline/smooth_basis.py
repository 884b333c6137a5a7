"""The functions of place that a smooth displacement is made of: shift, linear part and elastic modes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.smooth_modes import STRENGTH_FLOOR, smooth_modes

LEVER_MM = 64.0  # distance from the middle at which the linear functions are 1
AFFINE_FUNCTIONS = 4  # the constant, and the distance from the middle along each axis


@dataclass(frozen=True)
class SmoothBasis:
    """Functions over a box: 1, the distance from its middle along each axis, and elastic modes of unit variance in all.

    The modes are Karhunen-Loeve's of white noise that a Gaussian has smoothed; weak ones are left out. Each function is
    a product of one function an axis, so that sums over a lattice are done an axis at a time.

    Attributes:
        extent: Of the box along each axis, mm.
        sigma: Of the Gaussian along each axis, mm.
        strengths: Variance of each function's coefficients relative to that of the strongest mode (function,); 1 for
            the affine ones.
        factors: For each axis, which of its functions each product takes (function,).
    """

    extent: tuple[float, ...]
    sigma: tuple[float, ...]
    strengths: np.ndarray
    factors: tuple[np.ndarray, ...]

    @classmethod
    def over(
        cls, extent: Sequence[float], sigma: Sequence[float], strength_floor: float = STRENGTH_FLOOR
    ) -> "SmoothBasis":
        """Make the basis of a box.

        Args:
            extent: Of the box along each axis, mm.
            sigma: Of the Gaussian along each axis, mm.
            strength_floor: Modes that vary less than this fraction of the strongest are left out.
        """
        lengths, sigma = tuple(map(float, extent)), tuple(map(float, sigma))
        none = np.zeros(0)
        axes = [smooth_modes(length, none, width).strengths for length, width in zip(lengths, sigma, strict=True)]
        products = reduce(np.multiply.outer, (strengths / strengths[-1] for strengths in axes))
        strong = np.nonzero(products > strength_floor)
        counts = [len(strengths) for strengths in axes]  # where each axis has its constant; its distance comes next
        affine = np.array(counts)[:, None] + np.eye(AFFINE_FUNCTIONS, dtype=int)[1:]
        factors = tuple(np.concatenate(pair) for pair in zip(affine, strong, strict=True))
        return cls(lengths, sigma, np.concatenate([np.ones(AFFINE_FUNCTIONS), products[strong]]), factors)

    def strongest(self, floor: float) -> "SmoothBasis":
        """Keep the functions whose strength is above a floor."""
        kept = self.strengths > floor
        return replace(self, strengths=self.strengths[kept], factors=tuple(factor[kept] for factor in self.factors))

    @property
    def size(self) -> int:
        """Return the number of functions."""
        return len(self.strengths)

    def places_on(self, grid: sitk.Image) -> list[np.ndarray]:
        """Return where a grid's voxels lie along each axis, in mm; it has the box's axes and middle."""
        return [
            length / 2 + spacing * (np.arange(count) - (count - 1) / 2)
            for length, spacing, count in zip(self.extent, grid.GetSpacing(), grid.GetSize(), strict=True)
        ]

    def along(self, places: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return every axis' functions (place, function) at places in mm from the beginning of the axis."""
        values = []
        for length, at, sigma in zip(self.extent, places, self.sigma, strict=True):
            modes = smooth_modes(length, at, sigma).values
            values.append(np.column_stack([modes, np.ones(len(at)), (at - length / 2) / LEVER_MM]))
        return values

    def at_points(self, points: np.ndarray) -> np.ndarray:
        """Return all functions (point, function) at points (point, 3), mm from the beginning of each axis."""
        values = self.along(points.T)
        return reduce(np.multiply, (axis[:, factor] for axis, factor in zip(values, self.factors, strict=True)))

    def on_lattice(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Return all functions on a lattice (place, function), its last axis the fastest.

        Args:
            axes: Every axis' functions at its places, of `along`.
        """
        x, y, z = (axis[:, factor] for axis, factor in zip(axes, self.factors, strict=True))
        products: np.ndarray = x[:, None, None] * y[None, :, None] * z
        return products.reshape(-1, self.size)

    def evaluate(self, coefficients: np.ndarray, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Sum the functions on a lattice.

        Args:
            coefficients: (..., function).
            axes: Every axis' functions at its places, of `along`.

        Returns:
            (..., x, y, z).
        """
        leading = coefficients.shape[:-1]
        cube = np.zeros((*leading, *(axis.shape[1] for axis in axes)))
        cube[self._products()] = coefficients
        for axis in axes:
            cube = np.tensordot(cube, axis, (len(leading), 1))  # it goes last, so the next one takes its place
        return cube

    def project(self, values: np.ndarray, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Apply the transpose of `evaluate` to values (..., x, y, z)."""
        leading = values.ndim - 3
        for axis in axes:
            values = np.tensordot(values, axis, (leading, 0))
        projected: np.ndarray = values[self._products()]
        return projected

    def gram(self, weights: np.ndarray, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted sums over a lattice (x, y, z) of all products of two functions (function, function)."""
        for axis in axes:
            pairs = (axis[:, :, None] * axis[:, None, :]).reshape(len(axis), -1)
            weights = np.tensordot(weights, pairs, (0, 0))
        counts = [axis.shape[1] for axis in axes]
        pair_numbers = [factor[:, None] * count + factor for factor, count in zip(self.factors, counts, strict=True)]
        products: np.ndarray = weights[tuple(pair_numbers)]
        return products

    def _products(self) -> tuple[Any, ...]:
        """Return the index of the products among all of one function an axis (..., x, y, z)."""
        return (Ellipsis, *self.factors)
