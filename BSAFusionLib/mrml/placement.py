"""Parent transforms of nodes: what they amount to, and a result that takes their place and can be taken back."""

from collections.abc import Iterable

import numpy as np
import slicer
from slicer.util import arrayFromTransformMatrix

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.scene import nodes_of_class

# Node references of what lies under a result: to that, and to the parent that it had before.
PLACED_UNDER, PLACED_BEFORE = "BSAFusion.placedUnder", "BSAFusion.placedBefore"
# Of what a run filled: to the moving volume; and of its grid transform: to the parent whose place that takes.
FILLED_FROM, TAKES_PLACE_OF = "BSAFusion.filledFrom", "BSAFusion.takesPlaceOf"


def parent_to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The 4 x 4 matrix, mm, RAS, that a node's parent transforms amount to; FusionError where they are not linear.

    A node that `place_under` put under a result, or a moving volume under its own, counts as lying where it lay.
    """
    parent = _parent_before(node)
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise FusionError(
            f"'{node.GetName()}' lies under a non-linear transform: harden that, or take it out of there, first."
        )
    return arrayFromTransformMatrix(parent, toWorld=True)


def place_under(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> None:
    """Lets a transform take the place of a node's parents; the node remembers its own, also in a saved scene."""
    if node.GetParentTransformNode() is transform:
        return
    parent = _parent_before(node)
    node.SetNodeReferenceID(PLACED_BEFORE, parent.GetID() if parent is not None else None)
    node.SetNodeReferenceID(PLACED_UNDER, transform.GetID())
    node.SetAndObserveTransformNodeID(transform.GetID())


def put_back(node: slicer.vtkMRMLTransformableNode) -> None:
    """Puts a node that `place_under` moved back under its own parent."""
    parent = _parent_before(node)
    node.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    node.RemoveNodeReferenceIDs(PLACED_UNDER)
    node.RemoveNodeReferenceIDs(PLACED_BEFORE)


def put_back_orphans(scene: slicer.vtkMRMLScene) -> None:
    """Puts the nodes that `place_under` moved back under their own parents where the result is no longer there."""
    for node in nodes_of_class(scene, "vtkMRMLTransformableNode"):
        if node.GetNodeReference(PLACED_BEFORE) and not node.GetNodeReference(PLACED_UNDER):
            if node.GetParentTransformNode() is None:
                node.SetAndObserveTransformNodeID(node.GetNodeReferenceID(PLACED_BEFORE))
            node.RemoveNodeReferenceIDs(PLACED_BEFORE)


def mark_as_filled(
    nodes: Iterable[slicer.vtkMRMLNode],
    grid_transform: slicer.vtkMRMLTransformNode,
    moving: slicer.vtkMRMLTransformableNode,
) -> None:
    """Notes which moving volume a run filled these nodes from, and which parent of it the grid transform replaces."""
    parent = _parent_before(moving)
    for node in (*nodes, grid_transform):
        node.SetNodeReferenceID(FILLED_FROM, moving.GetID())
    grid_transform.SetNodeReferenceID(TAKES_PLACE_OF, parent.GetID() if parent is not None else None)


def _parent_before(node: slicer.vtkMRMLTransformableNode) -> slicer.vtkMRMLTransformNode | None:
    parent = node.GetParentTransformNode()
    if parent is None:
        return None
    if parent is node.GetNodeReference(PLACED_UNDER):
        return node.GetNodeReference(PLACED_BEFORE)
    if parent.GetNodeReference(FILLED_FROM) is node:  # by hand, and not by `place_under`
        return parent.GetNodeReference(TAKES_PLACE_OF)
    return parent
