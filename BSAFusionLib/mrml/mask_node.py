"""The voxels of a mask: a label map, or all segments of a segmentation."""

from typing import Any

import numpy as np
import slicer
from slicer.util import arrayFromVTKMatrix
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.orientation import RAS_LPS
from BSAFusionLib.mrml.convert import volume_at, voxels_of
from BSAFusionLib.mrml.node_checks import checkOutsideResults
from BSAFusionLib.mrml.placement import parent_to_world
from BSAFusionLib.worker.volumes import Volume

MASK_CLASSES = ("vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode")


def checkMask(mask: slicer.vtkMRMLNode | None) -> None:
    """Check that a node can be a mask, without reading its voxels.

    Raises:
        FusionError: It is of another class, holds nothing, or lies under a result or another non-linear transform.
    """
    if mask is None:
        return
    if mask.GetClassName() not in MASK_CLASSES:
        raise FusionError(f"The fixed mask '{mask.GetName()}' must be a segmentation or a label map; choose another.")
    if _is_segmentation(mask):
        isEmpty = mask.GetSegmentation().GetNumberOfSegments() == 0
    else:
        isEmpty = mask.GetImageData() is None or mask.GetImageData().GetNumberOfPoints() == 0
    if isEmpty:
        raise FusionError(
            f"The fixed mask '{mask.GetName()}' is empty; draw the region to register by, or choose none."
        )
    checkOutsideResults(mask, "fixed mask")
    parent_to_world(mask)


def mask_voxels(mask: slicer.vtkMRMLNode) -> Volume:
    """Return the voxels of a node that `checkMask` accepts, and their place in the world; the node is not changed.

    Args:
        mask: A label map, or a segmentation, all of whose segments count; drawn or given as surfaces.

    Returns:
        Labels (k, j, i), 0 outside; geometry in mm, LPS.

    Raises:
        FusionError: A segmentation cannot be converted to voxels.
    """
    if not _is_segmentation(mask):
        return voxels_of(mask)
    labels = slicer.vtkOrientedImageData()
    drawn, merged = _with_voxels(mask), False
    if drawn is not None:
        merged = drawn.GenerateMergedLabelmapForAllSegments(
            labels, slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS
        )
    if not merged:
        raise FusionError(f"The fixed mask '{mask.GetName()}' cannot be converted to voxels; export it to a label map.")
    if labels.GetNumberOfPoints() == 0:
        raise FusionError(
            f"The fixed mask '{mask.GetName()}' is empty; draw the region to register by, or choose none."
        )
    return _volume_of(labels, parent_to_world(mask), mask.GetName())


def _is_segmentation(mask: slicer.vtkMRMLNode) -> bool:
    return bool(mask.IsA("vtkMRMLSegmentationNode"))


def _with_voxels(mask: Any) -> Any:
    """Return a segmentation with voxels: itself, or a converted copy outside of the scene; None if neither can be."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if mask.GetSegmentation().ContainsRepresentation(name):
        return mask
    copy = slicer.vtkMRMLSegmentationNode()
    segmentation = slicer.vtkSegmentation()
    segmentation.DeepCopy(mask.GetSegmentation())
    copy.SetAndObserveSegmentation(segmentation)
    return copy if segmentation.CreateRepresentation(name) else None


def _volume_of(labels: Any, to_world: np.ndarray, name: str) -> Volume:
    """View an oriented image, whose indices need not begin at 0."""
    matrix = vtkMatrix4x4()
    labels.GetImageToWorldMatrix(matrix)
    first = np.eye(4)
    first[:3, 3] = labels.GetExtent()[::2]
    voxels = vtk_to_numpy(labels.GetPointData().GetScalars()).reshape(labels.GetDimensions()[::-1])
    return volume_at(voxels, RAS_LPS @ to_world @ arrayFromVTKMatrix(matrix) @ first, name)
