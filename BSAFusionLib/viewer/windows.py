"""Windows that a result's volumes are shown in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.report.overlay import OverlayWindow, choose_window
from BSAFusionLib.report.pictures import MIN_ERROR_RANGE_MM
from BSAFusionLib.report.planes import gray_values, shown_from


def overlay_window(report: Mapping[str, Any], registered: sitk.Image) -> OverlayWindow:
    """Return the window of the registered volume over the MRI.

    Args:
        report: Its window counts; one of an older version has none, and the window is chosen from the volume.
        registered: The registered volume, scalar or RGB.
    """
    if stated := report.get("overlay"):
        return OverlayWindow(stated["low"], stated["high"], stated["unit"])
    values = gray_values(registered)
    head = sitk.GetArrayFromImage(head_mask(sitk.GetImageFromArray(values))) > 0
    return choose_window(values[head], *shown_from(registered, report["modality"]))


def error_window(error: sitk.Image, head: sitk.Image) -> OverlayWindow:
    """Return the window of the expected error: from its smallest to its largest value in the head.

    Args:
        error: Expected error, mm.
        head: Mask of the head.
    """
    values = sitk.GetArrayFromImage(error)
    inside = sitk.GetArrayFromImage(sitk.Resample(head, error, sitk.Transform(), sitk.sitkNearestNeighbor)) > 0
    values = values[inside] if inside.any() else values
    smallest, largest = float(np.nanmin(values)), float(np.nanmax(values))
    return OverlayWindow(smallest, max(largest, smallest + MIN_ERROR_RANGE_MM), "mm")
