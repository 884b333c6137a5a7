"""Combine the evidence from slices of one or more axes to one displacement field in space."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy.sparse.linalg import LinearOperator, cg

from BSAFusionLib.geometry.grids import directions, grid_of_size
from BSAFusionLib.geometry.smooth_modes import cell_centers, smooth_modes
from BSAFusionLib.network.stack import Evidence

# Prior standard deviations of each component of a displacement:
ELASTIC_SD_MM = 0.7
SHIFT_SD_MM = 0.7
LINEAR_SD_MM = 0.7  # by a turn, stretch or shear, `LEVER_MM` from the middle
LEVER_MM = 64.0
INDEPENDENT_SHARE = 0.1  # of the evidence; neighboring slices and axes show much the same
MAX_VARIANCE_VX2 = 500.0  # from 710 on the coefficients of ITK's discrete Gaussian are NaN
MAX_KERNEL_VX = 1000
SOLVER_TOLERANCE = 1e-3
MAX_SOLVER_STEPS = 400
AFFINE_COEFFICIENTS = 12


def posterior_field(
    evidence: Sequence[Evidence], fixed: sitk.Image, sigma: Sequence[float], answer: sitk.Image | None = None
) -> sitk.Image:
    """Compute the displacement field of highest posterior probability.

    The prior is white noise smoothed by a Gaussian, whose covariance is exp(-d^2 / (4 sigma^2)), plus a small affine
    motion. A few strong modes an axis (Karhunen-Loeve) are solved for, by conjugate gradients. A slice has evidence for
    two components of the displacement only; without evidence for the third it stays zero, the prior's mean.
    (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 2.11.)

    Args:
        evidence: Of the slices of one or more axes.
        fixed: The fixed volume.
        sigma: Of the Gaussian along each index axis of the fixed volume, in mm.
        answer: Grid that begins at the fixed volume's first voxel and has its axes; the fixed volume's by default.

    Returns:
        float64 vectors, mm, LPS, on the grid of `answer`.
    """
    extent = np.multiply(fixed.GetSize(), fixed.GetSpacing())
    cell_mm = min(_cell_size(part) for part in evidence)
    counts = np.ceil(extent / cell_mm).astype(int)
    lattice = grid_of_size(fixed, counts)
    weighted_mean, precision = np.zeros((3, *counts)), np.zeros((3, 3, *counts))
    for part in evidence:
        on_lattice = _evidence_on_lattice(part, fixed, lattice)
        weighted_mean += on_lattice.weighted_mean
        precision += on_lattice.precision

    basis = _Basis(extent, [cell_centers(length, count) for length, count in zip(extent, counts, strict=True)], sigma)
    coefficients = _solve(basis, weighted_mean, precision)
    answer = answer or fixed
    places = [
        own / 2 + spacing * np.arange(count)
        for own, spacing, count in zip(fixed.GetSpacing(), answer.GetSpacing(), answer.GetSize(), strict=True)
    ]
    return _evaluate(_Basis(extent, places, sigma), coefficients, answer)


class _Modes:
    """Smooth modes along one axis.

    Attributes:
        values: (place, mode).
        count: Of modes.
    """

    def __init__(self, length: float, places: np.ndarray, sigma: float) -> None:
        """Compute the modes of an axis of `length` mm at places in mm from its beginning."""
        self.values = smooth_modes(length, places, sigma).values
        self.count = self.values.shape[1]
        self._linear = (places - length / 2) / LEVER_MM

    def along(self, axis: int) -> np.ndarray:
        """Return the distance from the middle in levers, shaped to be multiplied with what is on (x, y, z)."""
        return self._linear.reshape([-1 if n == axis else 1 for n in range(3)])


class _Basis:
    """Displacements along the fixed volume's index axes as products of modes, plus an affine part.

    Coefficients are the elastic ones (component, mode, mode, mode), then the affine ones (component, 4), flat.

    Attributes:
        axes: The modes of each axis.
        size: Number of coefficients.
        prior_precision: Of each coefficient (size,).
    """

    def __init__(self, extent: np.ndarray, places: Sequence[np.ndarray], sigma: Sequence[float]) -> None:
        self.axes = [_Modes(*axis) for axis in zip(extent, places, sigma, strict=True)]
        self._shape = (3, *(modes.count for modes in self.axes))
        self._elastic = int(np.prod(self._shape))
        self.size = self._elastic + AFFINE_COEFFICIENTS
        affine_precision = np.tile([SHIFT_SD_MM**-2] + [LINEAR_SD_MM**-2] * 3, 3)
        self.prior_precision = np.concatenate([np.full(self._elastic, ELASTIC_SD_MM**-2), affine_precision])

    def split(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the elastic (3, mode, mode, mode) and the affine coefficients (3, 4)."""
        return coefficients[: self._elastic].reshape(self._shape), coefficients[self._elastic :].reshape(3, 4)

    def displacements(self, coefficients: np.ndarray) -> np.ndarray:
        """Convert coefficients to displacements (3, x, y, z) at the places."""
        values, affine = self.split(coefficients)
        for modes in self.axes:
            values = np.tensordot(values, modes.values, (1, 1))  # the axis goes last, so the next one is first again
        affine = affine.reshape(3, 4, 1, 1, 1)
        linear = sum(affine[:, 1 + n] * modes.along(n) for n, modes in enumerate(self.axes))
        displacements: np.ndarray = values + affine[:, 0] + linear
        return displacements

    def transpose(self, values: np.ndarray) -> np.ndarray:
        """Apply the transpose of `displacements` to values (3, x, y, z)."""
        products = [values] + [values * modes.along(n) for n, modes in enumerate(self.axes)]
        affine = np.stack([product.sum(axis=(1, 2, 3)) for product in products], axis=1)
        for modes in self.axes:
            values = np.tensordot(values, modes.values, (1, 0))
        return np.concatenate([values.ravel(), affine.ravel()])


def _solve(basis: _Basis, weighted_mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Solve for the coefficients of highest posterior probability (size,)."""

    def apply(coefficients: np.ndarray) -> np.ndarray:
        weighted = np.einsum("dexyz,exyz->dxyz", precision, basis.displacements(coefficients))
        product: np.ndarray = basis.prior_precision * coefficients + basis.transpose(weighted)
        return product

    matrix = LinearOperator((basis.size, basis.size), matvec=apply, dtype=float)
    # Convergence is not checked: the verdict judges the field by the volumes, like any other.
    right_side = basis.transpose(weighted_mean)
    coefficients: np.ndarray = cg(matrix, right_side, rtol=SOLVER_TOLERANCE, maxiter=MAX_SOLVER_STEPS)[0]
    return coefficients


def _evaluate(basis: _Basis, coefficients: np.ndarray, grid: sitk.Image) -> sitk.Image:
    """Evaluate coefficients on a grid (float64 vectors, mm, LPS) at whose voxels the basis was made."""
    x, y, z = basis.axes
    elastic, affine = basis.split(coefficients)
    values = np.tensordot(np.tensordot(elastic, x.values, (1, 1)), y.values, (1, 1))  # (3, modes along z, x, y)
    affine = affine.reshape(3, 4, 1, 1)
    in_plane = affine[:, 0] + affine[:, 1] * x.along(0)[..., 0] + affine[:, 2] * y.along(1)[..., 0]
    axes = directions(grid)
    vectors = np.empty((*grid.GetSize()[::-1], 3))
    # Plane by plane, to save memory, and since other threads wait while numpy works on one array.
    for plane, mode, place in zip(vectors, z.values, z.along(2).ravel(), strict=True):
        along_axes = np.tensordot(values, mode, (1, 0)) + in_plane + affine[:, 3] * place
        plane[:] = np.tensordot(along_axes, axes, (0, 1)).swapaxes(0, 1)
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(grid)
    return field


class _LatticeEvidence(NamedTuple):
    """Evidence on a lattice (x, y, z), along the fixed volume's index axes.

    Attributes:
        weighted_mean: Precision times mean displacement (3, x, y, z), in 1 / mm.
        precision: (3, 3, x, y, z), in 1 / mm^2.
    """

    weighted_mean: np.ndarray
    precision: np.ndarray


def _evidence_on_lattice(evidence: Evidence, fixed: sitk.Image, lattice: sitk.Image) -> _LatticeEvidence:
    """Resample the evidence of the slices of one axis on a lattice over the fixed volume."""
    grid, cell_mm, pixel_mm = evidence.grid, _cell_size(evidence), evidence.grid.GetSpacing()[0]
    turn = directions(fixed).T @ directions(grid)  # the slices' axes are the fixed volume's, in another order
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
    resampled = [_resample_map(values, grid, cell_mm, lattice, gap_mm) for values in maps]
    share = INDEPENDENT_SHARE * np.prod([lattice.GetSpacing()[axis] for axis in axes.tolist()]) / cell_mm**2
    shape = resampled[0].shape
    weighted_mean, precision = np.zeros((3, *shape)), np.zeros((3, 3, *shape))
    for n in (0, 1):
        weighted_mean[axes[n]] = share * signs[n] * resampled[n]
        precision[axes[n], axes[n]] = share * resampled[2 + n]
    precision[axes[0], axes[1]] = precision[axes[1], axes[0]] = share * signs.prod() * resampled[4]
    return _LatticeEvidence(weighted_mean, precision)


def _resample_map(
    values: np.ndarray, grid: sitk.Image, cell_mm: float, lattice: sitk.Image, gap_mm: float
) -> np.ndarray:
    """Resample a map of the evidence on a lattice.

    Args:
        values: (slice, h, w), on cells of the slices.
        grid: Of the slices.
        cell_mm: Side of the cells.
        lattice: Over the fixed volume.
        gap_mm: Spacing of the lattice across the slices.

    Returns:
        (x, y, z) of the lattice.
    """
    pixel_mm, _, slice_gap_mm = grid.GetSpacing()
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((cell_mm, cell_mm, slice_gap_mm))
    image.SetDirection(grid.GetDirection())
    to_cell = directions(grid)[:, :2].sum(axis=1) * (cell_mm - pixel_mm) / 2
    image.SetOrigin((np.array(grid.GetOrigin()) + to_cell).tolist())
    if slice_gap_mm < gap_mm:  # average the slices that share a voxel of the lattice
        variance = min((gap_mm / slice_gap_mm / 2) ** 2, MAX_VARIANCE_VX2)
        image = sitk.DiscreteGaussian(image, [0.0, 0.0, variance], MAX_KERNEL_VX, useImageSpacing=False)
    on_lattice = sitk.Resample(image, lattice, sitk.Transform(), sitk.sitkLinear, 0.0)
    array: np.ndarray = sitk.GetArrayFromImage(on_lattice).transpose(2, 1, 0)
    return array


def _cell_size(evidence: Evidence) -> float:
    """Return the side in mm of the cells of slices that the evidence lies on."""
    grid = evidence.grid
    return float(grid.GetSpacing()[0] * grid.GetWidth() / evidence.mean.shape[-1])
