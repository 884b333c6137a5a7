"""Whether nodes of a scene can take part in a run; FusionError says why not."""

from collections.abc import Sequence

import numpy as np
import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.hierarchy import modality_from_dicom
from BSAFusionLib.mrml.placement import parent_to_world

SAME_PLACE_MM = 1e-4  # how far the matrices of two places may differ


def checkInput(volume: slicer.vtkMRMLNode | None, role: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a volume that can be an input; `role` is what the message calls it."""
    if volume is None:
        raise FusionError(f"There is no {role} volume: choose one.")
    if volume.GetClassName() not in (volumeClass(False), volumeClass(True)):
        raise FusionError(
            f"The {role} volume '{volume.GetName()}' is not a plain scan but, say, a label map: choose another."
        )
    if volume.GetImageData() is None or volume.GetImageData().GetNumberOfPoints() == 0:
        raise FusionError(f"The {role} volume '{volume.GetName()}' holds no image: load it or choose another.")
    if components(volume) not in (1, 3):
        raise FusionError(
            f"The {role} volume '{volume.GetName()}' has {components(volume)} values a voxel: choose one with 1 or 3."
        )
    return volume


def checkRoles(
    fixedVolume: slicer.vtkMRMLScalarVolumeNode, movingVolume: slicer.vtkMRMLVolumeNode, modality: str
) -> None:
    """FusionError where DICOM says that the fixed volume is no MRI, or that the moving one is one."""
    other = modality_from_dicom(fixedVolume)
    if other not in (None, "mri"):
        raise FusionError(
            f"The fixed volume '{fixedVolume.GetName()}' is a {other.upper()} by DICOM and no MRI: exchange the two, "
            "or choose another."
        )
    if modality == "auto" and modality_from_dicom(movingVolume) == "mri":
        raise FusionError(
            f"The moving volume '{movingVolume.GetName()}' is an MRI by DICOM: exchange the two, choose another, or "
            "say its modality."
        )


def checkScalar(volume: slicer.vtkMRMLScalarVolumeNode, role: str) -> None:
    if components(volume) > 1:
        raise FusionError(f"'{volume.GetName()}' is in color, but {role} has one value a voxel: convert it first.")


def checkOutputs(outputs: dict[str, tuple[slicer.vtkMRMLNode | None, str]], inputs: tuple) -> None:
    taken = list(inputs)
    for role, (node, className) in outputs.items():
        if node is None:
            continue
        if node in taken:
            raise FusionError(
                f"The {role} cannot be '{node.GetName()}', which is used for something else: choose another, or let "
                "one be created."
            )
        if node.GetClassName() != className:
            raise FusionError(
                f"The {role} must be a {className}, but '{node.GetName()}' is a {node.GetClassName()}: choose another, "
                "or let one be created."
            )
        taken.append(node)


def checkCarried(
    carry: Sequence[slicer.vtkMRMLNode], movingVolume: slicer.vtkMRMLScalarVolumeNode, staying: tuple
) -> None:
    """FusionError where one of these nodes cannot come under the result, which takes the moving volume's place."""
    place = parent_to_world(movingVolume)
    for node in carry:
        name = node.GetName()
        if node in staying:
            raise FusionError(f"'{name}' cannot move along, being the fixed volume or an output: choose another.")
        if not node.IsA("vtkMRMLTransformableNode") or not node.CanApplyNonLinearTransforms():
            raise FusionError(f"'{name}', a {node.GetClassName()}, cannot follow a deformation: choose another.")
        if any(_liesUnder(other, node) for other in (*staying, movingVolume) if other is not None):
            raise FusionError(f"A volume lies under '{name}', which therefore cannot move along: choose another.")
        if not np.allclose(parent_to_world(node), place, atol=SAME_PLACE_MM):
            raise FusionError(
                f"'{name}' does not lie under the same transform as the moving volume, so it cannot move along: put "
                "it there, or harden both."
            )


def _liesUnder(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLNode) -> bool:
    parent = node.GetParentTransformNode()
    return parent is not None and (parent is transform or _liesUnder(parent, transform))


def components(volume: slicer.vtkMRMLScalarVolumeNode) -> int:
    return volume.GetImageData().GetNumberOfScalarComponents()


def volumeClass(inColor: bool) -> str:
    return "vtkMRMLVectorVolumeNode" if inColor else "vtkMRMLScalarVolumeNode"
