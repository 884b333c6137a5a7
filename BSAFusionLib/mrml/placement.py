"""Place nodes under a result's transform, and put them back under their own parents."""

from collections.abc import Iterable

import numpy as np
import slicer
from slicer.util import arrayFromTransformMatrix, arrayFromVTKMatrix
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.scene import nodes_of_class

# Node references of a node that lies under a result: to that result, and to its former parent.
PLACED_UNDER, PLACED_BEFORE = "BSAFusion.placedUnder", "BSAFusion.placedBefore"
# Node references of a run's outputs: to the moving volume; and of its grid transform: to the parent that it replaces.
FILLED_FROM, TAKES_PLACE_OF = "BSAFusion.filledFrom", "BSAFusion.takesPlaceOf"
# Attribute of a grid transform: the moving volume's voxels along each axis and its matrix, as numbers.
FILLED_FROM_GRID = "BSAFusion.filledFromGrid"
GRIDS_APART_MM = 1e-3  # how far the matrices of a sequence's frames may differ, which a moving volume shows in turn


def ijk_to_ras(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """Return the matrix, 4 x 4, from a volume's voxel indices to its own coordinates, mm, RAS."""
    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return arrayFromVTKMatrix(matrix)


def parent_to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """Return the matrix from a node's own coordinates to the world.

    For a node that `place_under` put under a result, or a moving volume under its own result, its former parents count.

    Args:
        node: A node with or without parent transforms.

    Returns:
        4 x 4, mm, RAS; the identity for a node without parents.

    Raises:
        FusionError: A parent transform is not linear.
    """
    parent = parent_before(node)
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise FusionError(
            f"'{node.GetName()}' lies under a non-linear transform; harden that transform or remove the node from it."
        )
    return arrayFromTransformMatrix(parent, toWorld=True)


def parent_before(node: slicer.vtkMRMLTransformableNode) -> slicer.vtkMRMLTransformNode | None:
    """Return the parent that a node has, or had before a result replaced it."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return None
    if parent is node.GetNodeReference(PLACED_UNDER):
        return node.GetNodeReference(PLACED_BEFORE)
    if parent.GetNodeReference(FILLED_FROM) is node:  # by hand, and not by `place_under`
        return parent.GetNodeReference(TAKES_PLACE_OF)
    return parent


def lies_under_result(node: slicer.vtkMRMLTransformableNode) -> bool:
    """Return True for a node that a result moves on screen, for which `parent_to_world` returns its former place."""
    return parent_before(node) is not node.GetParentTransformNode()


def lies_under(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLNode) -> bool:
    """Return True for a node that has the transform among its parents."""
    parent = node.GetParentTransformNode()
    return parent is not None and (parent is transform or lies_under(parent, transform))


def parents_before(node: slicer.vtkMRMLTransformableNode) -> list[slicer.vtkMRMLTransformNode]:
    """Return the parent that a node has, or had before a result replaced it, and all parents of that one."""
    parents, parent = [], parent_before(node)
    while parent is not None:
        parents.append(parent)
        parent = parent.GetParentTransformNode()
    return parents


def is_placed_by(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLNode) -> bool:
    """Return True for a node that has the transform among its parents, now or without its result."""
    return lies_under(node, transform) or transform in parents_before(node)


def place_under(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> None:
    """Replace a node's parents by a transform; the node keeps a reference to its own, also in a saved scene."""
    if node.GetParentTransformNode() is transform:
        return
    parent = parent_before(node)
    node.SetNodeReferenceID(PLACED_BEFORE, parent.GetID() if parent is not None else None)
    node.SetNodeReferenceID(PLACED_UNDER, transform.GetID())
    node.SetAndObserveTransformNodeID(transform.GetID())


def move_to_result(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> None:
    """Move a node that `place_under` put under another result to this one, or put it back where this one does not fit.

    Args:
        node: The moving volume of the result; elsewhere than under another result, it stays where it is.
        transform: The grid transform of the result.
    """
    if node.GetNodeReference(PLACED_UNDER) in (None, transform) or left_result(node):
        return
    if fits_result(node, transform):
        place_under(node, transform)
    else:
        put_back(node)


def put_back(node: slicer.vtkMRMLTransformableNode) -> None:
    """Put a node that `place_under` moved back under its own parent."""
    parent = parent_before(node)
    node.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    _forget_place(node)


def put_back_from(transform: slicer.vtkMRMLTransformNode) -> None:
    """Put all nodes that `place_under` put under a transform back under their own parents, before it is removed.

    A node that was hardened or taken out of the transform meanwhile stays where it is.
    """
    for node in nodes_of_class(transform.GetScene(), "vtkMRMLTransformableNode"):
        if node.GetNodeReference(PLACED_UNDER) is transform:
            leave_result(node, transform)


def leave_result(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> None:
    """Put a node back that belongs under a transform; one that was hardened or taken out stays where it is."""
    if node.GetParentTransformNode() is transform:
        put_back(node)
    else:
        _forget_place(node)


def under_former_result(
    transform: slicer.vtkMRMLTransformNode | None, moving: slicer.vtkMRMLVolumeNode
) -> list[slicer.vtkMRMLTransformableNode]:
    """Return the nodes that belong under a transform's present result, which does not fit the next moving volume.

    Args:
        transform: The transform that a run is to fill; None for one that it creates.
        moving: The moving volume of that run.

    Returns:
        Where it is another volume, or was hardened since: the nodes that `place_under` put there, and the former moving
        volume also where it was put there by hand.
    """
    if transform is None:
        return []
    former = transform.GetNodeReference(FILLED_FROM)
    if former is None or (former is moving and fits_result(moving, transform)):
        return []
    return [
        node
        for node in nodes_of_class(transform.GetScene(), "vtkMRMLTransformableNode")
        if node is not moving
        and (
            node.GetNodeReference(PLACED_UNDER) is transform
            or (node is former and node.GetParentTransformNode() is transform)
        )
    ]


def result_of(node: slicer.vtkMRMLTransformableNode) -> slicer.vtkMRMLTransformableNode | None:
    """Return the moving volume whose result a node lies under, put there by `place_under`; None elsewhere."""
    transform = node.GetNodeReference(PLACED_UNDER)
    return None if transform is None or left_result(node) else transform.GetNodeReference(FILLED_FROM)


def under_unfit_result(
    node: slicer.vtkMRMLTransformableNode, moving: slicer.vtkMRMLVolumeNode
) -> slicer.vtkMRMLTransformNode | None:
    """Return the result that a node lies under, where its moving volume was hardened or moved since; else None."""
    transform = node.GetParentTransformNode()
    if node is moving or transform is None or transform.GetNodeReference(FILLED_FROM) is not moving:
        return None
    return None if fits_result(moving, transform) else transform


def left_result(node: slicer.vtkMRMLTransformableNode) -> bool:
    """Return True for a node that was hardened under a result, or taken out of it by hand."""
    transform = node.GetNodeReference(PLACED_UNDER)
    return transform is not None and node.GetParentTransformNode() is not transform


def has_left_result_of(node: slicer.vtkMRMLTransformableNode, moving: slicer.vtkMRMLVolumeNode) -> bool:
    """Return True for a node that left a volume's result, where that volume did not get another grid by it."""
    transform = node.GetNodeReference(PLACED_UNDER)
    return left_result(node) and transform.GetNodeReference(FILLED_FROM) is moving and fits_result(moving, transform)


def fits_result(moving: slicer.vtkMRMLVolumeNode, grid_transform: slicer.vtkMRMLTransformNode) -> bool:
    """Return False for a moving volume that has got another grid since the transform was filled, such as by hardening.

    The transform would then move it twice.
    """
    stored = grid_transform.GetAttribute(FILLED_FROM_GRID)
    if stored is None:
        return True
    numbers, grid = np.array(stored.split(), dtype=float), _grid(moving)
    size, matrix = numbers[:3], numbers[3:].reshape(4, 4)
    before = np.concatenate([size, as_slicer_reads(matrix, size, grid[3:].reshape(4, 4)).ravel()])
    return np.allclose(grid, before, rtol=0, atol=GRIDS_APART_MM)


def as_slicer_reads(matrix: np.ndarray, size: Iterable[float], read: np.ndarray) -> np.ndarray:
    """Return the matrix of a grid as Slicer has it after reading a file: left-handed slices are in the reverse order.

    Args:
        matrix: 4 x 4, voxel indices to mm, before.
        size: Voxels along each axis.
        read: The matrix of the volume node; where it is left-handed, too, Slicer kept the order.
    """
    if np.linalg.det(matrix[:3, :3]) > 0 or np.linalg.det(read[:3, :3]) < 0:
        return matrix
    reverse = np.diag([1.0, 1.0, -1.0, 1.0])
    reverse[2, 3] = list(size)[2] - 1
    reversed_matrix: np.ndarray = matrix @ reverse
    return reversed_matrix


def _grid(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    size = volume.GetImageData().GetDimensions() if volume.GetImageData() is not None else (0, 0, 0)
    return np.concatenate([size, ijk_to_ras(volume).ravel()])


def _forget_place(node: slicer.vtkMRMLTransformableNode) -> None:
    node.RemoveNodeReferenceIDs(PLACED_UNDER)
    node.RemoveNodeReferenceIDs(PLACED_BEFORE)


def mark_as_filled(
    nodes: Iterable[slicer.vtkMRMLNode],
    grid_transform: slicer.vtkMRMLTransformNode,
    moving: slicer.vtkMRMLVolumeNode,
) -> None:
    """Reference, from a run's outputs, the moving volume and the parent that the grid transform replaces.

    The transform also keeps the volume's grid, for `fits_result`.

    Args:
        nodes: The volumes that the run filled.
        grid_transform: The transform that it filled.
        moving: The moving volume.
    """
    parent = parent_before(moving)
    for node in (*nodes, grid_transform):
        node.SetNodeReferenceID(FILLED_FROM, moving.GetID())
    grid_transform.SetNodeReferenceID(TAKES_PLACE_OF, parent.GetID() if parent is not None else None)
    grid_transform.SetAttribute(FILLED_FROM_GRID, " ".join(f"{number:.9g}" for number in _grid(moving)))
