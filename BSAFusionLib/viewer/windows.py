"""Windows that a result's volumes are shown in."""

from collections.abc import Mapping
from typing import Any

import SimpleITK as sitk

from BSAFusionLib.color_maps import COLOR_MAPS, DEFAULT
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.report.overlay import OverlayWindow, choose_error_window, choose_window
from BSAFusionLib.report.planes import gray_values, shown_from


def overlay_window(report: Mapping[str, Any], registered: sitk.Image) -> OverlayWindow:
    """Return the window of the registered volume over the MRI.

    Args:
        report: Its window counts; one of an older version has none, and the window is chosen from the volume.
        registered: The registered volume, scalar or RGB.
    """
    if stated := report.get("overlay"):
        color_map = stated.get("color_map")
        known = color_map if color_map in COLOR_MAPS else DEFAULT
        return OverlayWindow(stated["low"], stated["high"], stated["unit"], known)
    values = gray_values(registered)
    head = sitk.GetArrayFromImage(head_mask(sitk.GetImageFromArray(values))) > 0
    return choose_window(values[head], *shown_from(registered, report["modality"]))


def error_window(error: sitk.Image) -> OverlayWindow:
    """Return the window of the expected error, in mm: from its smallest to its largest value.

    Args:
        error: Expected error, mm, NaN outside the head.
    """
    return choose_error_window(sitk.GetArrayFromImage(error))
