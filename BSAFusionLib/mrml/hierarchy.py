"""What Slicer stores beside voxels: modality and unit from DICOM, and where nodes are filed."""

import slicer

from BSAFusionLib.modalities import from_dicom
from BSAFusionLib.mrml.scene import nodes_of_class

HOUNSFIELD_CODE = "[hnsf'U]"  # of Slicer's DICOM import, in UCUM


def modality_from_dicom(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """Return the modality that Slicer's DICOM import stored with a volume.

    The import stores the modality with the subject hierarchy item, and marks a CT's voxels as Hounsfield units.

    Args:
        volume: Any scalar or vector volume.

    Returns:
        "mri" or a name in `MODALITIES`; None where neither is stored.
    """
    units = volume.GetVoxelValueUnits()
    if units is not None and units.GetCodeValue() == HOUNSFIELD_CODE:
        return "ct"
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    for hierarchy in nodes_of_class(volume.GetScene(), "vtkMRMLSubjectHierarchyNode"):
        item = hierarchy.GetItemByDataNode(volume)
        stored = hierarchy.GetItemAttribute(item, attribute) if item else None
        if (modality := from_dicom(stored)) is not None:
            return modality
    return None


def unit_of(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """Return the unit that Slicer stores with a volume's values, such as "SUV" or "Bq/mL".

    Returns:
        None without one, and for Hounsfield units, which the values themselves show, also where they were shifted.
    """
    units = volume.GetVoxelValueUnits()
    code = units.GetCodeValue() if units is not None else None
    if code == HOUNSFIELD_CODE:
        return None
    return "SUV" if code and "SUV" in code else code


def copy_unit(of: slicer.vtkMRMLScalarVolumeNode, to: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Store one volume's quantity and unit with another volume."""
    to.SetVoxelValueQuantity(of.GetVoxelValueQuantity())
    to.SetVoxelValueUnits(of.GetVoxelValueUnits())


def file_beside(node: slicer.vtkMRMLNode, neighbor: slicer.vtkMRMLNode) -> None:
    """Move a node into the subject hierarchy folder, study or patient of another node."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item, neighbor_item = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(neighbor)
    if item and neighbor_item:  # there are none without Slicer's application
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(neighbor_item))
