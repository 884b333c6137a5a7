"""Tell whether two volumes share any part of space."""

from itertools import combinations, product

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions
from BSAFusionLib.geometry.inverse import carry_points

CELLS = 8  # along each axis of the first box, so that a transform that bends is nearly linear in each
SMALLEST_OVERLAP = 1e-6  # of a voxel: boxes that merely touch do not overlap


def boxes_overlap(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> bool:
    """Tell whether the boxes that the voxels of two volumes fill overlap, however thin the volumes are.

    By the separating axis theorem: two convex bodies are apart where their projections on some axis are. It is exact
    for linear transforms, and as good as linear interpolation between the corners of cells for others.

    Args:
        fixed: Its box is cut into cells.
        moving: Of any grid.
        transform: Fixed point to moving point, mm, LPS.
    """
    corners, edges = _cells(fixed, moving, transform)
    size = np.array(moving.GetSize(), float)
    apart = np.zeros(len(corners), bool)
    for axis in _axes(edges):
        along = np.einsum("ni,nei->ne", axis, edges)
        first = np.einsum("ni,ni->n", axis, corners)
        low, high = first + np.minimum(along, 0).sum(axis=1), first + np.maximum(along, 0).sum(axis=1)
        least, largest = (np.minimum(axis, 0) * size).sum(axis=1), (np.maximum(axis, 0) * size).sum(axis=1)
        # A product of parallel edges is zero and separates nothing.
        apart |= np.maximum(low - largest, least - high) > -SMALLEST_OVERLAP * np.linalg.norm(axis, axis=1)
    return not apart.all()


def _cells(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> tuple[np.ndarray, np.ndarray]:
    """Return the first corner (n, 3) and edges (n, 3, 3), one a row, of a box's cells in voxels of the moving one."""
    steps = [np.linspace(0, count, CELLS + 1) - 0.5 for count in fixed.GetSize()]
    indices = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    points = indices * fixed.GetSpacing() @ directions(fixed).T + fixed.GetOrigin()
    carried = carry_points(transform, points) - moving.GetOrigin()
    nodes = carried @ np.linalg.inv(directions(moving)).T / moving.GetSpacing() + 0.5
    nodes = nodes.reshape(CELLS + 1, CELLS + 1, CELLS + 1, 3)
    corners = nodes[:-1, :-1, :-1]
    ends = nodes[1:, :-1, :-1], nodes[:-1, 1:, :-1], nodes[:-1, :-1, 1:]
    edges = np.stack([end - corners for end in ends], axis=-2)
    return corners.reshape(-1, 3), edges.reshape(-1, 3, 3)


def _axes(edges: np.ndarray) -> list[np.ndarray]:
    """Return the axes (n, 3) that may separate a box of upright edges from others: normals of faces, edge by edge."""
    upright = [np.broadcast_to(axis, edges[:, 0].shape) for axis in np.eye(3)]
    own = [edges[:, number] for number in range(3)]
    pairs = [*combinations(own, 2), *product(upright, own)]
    return [*upright, *(np.cross(one, other) for one, other in pairs)]
