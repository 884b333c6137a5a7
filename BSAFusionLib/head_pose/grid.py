"""Volumes resampled to the head network's grid: cubes of 6 mm, along the LPS axes or along a head's own."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

SPACING_MM = 6.0
SMOOTHING_MM = 2.1  # standard deviation of the Gaussian before sampling, 0.35 of the spacing
MAX_SMOOTHED_SPACING_MM = 8.0  # coarser axes are not smoothed
BINNED_MM = 3.0  # finer voxels are averaged up to about this size first, which is far faster than smoothing them
HEAD_BOX_MM = (240.0, 264.0, 240.0)  # (x, y, z) around a found head, at the standard head's size
MIN_VOXELS = 16  # along an axis: what the network needs
MAX_VOXELS = 6_000_000  # of a grid: 700 x 700 x 2600 mm


@dataclass(frozen=True)
class Grid:
    """A right-angled grid.

    Attributes:
        values: (D, H, W) float32 intensities; D, H and W are even.
        axes: (3, 3), columns are the directions of x, y and z (W, H and D) in mm LPS, times the spacing.
        first: (3,) center of voxel (0, 0, 0), mm LPS.
    """

    values: np.ndarray
    axes: np.ndarray
    first: np.ndarray

    def cell_centers(self) -> np.ndarray:
        """Return centers of cells of 2 x 2 x 2 voxels: (3, D/2, H/2, W/2), (x, y, z) in mm LPS."""
        steps = [np.arange(length // 2) * 2 + 0.5 for length in self.values.shape]
        k, j, i = np.meshgrid(*steps, indexing="ij")
        return np.einsum("rc,cdhw->rdhw", self.axes, np.stack([i, j, k])) + self.first[:, None, None, None]

    @property
    def cell_ml(self) -> float:
        """Volume of a cell of 2 x 2 x 2 voxels in ml."""
        return 8 * abs(float(np.linalg.det(self.axes))) / 1000


def reduce(image: sitk.Image) -> sitk.Image:
    """Average voxels up to about 3 mm and smooth to the network's sharpness.

    Args:
        image: a scalar volume of any type and geometry.

    Returns:
        The volume as float32; what is not finite becomes its least finite value.
    """
    factors = [max(1, round(BINNED_MM / spacing - 0.2)) for spacing in image.GetSpacing()]
    factors = [min(factor, size) for factor, size in zip(factors, image.GetSize(), strict=True)]
    image = _finite(image)
    if max(factors) > 1:
        image = sitk.BinShrink(image, factors)
    image = sitk.Cast(image, sitk.sitkFloat32)
    variances = []
    for spacing, factor in zip(image.GetSpacing(), factors, strict=True):
        present = spacing**2 / 12 if factor > 1 else 0.0  # of the average over a bin
        wanted = SMOOTHING_MM**2 - present
        variances.append(wanted if spacing < MAX_SMOOTHED_SPACING_MM and wanted > 0 else 0.0)
    if any(variances):
        image = sitk.DiscreteGaussian(image, [max(value, 1e-6) for value in variances], 32, 0.01, True)
    return image


def _finite(image: sitk.Image) -> sitk.Image:
    """Replace values that are not finite by the least finite one."""
    if image.GetPixelID() not in (sitk.sitkFloat32, sitk.sitkFloat64):
        return image
    values = sitk.GetArrayViewFromImage(image)
    finite = np.isfinite(values)
    if finite.all():
        return image
    filled = np.where(finite, values, values[finite].min() if finite.any() else 0)
    result = sitk.GetImageFromArray(filled)
    result.CopyInformation(image)
    return result


def upright_grid(reduced: sitk.Image) -> Grid:
    """Resample a reduced volume along the LPS axes, over all of its space."""
    size = np.array(reduced.GetSize())
    corners = np.array([[-0.5, n - 0.5] for n in size])
    points = [
        reduced.TransformContinuousIndexToPhysicalPoint([corners[a, (c >> a) & 1] for a in range(3)]) for c in range(8)
    ]
    low, high = np.min(points, 0), np.max(points, 0)
    spacing = SPACING_MM
    counts = np.maximum(np.round((high - low) / spacing / 2), MIN_VOXELS // 2).astype(int) * 2
    if counts.prod() > MAX_VOXELS:  # no head is so large: the middle part is looked at
        counts = np.minimum(counts, 2 * int(MAX_VOXELS ** (1 / 3) // 2))
    first = (low + high) / 2 - (counts - 1) / 2 * spacing
    return _sampled(reduced, first, np.eye(3) * spacing, counts)


def head_grid(reduced: sitk.Image, rotation: np.ndarray, scale: float, center: np.ndarray) -> Grid:
    """Resample a reduced volume along a head's own axes, around its brain, at the standard head's size.

    Args:
        reduced: as `reduce` returns it.
        rotation: (3, 3), standard axes to image axes.
        scale: size of this head, of the standard head.
        center: (3,) the brain's center, mm LPS.
    """
    counts = (np.array(HEAD_BOX_MM) / SPACING_MM / 2).astype(int) * 2
    axes = rotation * (SPACING_MM * scale)
    return _sampled(reduced, center - axes @ ((counts - 1) / 2), axes, counts)


def _sampled(image: sitk.Image, first: np.ndarray, axes: np.ndarray, counts: np.ndarray) -> Grid:
    spacing = np.linalg.norm(axes, axis=0)
    outside = float(sitk.GetArrayViewFromImage(image).min())
    sampled = sitk.Resample(
        image,
        counts.tolist(),
        sitk.Transform(),
        sitk.sitkLinear,
        first.tolist(),
        spacing.tolist(),
        (axes / spacing).ravel().tolist(),
        outside,
        sitk.sitkFloat32,
    )
    return Grid(sitk.GetArrayFromImage(sampled), axes, first)
