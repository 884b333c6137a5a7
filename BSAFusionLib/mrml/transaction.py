"""Change a scene completely or not at all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product

import slicer
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

from BSAFusionLib.mrml.display import volumes_in_views
from BSAFusionLib.mrml.placement import FILLED_FROM, PLACED_BEFORE, PLACED_UNDER, TAKES_PLACE_OF
from BSAFusionLib.mrml.scene import nodes_of_class

# Node references that a run changes: of the nodes that it fills, and of those that it puts under a result.
FILLING_ROLES = "transform", FILLED_FROM, TAKES_PLACE_OF, "region"  # the last is of the display of a grid
PLACING_ROLES = "transform", PLACED_UNDER, PLACED_BEFORE


@contextmanager
def all_or_nothing(
    scene: slicer.vtkMRMLScene,
    *filled: slicer.vtkMRMLDisplayableNode | None,
    moved: Sequence[slicer.vtkMRMLTransformableNode] = (),
) -> Iterator[None]:
    """Show all changes of a `with` block to the scene at once; undo them where the block raises.

    Args:
        scene: The scene; after an error, nodes that the block adds are removed, and the slice views show the volumes
            from before.
        *filled: Present nodes that the block fills; their content, references and display are restored after an error.
        moved: Nodes that get another parent transform; theirs is restored after an error.
    """
    before = set(nodes_of_class(scene, "vtkMRMLNode"))
    changing = [changed for node in filled if node is not None for changed in _with_display(node)]
    restore = list(_apart_from_content(changing))
    copies = [(node, _copy(node)) for node in changing]
    references = [*_references(changing, FILLING_ROLES), *_references(moved, PLACING_ROLES)]
    show_again = volumes_in_views(scene)
    scene.StartState(scene.BatchProcessState)
    try:
        yield
    except BaseException:
        for node in set(nodes_of_class(scene, "vtkMRMLNode")) - before:
            scene.RemoveNode(node)
        for node, copy in copies:
            node.CopyContent(copy, False)
        for restore_one in restore:
            restore_one()
        for node, role, referenced in references:
            node.SetNodeReferenceID(role, referenced)
        show_again()
        raise
    finally:
        scene.EndState(scene.BatchProcessState)


def _with_display(node: slicer.vtkMRMLDisplayableNode) -> list[slicer.vtkMRMLNode]:
    """Return a node with its display and that one's legend."""
    display = node.GetDisplayNode()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display) if display is not None else None
    return [part for part in (node, display, legend) if part is not None]


def _apart_from_content(nodes: Iterable[slicer.vtkMRMLNode]) -> Iterator[Callable[[], None]]:
    """Yield functions that restore what Slicer does not copy with a node's content: units, and the colors of a grid."""
    for node in nodes:
        if node.IsA("vtkMRMLScalarVolumeNode"):
            yield partial(node.SetVoxelValueQuantity, node.GetVoxelValueQuantity())
            yield partial(node.SetVoxelValueUnits, node.GetVoxelValueUnits())
        elif node.IsA("vtkMRMLTransformDisplayNode") and node.GetColorNode() is not None:
            colors = vtkColorTransferFunction()
            colors.DeepCopy(node.GetColorMap())
            yield partial(node.SetColorMap, colors)


def _copy(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    """Return a copy of a node's content, outside of the scene."""
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)  # the reference that it was made with: Python has its own
    # A shallow copy would share the matrix, which is changed in place.
    copy.CopyContent(node, node.IsA("vtkMRMLLinearTransformNode"))
    return copy


def _references(
    nodes: Iterable[slicer.vtkMRMLNode], roles: Iterable[str]
) -> Iterator[tuple[slicer.vtkMRMLNode, str, str | None]]:
    """Yield nodes, roles, and the ID of the node that each references in the role."""
    for node, role in product(nodes, roles):
        yield node, role, node.GetNodeReferenceID(role)
