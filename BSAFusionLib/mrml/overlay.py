"""The overlay in a scene: the registered volume over the MRI, in a color map that can be read, with a legend."""

import numpy as np
import slicer

from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.display import show_legend, show_volumes
from BSAFusionLib.pipeline.ct_window import decimals_of
from BSAFusionLib.report.overlay import COLOR_MAP, COLORS, OPACITY, OverlayWindow

COLORS_IN_TABLE = 256
ERROR_OPACITY = 0.6  # of the expected error, so that the anatomy below it is seen everywhere


def fused_meaning(modality: str) -> str:
    """Return what the brightness of the network's fused volume shows, in two sentences."""
    label = MODALITIES[modality].label
    if MODALITIES[modality].in_color:
        return (
            f"Brightness is mostly that of the MRI, hue that of the {label}. Read no uptake from it; the overlay shows "
            "that."
        )
    return f"Brightness mixes MRI and {label}. It is neither the MRI's signal nor Hounsfield units."


def show_overlay(fixed: slicer.vtkMRMLVolumeNode, registered: slicer.vtkMRMLVolumeNode) -> None:
    """Show a registered volume that `color_by_value` was applied to over the fixed volume, in all slice views."""
    show_volumes(fixed, registered, OPACITY)


def show_expected_error(fixed: slicer.vtkMRMLVolumeNode, expected_error: slicer.vtkMRMLVolumeNode) -> None:
    """Show a volume of the expected error over the fixed volume, in all slice views."""
    show_volumes(fixed, expected_error, ERROR_OPACITY)


def color_by_value(
    volume: slicer.vtkMRMLScalarVolumeNode, window: OverlayWindow, quantity: str, transparent: bool = True
) -> None:
    """Show a volume in the overlay's colors, with a legend; a color volume keeps its own colors.

    Args:
        volume: The volume, with a display node.
        window: Of its values.
        quantity: What the values are, for the legend.
        transparent: Let the volume be transparent below `window.shown_from`.
    """
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetThreshold(window.shown_from, max(window.high, volume.GetImageData().GetScalarRange()[1]))
    display.SetApplyThreshold(transparent)
    if volume.GetImageData().GetNumberOfScalarComponents() > 1:
        return
    display.SetWindowLevelMinMax(window.low, window.high)
    display.SetAndObserveColorNodeID(color_node(volume.GetScene()).GetID())
    show_legend(volume, f"{quantity} ({window.unit})", True)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    legend.SetLabelFormat(f"%.{decimals_of(window.high - window.low)}f")


def color_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """Return Slicer's color node of the overlay's map; add it to a scene without Slicer's color files.

    It gets the ID that Slicer gives it, so that a saved scene shows the map when Slicer opens it.
    """
    file_name = f"{COLOR_MAP}.txt"
    node = scene.GetNodeByID(slicer.vtkMRMLColorLogic.GetFileColorNodeID(file_name))
    if node is not None:
        return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToFile()
    node.SetName(COLOR_MAP)
    node.SetSingletonTag(f"File{file_name}")
    node.SaveWithSceneOff()
    node.SetNumberOfColors(COLORS_IN_TABLE)
    levels, points = np.linspace(0, 1, COLORS_IN_TABLE), np.linspace(0, 1, len(COLORS))
    channels = [np.interp(levels, points, channel).tolist() for channel in COLORS.T]
    for entry, color in enumerate(zip(*channels, strict=True)):
        node.SetColor(entry, *color, 1.0)
    return scene.AddNode(node)
