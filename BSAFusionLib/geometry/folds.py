"""Finds where a displacement field folds space, and damps it there."""

from itertools import count, product

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions

DETERMINANT_FLOOR = 0.1  # no point's Jacobian determinant falls below it
DAMPING = 0.3  # fraction of the displacement at a fold that every round removes
FIRST_REACH_VX = 2  # how far around a fold the first round reaches; each round goes one voxel farther
LOCAL_ROUNDS = 25  # after which the whole field is damped, which always ends


def remove_folds(field: sitk.Image) -> tuple[sitk.Image, float]:
    """Damp a field u, smoothly and only around its folds, until x + u(x) folds nowhere.

    Every cell then has a determinant of `DETERMINANT_FLOOR` or more, as `determinant_bounds` bounds it. Where u is zero
    at the outermost voxels, x + u(x) is thereby one to one in the whole of space.

    Args:
        field: mm, LPS.

    Returns:
        The field, the same one where it does not fold, and the largest change of a displacement in mm.
    """
    damped = field
    for done in count():
        folded = determinant_bounds(damped) < DETERMINANT_FLOOR
        if not folded.any():
            break
        fraction = np.full(field.GetSize()[::-1], DAMPING)
        if done < LOCAL_ROUNDS:
            fraction *= _nearness(folded, FIRST_REACH_VX + done)
        vectors = sitk.GetArrayFromImage(damped)
        vectors *= 1 - fraction[..., None]
        damped = sitk.GetImageFromArray(vectors, isVector=True)
        damped.CopyInformation(field)
    if damped is field:
        return field, 0.0
    change = sitk.GetArrayViewFromImage(damped) - sitk.GetArrayViewFromImage(field)
    return damped, float(np.linalg.norm(change, axis=-1).max())


def _nearness(folded: np.ndarray, reach: int) -> np.ndarray:
    """Return 1 near folded cells (slice, row, column) and 0 far away, at the voxels, smoothed over `reach` voxels."""
    cells = sitk.GetImageFromArray(np.pad(folded, [(0, 1)] * 3).astype(np.uint8))
    near = sitk.Cast(sitk.BinaryDilate(cells, [reach] * 3, sitk.sitkBox), sitk.sitkFloat32)
    return sitk.GetArrayFromImage(sitk.DiscreteGaussian(near, [float(reach**2)] * 3, 100, useImageSpacing=False))


def determinant_bounds(field: sitk.Image, least: float = DETERMINANT_FLOOR) -> np.ndarray:
    """Bound the Jacobian determinant of x + u(x) from below, in every cell between eight voxels.

    The bound holds for every point of a cell, with u interpolated linearly between the voxels, as ITK and Slicer's
    linear mode do. The columns of the Jacobian there are averages of the cell's four edges along each axis, and the
    determinant is linear in each column. So it is an average of the 64 determinants of one edge of each axis, and the
    smallest of those is the bound. ITK's determinant by central differences at a voxel is an average of eight of them.

    Args:
        field: mm, LPS.
        least: Where the field changes so little that the determinant cannot be below this, this stands for the bound.

    Returns:
        (slice, row, column) of the cells, one less than the voxels along each axis.
    """
    to_index = np.linalg.inv(directions(field) * field.GetSpacing())
    vectors = sitk.GetArrayViewFromImage(field)
    bounds = np.full([length - 1 for length in vectors.shape[:3]], least)
    steep = (1 - least ** (1 / 3)) ** 2  # a change of norm n leaves a determinant of (1 - n) ** 3 or more
    for slab, layer in enumerate(bounds):
        displaced = vectors[slab : slab + 2]
        rows, columns = np.nonzero(_largest_change(displaced, field.GetSpacing()) > steep)
        if len(rows):
            corners = np.array([displaced[k, rows + j, columns + i].T for k, j, i in product((0, 1), repeat=3)])
            layer[rows, columns] = _smallest_determinant((to_index @ corners).reshape(2, 2, 2, 3, -1))
    return bounds


def _largest_change(displaced: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the squared norm that the displacement's derivative has at most in the cells of one slab.

    Args:
        displaced: Displacements (2, row, column, 3) in mm of two slices.
        spacing: In mm.

    Returns:
        (row, column) of the cells.
    """
    # Along the edges of each axis, per mm, squared.
    edges = [np.square(np.diff(displaced, axis=2 - axis)).sum(axis=-1) / spacing[axis] ** 2 for axis in range(3)]
    change: np.ndarray = np.maximum(edges[0][:, 1:], edges[0][:, :-1]).max(axis=0)
    change += np.maximum(edges[1][:, :, 1:], edges[1][:, :, :-1]).max(axis=0)
    across = np.maximum(edges[2][0, 1:], edges[2][0, :-1])
    change += np.maximum(across[:, 1:], across[:, :-1])
    return change


def _smallest_determinant(corners: np.ndarray) -> np.ndarray:
    """Return the smallest of the 64 determinants of each cell.

    Args:
        corners: Displacements in voxels at the cells' corners (k, j, i, component, cell).

    Returns:
        (cell,).
    """
    edges = [np.diff(corners, axis=2 - n).reshape(4, 3, -1) + np.eye(3)[n][:, None] for n in range(3)]
    smallest = np.full(corners.shape[-1], np.inf)
    for (x, y, z), (u, v, w) in product(*edges[:2]):
        for third in edges[2]:
            determinants = third[0] * (y * w - z * v) + third[1] * (z * u - x * w) + third[2] * (x * v - y * u)
            np.minimum(smallest, determinants, out=smallest)
    return smallest
