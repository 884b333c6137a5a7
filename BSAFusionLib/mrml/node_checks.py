"""Check that nodes of a scene can be the inputs and outputs of a run."""

from collections.abc import Sequence

import numpy as np
import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.hierarchy import modality_from_dicom
from BSAFusionLib.mrml.placement import (
    PLACED_UNDER,
    has_left_result_of,
    is_placed_by,
    lies_under_result,
    parent_to_world,
    result_of,
    under_unfit_result,
)
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.mrml.sequences import sequence_of

SAME_PLACE_MM = 1e-4  # how far the matrices of two places may differ


def checkInput(volume: slicer.vtkMRMLNode | None, role: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a volume that can be an input.

    Args:
        volume: The node that was chosen, if any.
        role: "fixed" or "moving", for the message.

    Raises:
        FusionError: It cannot be an input.
    """
    if volume is None:
        raise FusionError(f"There is no {role} volume; choose one.")
    if volume.GetClassName() not in (volumeClass(False), volumeClass(True)):
        raise FusionError(
            f"The {role} volume '{volume.GetName()}' is a label map or the like; choose a scalar or RGB volume."
        )
    if volume.GetImageData() is None or volume.GetImageData().GetNumberOfPoints() == 0:
        raise FusionError(f"The {role} volume '{volume.GetName()}' holds no image; load it or choose another volume.")
    if components(volume) not in (1, 3):
        raise FusionError(
            f"The {role} volume '{volume.GetName()}' has {components(volume)} values per voxel; choose one with 1 or 3."
        )
    return volume


def checkOutsideResults(node: slicer.vtkMRMLTransformableNode, role: str) -> None:
    """Check that a node on the fixed side of a run does not lie under a result.

    It would be taken from its former place, and not from the one where it is shown.

    Args:
        node: The fixed volume, or a mask or points on it.
        role: What it is, for the message.

    Raises:
        FusionError: It lies under a result.
    """
    if lies_under_result(node):
        raise FusionError(
            f"The {role} '{node.GetName()}' lies under the result '{node.GetParentTransformNode().GetName()}'; take it "
            "out of that transform first, or harden it."
        )


def checkRoles(
    fixedVolume: slicer.vtkMRMLScalarVolumeNode, movingVolume: slicer.vtkMRMLVolumeNode, modality: str
) -> None:
    """Check by DICOM that the fixed volume is an MRI and, with modality "auto", the moving one is not.

    Raises:
        FusionError: The roles are wrong.
    """
    other = modality_from_dicom(fixedVolume)
    if other not in (None, "mri"):
        raise FusionError(
            f"The fixed volume '{fixedVolume.GetName()}' is a {other.upper()} by DICOM and no MRI; swap the two "
            "volumes or choose another."
        )
    if modality == "auto" and modality_from_dicom(movingVolume) == "mri":
        raise FusionError(
            f"The moving volume '{movingVolume.GetName()}' is an MRI by DICOM; swap the two volumes, choose another, "
            "or set its modality."
        )


def checkScalar(volume: slicer.vtkMRMLScalarVolumeNode, role: str) -> None:
    """Raise FusionError for a volume in color; `role` is for the message."""
    if components(volume) > 1:
        raise FusionError(f"'{volume.GetName()}' is in color, but {role} has one value per voxel; convert it first.")


def checkOutputs(outputs: dict[str, tuple[slicer.vtkMRMLNode | None, str]], inputs: tuple) -> None:
    """Check the nodes that a run is to fill.

    Args:
        outputs: Node, if any, and required class, by the name for the message.
        inputs: Nodes that must not be filled.

    Raises:
        FusionError: A node is used twice, of another class, or shows the frames of a sequence.
    """
    taken = list(inputs)
    for role, (node, className) in outputs.items():
        if node is None:
            continue
        if node in taken:
            raise FusionError(
                f"The {role} cannot be '{node.GetName()}', which is used for something else; choose another node or "
                "none."
            )
        if node.GetClassName() != className:
            raise FusionError(
                f"The {role} must be a {className}, but '{node.GetName()}' is a {node.GetClassName()}; choose another "
                "node or none."
            )
        if (sequence := sequence_of(node)) is not None:
            raise FusionError(
                f"The {role} cannot be '{node.GetName()}', which shows the frames of '{sequence.GetName()}' and "
                "changes with them; choose another node or none."
            )
        taken.append(node)


def checkFormerResult(
    carry: Sequence[slicer.vtkMRMLNode],
    movingVolume: slicer.vtkMRMLScalarVolumeNode,
    gridTransform: slicer.vtkMRMLGridTransformNode | None,
) -> None:
    """Check that no node needs a former result of a moving volume that was hardened since.

    The next result leads from where the volume was hardened to; it would put these nodes at a wrong place.

    Args:
        carry: The nodes that are to move along.
        movingVolume: The moving volume.
        gridTransform: The transform to fill, if any, with all nodes below it.

    Raises:
        FusionError: A node lies under such a result.
    """
    nodes = list(carry)
    if gridTransform is not None:
        below = nodes_of_class(gridTransform.GetScene(), "vtkMRMLTransformableNode")
        nodes += [node for node in below if node.GetParentTransformNode() is gridTransform]
    for node in nodes:
        if node.IsA("vtkMRMLTransformableNode"):
            checkFitsResult(node, movingVolume)


def checkFitsResult(node: slicer.vtkMRMLTransformableNode, movingVolume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Check that a node does not lie under a result whose moving volume was hardened or moved since.

    Args:
        node: A node of any kind.
        movingVolume: The moving volume of the result.

    Raises:
        FusionError: It does.
    """
    if (result := under_unfit_result(node, movingVolume)) is not None:
        raise FusionError(
            f"'{node.GetName()}' lies under the result '{result.GetName()}', but '{movingVolume.GetName()}' was "
            f"hardened or moved since; harden '{node.GetName()}', too."
        )


def checkCarried(
    carry: Sequence[slicer.vtkMRMLNode], movingVolume: slicer.vtkMRMLScalarVolumeNode, staying: tuple
) -> None:
    """Check the nodes that are to move along with the moving volume.

    Args:
        carry: These nodes.
        movingVolume: The moving volume.
        staying: The fixed volume, its mask and landmarks, and the outputs, None among them.

    Raises:
        FusionError: One of the nodes cannot be put under the result.
    """
    place = parent_to_world(movingVolume)
    for node in carry:
        name = node.GetName()
        if node in staying:
            raise FusionError(
                f"'{name}' cannot move along: it is an output or the fixed volume, its mask or landmarks; choose "
                "another node."
            )
        if not node.IsA("vtkMRMLTransformableNode") or not node.CanApplyNonLinearTransforms():
            raise FusionError(f"'{name}', a {node.GetClassName()}, cannot follow a deformation; choose another node.")
        if any(is_placed_by(other, node) for other in (*staying, movingVolume) if other is not None):
            raise FusionError(
                f"A volume of the run, its mask or landmarks lie under '{name}', which therefore cannot move along; "
                "choose another node."
            )
        if node is not movingVolume and result_of(node) not in (None, movingVolume):
            raise FusionError(
                f"'{name}' moves along with '{result_of(node).GetName()}', under its result; take it out of that "
                "transform first, or choose another."
            )
        if node is not movingVolume and has_left_result_of(node, movingVolume):
            raise FusionError(
                f"'{name}' was hardened under the result '{node.GetNodeReference(PLACED_UNDER).GetName()}', or taken "
                "out of it, and would move a second time; leave it out, or put it back under that transform if it was "
                "only taken out."
            )
        if not np.allclose(parent_to_world(node), place, atol=SAME_PLACE_MM):
            raise FusionError(
                f"'{name}' does not lie under the same transform as the moving volume and cannot move along; put it "
                "there, or harden both."
            )


def components(volume: slicer.vtkMRMLScalarVolumeNode) -> int:
    """Return the number of values per voxel."""
    return volume.GetImageData().GetNumberOfScalarComponents()


def volumeClass(inColor: bool) -> str:
    """Return the class of a volume node in color, or of one with a value per voxel."""
    return "vtkMRMLVectorVolumeNode" if inColor else "vtkMRMLScalarVolumeNode"
