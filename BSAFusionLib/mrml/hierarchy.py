"""Slicer's subject hierarchy: the modality that its DICOM import stored, and where new nodes are filed."""

import slicer

from BSAFusionLib.modalities import from_dicom
from BSAFusionLib.mrml.scene import nodes_of_class


def modality_from_dicom(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """What Slicer's DICOM import noted on a volume: "mri" or a name in `MODALITIES`; None where it noted none of these.

    The import keeps the modality with the subject hierarchy item, and marks a CT's voxels as Hounsfield units.
    """
    units = volume.GetVoxelValueUnits()
    if units is not None and units.GetCodeValue() == "[hnsf'U]":
        return "ct"
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    for hierarchy in nodes_of_class(volume.GetScene(), "vtkMRMLSubjectHierarchyNode"):
        item = hierarchy.GetItemByDataNode(volume)
        noted = hierarchy.GetItemAttribute(item, attribute) if item else None
        if (modality := from_dicom(noted)) is not None:
            return modality
    return None


def file_beside(node: slicer.vtkMRMLNode, neighbour: slicer.vtkMRMLNode) -> None:
    """Lets a node lie in the folder, study or patient of the subject hierarchy that another one lies in."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item, beside = (hierarchy.GetItemByDataNode(each) for each in (node, neighbour))
    if item and beside:  # without Slicer's application nobody makes any
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))
