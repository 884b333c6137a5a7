"""What Slicer stores beside voxels: modality and unit from DICOM, and where nodes are filed."""

import slicer

from BSAFusionLib.modalities import from_dicom
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.report.units import PET_UNITS, unit_name

HOUNSFIELD_CODE, NO_UNIT_CODE = "[hnsf'U]", "1"  # of Slicer's DICOM import, in UCUM
UNITS_TAG, SUV_TYPE_TAG = "0054,1001", "0054,1006"


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
    """Return the unit of a volume's values as a UCUM code, such as "Bq/ml" or "{SUVbw}g/ml".

    Slicer's own DICOM import stores a unit with a CT and an MRI only, and the PET DICOM extension with a PET. Without
    one, the tags of a PET in Slicer's DICOM database tell it: the import keeps the values in the unit of the files.

    Returns:
        None without one, and for Hounsfield units, which the values themselves show, also where they were shifted.
    """
    units = volume.GetVoxelValueUnits()
    if units is None:
        return _unit_from_dicom(volume)
    code = units.GetCodeValue()
    return None if code in (HOUNSFIELD_CODE, NO_UNIT_CODE) else code


def _unit_from_dicom(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """Return the unit that the tags of a PET state; None without tags."""
    database = getattr(slicer, "dicomDatabase", None)  # None without Slicer's DICOM module
    instances = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not instances:
        return None
    units = database.instanceValue(instances[0], UNITS_TAG)
    if units == "GML" and (kind := database.instanceValue(instances[0], SUV_TYPE_TAG)):
        return f"{{SUV{kind.lower()}}}g/ml"
    return PET_UNITS.get(units, units or None)


def copy_unit(of: slicer.vtkMRMLScalarVolumeNode, to: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Store one volume's quantity and unit with another volume, also where its DICOM tags alone state the unit."""
    to.SetVoxelValueQuantity(of.GetVoxelValueQuantity())
    units = of.GetVoxelValueUnits()
    if units is None and (code := unit_of(of)) is not None:
        units = slicer.vtkCodedEntry()
        units.SetValueSchemeMeaning(code, "UCUM", unit_name(code))
    to.SetVoxelValueUnits(units)


def file_beside(node: slicer.vtkMRMLNode, neighbor: slicer.vtkMRMLNode) -> None:
    """Move a node into the subject hierarchy folder, study or patient of another node."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item, neighbor_item = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(neighbor)
    if item and neighbor_item:  # there are none without Slicer's application
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(neighbor_item))
