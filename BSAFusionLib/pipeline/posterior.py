"""One displacement field in space from what the slices of one or more axes tell of it."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy.sparse.linalg import LinearOperator, cg

from BSAFusionLib.geometry.grids import grid_of_size
from BSAFusionLib.geometry.smooth_modes import cell_centers, smooth_modes
from BSAFusionLib.network.stack import Evidence

elastic_mm = 0.7  # standard deviations expected beforehand, of each component: the elastic part,
shift_mm = 0.7  # a shift,
linear_mm = 0.7  # and what a turn, stretch or shear of the whole does `lever` mm from the middle
lever = 64.0
trust = 0.1  # share of what the slices tell that is taken for new: neighbouring slices and axes see much the same
largest_variance = 500.0  # in voxels squared: from 710 on the coefficients of ITK's discrete Gaussian are NaN


def posterior_field(
    evidence: list[Evidence], fixed: sitk.Image, sigma: Sequence[float], answer: sitk.Image | None = None
) -> sitk.Image:
    """The displacement of most posterior probability (float64 vectors, mm, LPS), on the grid of `answer`, which begins
    at the fixed volume's first voxel and has its axes; on the fixed volume's own if none is given.

    Beforehand it is taken for white noise smoothed by a Gaussian of `sigma` mm along each index axis of the fixed
    volume, plus a small affine motion; its covariance is then exp(-d^2 / (4 sigma^2)), and a few strong modes a axis
    (Karhunen-Loeve) are all that is solved for, by conjugate gradients. What a slice tells concerns two components of
    it only; where nothing is told of the third, it stays what the smooth prior expects, zero. (Rasmussen and Williams,
    Gaussian Processes for Machine Learning, 2006, equation 2.11.)
    """
    extent = np.multiply(fixed.GetSize(), fixed.GetSpacing())
    cell = min(_cell(each) for each in evidence)
    count = np.ceil(extent / cell).astype(int)
    lattice = grid_of_size(fixed, count)
    told, precision = np.zeros((3, *count)), np.zeros((3, 3, *count))
    for each in evidence:
        _add(each, fixed, lattice, told, precision)

    coarse = [_Modes(length, cell_centers(length, n), s) for length, n, s in zip(extent, count, sigma, strict=True)]
    shape = (3, *(modes.number for modes in coarse))
    elastic = int(np.prod(shape))
    own_precision = np.concatenate([np.full(elastic, elastic_mm**-2), np.tile([shift_mm**-2] + [linear_mm**-2] * 3, 3)])

    def displaced(coefficients: np.ndarray) -> np.ndarray:
        """Coefficients to displacements (3, x, y, z) on the lattice."""
        values = coefficients[:elastic].reshape(shape)
        for modes in coarse:
            values = np.tensordot(values, modes.values, (1, 1))  # the axis goes last, so the next one is first again
        affine = coefficients[elastic:].reshape(3, 4, 1, 1, 1)
        return values + affine[:, 0] + sum(affine[:, 1 + n] * coarse[n].along(n) for n in range(3))

    def gathered(values: np.ndarray) -> np.ndarray:
        """The transpose of `displaced`."""
        affine = [values] + [values * coarse[n].along(n) for n in range(3)]
        affine = np.stack([each.sum(axis=(1, 2, 3)) for each in affine], axis=1)
        for modes in coarse:
            values = np.tensordot(values, modes.values, (1, 0))
        return np.concatenate([values.ravel(), affine.ravel()])

    def applied(coefficients: np.ndarray) -> np.ndarray:
        weighted = np.einsum("dexyz,exyz->dxyz", precision, displaced(coefficients))
        return own_precision * coefficients + gathered(weighted)

    matrix = LinearOperator((elastic + 12, elastic + 12), matvec=applied, dtype=float)
    # How near it came is not asked: the field is judged by the volumes, like any other.
    coefficients, _ = cg(matrix, gathered(told), rtol=1e-3, maxiter=400)
    answer = answer or fixed
    places = [
        own / 2 + spacing * np.arange(count)
        for own, spacing, count in zip(fixed.GetSpacing(), answer.GetSpacing(), answer.GetSize(), strict=True)
    ]
    across, down, through = (_Modes(*side) for side in zip(extent, places, sigma, strict=True))
    values = np.tensordot(coefficients[:elastic].reshape(shape), across.values, (1, 1))
    values = np.tensordot(values, down.values, (1, 1))  # (3, modes through the slices, x, y)
    affine = coefficients[elastic:].reshape(3, 4, 1, 1)
    in_plane = affine[:, 0] + affine[:, 1] * across.along(0)[..., 0] + affine[:, 2] * down.along(1)[..., 0]
    direction = np.reshape(fixed.GetDirection(), (3, 3))
    vectors = np.empty((*answer.GetSize()[::-1], 3))
    # Plane by plane, for memory's sake, and since other threads wait while numpy works on one array.
    for plane, mode, place in zip(vectors, through.values, through.along(2).ravel(), strict=True):
        along_axes = np.tensordot(values, mode, (1, 0)) + in_plane + affine[:, 3] * place
        plane[:] = np.tensordot(along_axes, direction, (0, 1)).swapaxes(0, 1)
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(answer)
    return field


class _Modes:
    """Smooth modes along one axis of `length` mm, at places in mm from its beginning: values (place, number)."""

    def __init__(self, length: float, places: np.ndarray, sigma: float) -> None:
        self.values = smooth_modes(length, places, sigma).values
        self.number = self.values.shape[1]
        self._linear = (places - length / 2) / lever

    def along(self, axis: int) -> np.ndarray:
        """Return the distance from the middle in levers, shaped to be multiplied with what is on (x, y, z)."""
        return self._linear.reshape([-1 if n == axis else 1 for n in range(3)])


def _cell(evidence: Evidence) -> float:
    """Side in mm of what one position of the evidence stands for in its slice."""
    return evidence.grid.GetSpacing()[0] * evidence.grid.GetWidth() / evidence.mean.shape[-1]


def _add(evidence: Evidence, fixed: sitk.Image, lattice: sitk.Image, told: np.ndarray, precision: np.ndarray) -> None:
    """Add what the slices of one axis tell to `told` (3, x, y, z), precision times mean, and `precision`.

    Both are along the fixed volume's index axes, in mm.
    """
    grid, cell = evidence.grid, _cell(evidence)
    own = np.reshape(grid.GetDirection(), (3, 3))
    turn = np.reshape(fixed.GetDirection(), (3, 3)).T @ own  # the slices' axes are the fixed volume's, in other order
    axes = np.abs(turn).argmax(axis=0)[:2]
    signs = turn[axes, [0, 1]].round()
    pixel = grid.GetSpacing()[0]
    x, y = np.moveaxis(evidence.mean, 1, 0)
    xx, yy, xy = np.moveaxis(evidence.precision, 1, 0)
    maps = [(xx * x + xy * y) / pixel, (xy * x + yy * y) / pixel, xx / pixel**2, yy / pixel**2, xy / pixel**2]
    between, apart = grid.GetSpacing()[2], lattice.GetSpacing()[next(n for n in range(3) if n not in axes)]
    resampled = []
    for each in maps:
        image = sitk.GetImageFromArray(each)
        image.SetSpacing((cell, cell, between))
        image.SetDirection(grid.GetDirection())
        image.SetOrigin((np.array(grid.GetOrigin()) + own[:, :2].sum(axis=1) * (cell - pixel) / 2).tolist())
        if between < apart:  # an average of the slices that share a voxel of the lattice
            variance = min((apart / between / 2) ** 2, largest_variance)
            image = sitk.DiscreteGaussian(image, (0.0, 0.0, variance), 1000, useImageSpacing=False)
        on_lattice = sitk.Resample(image, lattice, sitk.Transform(), sitk.sitkLinear, 0.0)
        resampled.append(sitk.GetArrayFromImage(on_lattice).transpose(2, 1, 0))
    share = trust * np.prod([lattice.GetSpacing()[axis] for axis in axes.tolist()]) / cell**2
    for n in (0, 1):
        told[axes[n]] += share * signs[n] * resampled[n]
        precision[axes[n], axes[n]] += share * resampled[2 + n]
    precision[axes[0], axes[1]] += share * signs.prod() * resampled[4]
    precision[axes[1], axes[0]] += share * signs.prod() * resampled[4]
