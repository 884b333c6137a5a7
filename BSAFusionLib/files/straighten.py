"""Resample volumes whose voxels do not lie at right angles, or not at equal distances, to a grid that does."""

from itertools import product

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import resample_through
from BSAFusionLib.pipeline.guess import is_surely_labels


def matrix_of(image: sitk.Image) -> np.ndarray:
    """Return the 4 x 4 matrix from voxel index to mm, LPS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix


def place(image: sitk.Image, matrix: np.ndarray) -> None:
    """Set origin, spacing and direction by a 4 x 4 matrix from voxel index to mm, LPS, which may be sheared."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())


def straightened(name: str) -> str:
    """Return the remark for a volume that was straightened."""
    return (
        f"The slices of {name} are shifted against each other (a tilted gantry?); the volume was straightened by "
        "resampling it once."
    )


def straighten(image: sitk.Image, labels: bool = False) -> sitk.Image:
    """Resample a sheared volume once to a right-angled grid that covers it.

    Rows and columns keep their spacing where they are at right angles; the slices lie as far apart as they do along
    their normal. What the volume does not cover gets its lowest value.

    Args:
        image: Scalar or vector; its direction is not orthonormal.
        labels: Take the nearest voxel, for a volume that is known to hold labels or looks so; else resample linearly.

    Returns:
        Of the same pixel type; the voxels keep their places in space.
    """
    matrix = matrix_of(image)
    axes = matrix[:3, :3]
    directions, heights = np.linalg.qr(axes)  # the first axis is kept, the others turn towards right angles
    signs = np.sign(np.diag(heights))
    directions, spacing = directions * signs, np.abs(np.diag(heights))
    corners = np.array(list(product(*((0, count - 1) for count in image.GetSize()))), float)
    along = (corners @ axes.T) @ directions  # mm along the new axes, from the first voxel
    first = along.min(axis=0)
    counts = np.floor((along.max(axis=0) - first) / spacing + 1.5).astype(int)
    grid = sitk.Image(counts.tolist(), sitk.sitkUInt8)
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection(directions.ravel().tolist())
    grid.SetOrigin((matrix[:3, 3] + directions @ first).tolist())
    labels = labels or is_surely_labels(sitk.GetArrayViewFromImage(image))
    return resample_through(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor if labels else sitk.sitkLinear)


def even_slices(voxels: np.ndarray, heights: np.ndarray, step: float) -> np.ndarray:
    """Resample slices at uneven heights linearly to even ones, from the first height on.

    Args:
        voxels: (slice, row, column), of any real type.
        heights: Rising (slice,), mm.
        step: Distance of the new slices, mm.

    Returns:
        float32 (slice, row, column); the last slice does not lie beyond the last height.
    """
    wanted = heights[0] + step * np.arange(int((heights[-1] - heights[0]) / step + 1e-3) + 1)
    above = np.clip(np.searchsorted(heights, wanted), 1, len(heights) - 1)
    weight = np.clip((wanted - heights[above - 1]) / (heights[above] - heights[above - 1]), 0, 1)
    even = np.empty((len(wanted), *voxels.shape[1:]), np.float32)
    for plane, upper, share in zip(even, above, weight, strict=True):
        plane[:] = (1 - share) * voxels[upper - 1] + share * voxels[upper]
    return even
