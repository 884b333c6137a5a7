"""Keeps a displacement field from folding space."""

from itertools import count, product

import numpy as np
import SimpleITK as sitk

floor = 0.1  # no point's Jacobian determinant falls below it
_share_taken = 0.3  # of the displacement at a fold, each round
_around = 2  # voxels; how far about a fold the first round reaches, smoothed by as much; each round goes farther
_rounds = 25  # after which the whole field is damped, which always ends


def without_folds(field: sitk.Image) -> tuple[sitk.Image, float]:
    """A field u damped, smoothly and only about its folds, until x + u(x) folds nowhere.

    Every cell then has a determinant of `floor` or more, as `smallest_determinants` bounds it. Where u is zero at the
    outermost voxels, x + u(x) is thereby one to one in the whole of space. Returns the field, the same one where it
    does not fold, and the largest change of a displacement in mm.
    """
    damped = field
    for done in count():
        folded = smallest_determinants(damped) < floor
        if not folded.any():
            break
        share = np.full(field.GetSize()[::-1], _share_taken)
        if done < _rounds:
            reach = _around + done
            cells = sitk.GetImageFromArray(np.pad(folded, [(0, 1)] * 3).astype(np.uint8))
            near = sitk.Cast(sitk.BinaryDilate(cells, [reach] * 3, sitk.sitkBox), sitk.sitkFloat32)
            share *= sitk.GetArrayFromImage(sitk.DiscreteGaussian(near, reach**2, 100, useImageSpacing=False))
        vectors = sitk.GetArrayFromImage(damped)
        vectors *= 1 - share[..., None]
        damped = sitk.GetImageFromArray(vectors, isVector=True)
        damped.CopyInformation(field)
    if damped is field:
        return field, 0.0
    change = sitk.GetArrayViewFromImage(damped) - sitk.GetArrayViewFromImage(field)
    return damped, float(np.linalg.norm(change, axis=-1).max())


def smallest_determinants(field: sitk.Image, least: float = floor) -> np.ndarray:
    """A lower bound of the Jacobian determinant of x + u(x) in every cell between eight voxels, cells[k, j, i].

    It holds for every point of a cell, u being interpolated linearly between the voxels, as ITK and Slicer's linear
    mode do. The columns of the Jacobian there are averages of the cell's four edges along each axis, and the
    determinant is linear in each column; so it is an average of the 64 determinants of one edge of each axis, and the
    smallest of those is the bound. ITK's determinant by central differences at a voxel is an average of eight of them.

    Where the field changes so little that the determinant cannot be below `least`, `least` stands for the bound.
    """
    to_index = np.linalg.inv(np.reshape(field.GetDirection(), (3, 3)) * field.GetSpacing())
    vectors = sitk.GetArrayViewFromImage(field)
    bounds = np.full([length - 1 for length in vectors.shape[:3]], least)
    steep = (1 - least ** (1 / 3)) ** 2  # a change of norm n leaves a determinant of (1 - n) ** 3 or more
    for slab, layer in enumerate(bounds):
        moved = vectors[slab : slab + 2]
        # The change in mm along the edges of each axis, by mm: an axis a row, squared.
        lengths = [
            np.square(np.diff(moved, axis=2 - axis)).sum(axis=-1) / field.GetSpacing()[axis] ** 2 for axis in range(3)
        ]
        change = np.maximum(lengths[0][:, 1:], lengths[0][:, :-1]).max(axis=0)
        change += np.maximum(lengths[1][:, :, 1:], lengths[1][:, :, :-1]).max(axis=0)
        across = np.maximum(lengths[2][0, 1:], lengths[2][0, :-1])
        change += np.maximum(across[:, 1:], across[:, :-1])
        rows, columns = np.nonzero(change > steep)
        if len(rows):
            corners = np.array([moved[k, rows + j, columns + i].T for k, j, i in product((0, 1), repeat=3)])
            layer[rows, columns] = _smallest_of_cells((to_index @ corners).reshape(2, 2, 2, 3, -1))
    return bounds


def _smallest_of_cells(corners: np.ndarray) -> np.ndarray:
    """The smallest of the 64 determinants, from the displacements (in voxels) at corners[k, j, i, component, cell]."""
    edges = [np.diff(corners, axis=2 - n).reshape(4, 3, -1) + np.eye(3)[n][:, None] for n in range(3)]
    smallest = np.full(corners.shape[-1], np.inf)
    for (x, y, z), (u, v, w) in product(*edges[:2]):
        for third in edges[2]:
            determinants = third[0] * (y * w - z * v) + third[1] * (z * u - x * w) + third[2] * (x * v - y * u)
            np.minimum(smallest, determinants, out=smallest)
    return smallest
