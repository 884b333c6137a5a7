"""Change a scene completely or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import slicer

from BSAFusionLib.mrml.placement import PLACED_BEFORE, PLACED_UNDER
from BSAFusionLib.mrml.scene import nodes_of_class


@contextmanager
def all_or_nothing(
    scene: slicer.vtkMRMLScene,
    *filled: slicer.vtkMRMLDisplayableNode | None,
    moved: Sequence[slicer.vtkMRMLTransformableNode] = (),
) -> Iterator[None]:
    """Show all changes of a `with` block to the scene at once; undo them where the block raises.

    Args:
        scene: The scene; nodes that the block adds are removed after an error.
        *filled: Present nodes that the block fills; their content is restored after an error.
        moved: Nodes that get another parent transform; theirs is restored after an error.
    """
    before = set(nodes_of_class(scene, "vtkMRMLNode"))
    kept = []
    for filled_node in [node for node in filled if node is not None]:
        for changed in (filled_node, filled_node.GetDisplayNode()):
            if changed is not None:
                copy = changed.CreateNodeInstance()
                copy.UnRegister(None)  # the reference that it was made with: Python has its own
                # A shallow copy would share the matrix, which is changed in place.
                copy.CopyContent(changed, changed.IsA("vtkMRMLLinearTransformNode"))
                kept.append((changed, copy, changed.GetNodeReferenceID("transform")))
    roles = "transform", PLACED_UNDER, PLACED_BEFORE
    places = [(node, {role: node.GetNodeReferenceID(role) for role in roles}) for node in moved]
    scene.StartState(scene.BatchProcessState)
    try:
        yield
    except BaseException:
        for node in set(nodes_of_class(scene, "vtkMRMLNode")) - before:
            scene.RemoveNode(node)
        for node, copy, parent in kept:
            node.CopyContent(copy, False)
            node.SetNodeReferenceID("transform", parent)
        for node, place in places:
            for role, parent in place.items():
                node.SetNodeReferenceID(role, parent)
        raise
    finally:
        scene.EndState(scene.BatchProcessState)
