"""Grids in space, as empty SimpleITK images, and images resampled on them (mm, LPS)."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

# The recursive Gaussian filter needs four voxels along an axis.
SMALLEST_SMOOTHED_COUNT = 4
COARSER_FACTOR = 0.75  # spacings whose ratio is above this are close enough to need no smoothing
NEGLIGIBLE_WEIGHT = 1e-9  # below the rounding of float32; numbers next to zero would make products ten times as slow


def directions(image: sitk.Image) -> np.ndarray:
    """Return the directions of the index axes, one a column (3, 3), LPS."""
    return np.array(image.GetDirection()).reshape(3, 3)


def voxel_centers(image: sitk.Image) -> np.ndarray:
    """Return the position of every voxel (slice, row, column, 3), mm, LPS."""
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
    )
    return sitk.GetArrayFromImage(source)


def grid_of_size(image: sitk.Image, counts: np.ndarray) -> sitk.Image:
    """Make a grid of `counts` voxels along the axes of an image, over the space that its voxels fill."""
    grid = sitk.Image(counts.tolist(), sitk.sitkUInt8)
    grid.SetSpacing((np.multiply(image.GetSize(), image.GetSpacing()) / counts).tolist())
    grid.SetDirection(image.GetDirection())
    first = (np.array(image.GetSize()) / counts - 1) / 2  # where its first voxel lies in the image's index
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    return grid


def lattice_over(image: sitk.Image, spacing: Sequence[float]) -> sitk.Image:
    """Make a grid from the first to the last voxel of an image, as coarse as allowed along each axis.

    Args:
        image: Its axes are the grid's.
        spacing: The largest spacings along them, in mm. Where one is finer than the image's, the image's is taken.
    """
    own, counts = np.array(image.GetSpacing()), np.array(image.GetSize())
    length = own * (counts - 1)
    counts = np.minimum(counts, np.ceil(length / spacing).astype(int) + 1)
    grid = sitk.Image(counts.tolist(), sitk.sitkUInt8)
    grid.SetSpacing((length / (counts - 1)).tolist())
    grid.SetDirection(image.GetDirection())
    grid.SetOrigin(image.GetOrigin())
    return grid


def crop_to_grid(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Return the part of an image that lies on a grid, where the image's grid is that one with a margin around it."""
    part: sitk.Image = sitk.RegionOfInterest(
        image, grid.GetSize(), image.TransformPhysicalPointToIndex(grid.GetOrigin())
    )
    part.CopyInformation(grid)
    return part


def smooth_for_spacing(image: sitk.Image, spacing: float) -> sitk.Image:
    """Remove detail that a grid of that spacing, in mm, cannot hold."""
    for axis, (own, count) in enumerate(zip(image.GetSpacing(), image.GetSize(), strict=True)):
        if own < COARSER_FACTOR * spacing and count >= SMALLEST_SMOOTHED_COUNT:
            image = sitk.RecursiveGaussian(image, spacing / 2, direction=axis)
    return image


def resample_on_grid(image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None) -> sitk.Image:
    """Resample a scalar volume on a grid, without detail that the grid's first axis cannot hold.

    Args:
        image: The volume.
        grid: Where to resample it.
        transform: Grid point to point of `image`, mm, LPS; the identity by default.

    Returns:
        float32; 0 outside the image.
    """
    image = smooth_for_spacing(image, grid.GetSpacing()[0])
    transform = transform or sitk.Transform(3, sitk.sitkIdentity)
    return sitk.Resample(image, grid, transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32)


def downsample(image: sitk.Image, spacing: float) -> sitk.Image:
    """Resample a scalar volume on cubes of about a spacing, over the space that its voxels fill.

    Both the Gaussian and the linear interpolation work along one axis at a time, so an axis of voxels is multiplied by
    one matrix: the answers of ITK's filters to each voxel alone. That takes a tenth of the filters' own time.

    Args:
        image: The volume.
        spacing: In mm; half of the image's finest spacing is taken instead if that is more.

    Returns:
        float32.
    """
    extent = np.array(image.GetSize()) * image.GetSpacing()
    spacing = max(spacing, min(image.GetSpacing()) / 2)
    counts = np.maximum(SMALLEST_SMOOTHED_COUNT, np.round(extent / spacing)).astype(int)
    if counts.tolist() == list(image.GetSize()) and min(image.GetSpacing()) >= COARSER_FACTOR * spacing:
        same: sitk.Image = sitk.Cast(image, sitk.sitkFloat32)
        return same
    grid = grid_of_size(image, counts)
    along_i, along_j, along_k = (
        _coarsening(count, own, grid_count, spacing)
        for count, own, grid_count in zip(image.GetSize(), image.GetSpacing(), counts.tolist(), strict=True)
    )
    values = sitk.GetArrayViewFromImage(image).astype(np.float32, copy=False)
    coarse = sitk.GetImageFromArray(along_j @ np.tensordot(along_k, values, 1) @ along_i.T)
    coarse.CopyInformation(grid)
    return coarse


def _coarsening(count: int, own: float, grid_count: int, spacing: float) -> np.ndarray:
    """Return the matrix (grid_count, count) that makes an axis coarser.

    Args:
        count: Voxels along the axis.
        own: Their spacing in mm.
        grid_count: Voxels along the coarse axis, over the same length.
        spacing: Of the grid in mm; detail that it cannot hold is removed.
    """
    voxels = sitk.GetImageFromArray(np.eye(count, dtype=np.float32))
    voxels.SetSpacing((own, own))
    if own < COARSER_FACTOR * spacing and count >= SMALLEST_SMOOTHED_COUNT:
        voxels = sitk.RecursiveGaussian(voxels, spacing / 2, direction=0)
    ratio = count / grid_count
    grid = sitk.Image([grid_count, count], sitk.sitkUInt8)
    grid.SetSpacing((own * ratio, own))
    grid.SetOrigin((own * (ratio - 1) / 2, 0.0))
    coarse = sitk.Resample(voxels, grid, sitk.Transform(2, sitk.sitkIdentity), sitk.sitkLinear, 0.0)
    matrix: np.ndarray = sitk.GetArrayFromImage(coarse).T
    matrix[np.abs(matrix) < NEGLIGIBLE_WEIGHT] = 0
    return matrix
