"""Slicer's segmentation files (.seg.nrrd): label maps in layers, whose header describes the segments."""

import re
from pathlib import Path

import SimpleITK as sitk

SEGMENTATION_SUFFIX = ".seg.nrrd"
FORMER_GRID = re.compile(r"(Reference image geometry\|)[^|]*")  # in the parameters of conversions


def is_segmentation(path: Path) -> bool:
    """Return True for a file with the name of a segmentation."""
    return path.name.lower().endswith(SEGMENTATION_SUFFIX)


def keep_segments(segmentation: sitk.Image, resampled: sitk.Image) -> None:
    """Describe the segments of a resampled segmentation as its file did: names, colors, label values, terminology.

    Args:
        segmentation: As read, with the file's header.
        resampled: The same layers on another grid; gets the description.

    Source: Slicer's vtkMRMLSegmentationStorageNode, whose extents count voxels of the whole grid.
    """
    for key in segmentation.GetMetaDataKeys():
        if key.startswith("Segment"):
            value = segmentation.GetMetaData(key)
            if key.endswith("_Extent"):
                value = " ".join(f"0 {length - 1}" for length in resampled.GetSize())
            elif key == "Segmentation_ReferenceImageExtentOffset":
                value = "0 0 0"
            elif key == "Segmentation_ConversionParameters":
                value = FORMER_GRID.sub(r"\1", value)
            resampled.SetMetaData(key, value)
