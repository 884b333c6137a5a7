"""Bring the evidence of slices of one or more axes onto one lattice in space."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions, grid_of_size
from BSAFusionLib.geometry.smooth_modes import cell_centers
from BSAFusionLib.network.stack import Evidence

MAX_VARIANCE_VX2 = 500.0  # from 710 on the coefficients of ITK's discrete Gaussian are NaN
MAX_KERNEL_VX = 1000


class LatticeEvidence(NamedTuple):
    """Evidence on a lattice (x, y, z) of cells, along the fixed volume's index axes.

    Attributes:
        places: Of the cells along each axis, mm from its beginning.
        weighted_mean: Precision times mean displacement (3, x, y, z), in 1 / mm.
        precision: (3, 3, x, y, z), in 1 / mm^2.
    """

    places: tuple[np.ndarray, ...]
    weighted_mean: np.ndarray
    precision: np.ndarray


def evidence_on_lattice(evidence: Sequence[Evidence], fixed: sitk.Image) -> LatticeEvidence:
    """Sum the evidence of the slices of one or more axes on one lattice over the fixed volume, as if independent."""
    extent = np.multiply(fixed.GetSize(), fixed.GetSpacing())
    counts = np.ceil(extent / min(part.cells.GetSpacing()[0] for part in evidence)).astype(int)
    lattice = grid_of_size(fixed, counts)
    weighted_mean, precision = np.zeros((3, *counts)), np.zeros((3, 3, *counts))
    for part in evidence:
        _add_slices(part, fixed, lattice, weighted_mean, precision)
    places = tuple(cell_centers(length, count) for length, count in zip(extent, counts.tolist(), strict=True))
    return LatticeEvidence(places, weighted_mean, precision)


def _add_slices(
    evidence: Evidence, fixed: sitk.Image, lattice: sitk.Image, weighted_mean: np.ndarray, precision: np.ndarray
) -> None:
    """Resample the evidence of the slices of one axis on a lattice over the fixed volume, and add it."""
    cells, cell_mm, pixel_mm = evidence.cells, evidence.cells.GetSpacing()[0], evidence.grid.GetSpacing()[0]
    turn = directions(fixed).T @ directions(cells)  # the slices' axes are the fixed volume's, in another order
    axes = np.abs(turn).argmax(axis=0)[:2]
    signs = turn[axes, [0, 1]].round()
    gap_mm = lattice.GetSpacing()[next(n for n in range(3) if n not in axes)]
    x, y = np.moveaxis(evidence.mean, 1, 0)
    xx, yy, xy = np.moveaxis(evidence.precision, 1, 0)
    maps = [
        (xx * x + xy * y) / pixel_mm,
        (xy * x + yy * y) / pixel_mm,
        xx / pixel_mm**2,
        yy / pixel_mm**2,
        xy / pixel_mm**2,
    ]
    resampled = [_resample_map(values, cells, lattice, gap_mm) for values in maps]
    share = np.prod([lattice.GetSpacing()[axis] for axis in axes.tolist()]) / cell_mm**2
    for n in (0, 1):
        weighted_mean[axes[n]] += share * signs[n] * resampled[n]
        precision[axes[n], axes[n]] += share * resampled[2 + n]
    across = share * signs.prod() * resampled[4]
    precision[axes[0], axes[1]] += across
    precision[axes[1], axes[0]] += across


def _resample_map(values: np.ndarray, cells: sitk.Image, lattice: sitk.Image, gap_mm: float) -> np.ndarray:
    """Resample a map of the evidence on a lattice.

    Args:
        values: (slice, h, w), on cells of the slices.
        cells: Of the evidence.
        lattice: Over the fixed volume.
        gap_mm: Spacing of the lattice across the slices.

    Returns:
        (x, y, z) of the lattice.
    """
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(cells)
    slice_gap_mm = cells.GetSpacing()[2]
    if slice_gap_mm < gap_mm:  # average the slices that share a voxel of the lattice
        variance = min((gap_mm / slice_gap_mm / 2) ** 2, MAX_VARIANCE_VX2)
        image = sitk.DiscreteGaussian(image, [0.0, 0.0, variance], MAX_KERNEL_VX, useImageSpacing=False)
    on_lattice = sitk.Resample(image, lattice, sitk.Transform(), sitk.sitkLinear, 0.0)
    array: np.ndarray = sitk.GetArrayFromImage(on_lattice).transpose(2, 1, 0)
    return array
