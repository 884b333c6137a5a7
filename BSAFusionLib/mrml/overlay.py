"""The overlay in a scene: the registered volume over the MRI, in a color map that can be read, with a legend."""

import numpy as np
import slicer

from BSAFusionLib.color_maps import COLOR_MAPS
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.display import show_legend, show_volumes
from BSAFusionLib.report.overlay import OPACITY, OverlayWindow, colors_at

COLORS_IN_TABLE = 256
LEGEND_DIGITS = 3  # at least
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
    volume: slicer.vtkMRMLScalarVolumeNode, window: OverlayWindow, quantity: str, shown_from: float
) -> None:
    """Show a volume in the overlay's colors, with a legend; a color volume keeps its own colors.

    Args:
        volume: The volume, with a display node.
        window: Of its values.
        quantity: What the values are, for the legend.
        shown_from: Value below which the volume is transparent, as it is where it has none.
    """
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetThreshold(shown_from, max(window.high, volume.GetImageData().GetScalarRange()[1]))
    display.ApplyThresholdOn()
    if volume.GetImageData().GetNumberOfScalarComponents() > 1:
        return
    display.SetWindowLevelMinMax(window.low, window.high)
    set_color_map(volume, window.color_map)
    show_legend(volume, _title(quantity, window), True)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    # Significant digits, not decimals, so that the numbers stay apart when the user narrows the window.
    digits = max(LEGEND_DIGITS, len(str(int(max(abs(window.low), abs(window.high))))))
    legend.SetLabelFormat(f"%.{digits}g")


def shows_highest(volume: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
    """Return True where the highest value of a volume is not above the threshold of its display."""
    if volume is None or volume.GetDisplayNode() is None or volume.GetImageData() is None:
        return True
    return volume.GetDisplayNode().GetUpperThreshold() >= volume.GetImageData().GetScalarRange()[1]


def show_new_values(
    volume: slicer.vtkMRMLScalarVolumeNode, window: OverlayWindow, quantity: str, highest_too: bool
) -> None:
    """Show the values that a later run put into a volume, in the display that the user chose.

    Values above those of the former run would be transparent, and so look like values of 0.

    Args:
        volume: The volume, with a display node to which `color_by_value` was applied.
        window: Of its new values.
        quantity: What they are, for the legend.
        highest_too: Whether the former ones were all shown, up to the highest.
    """
    display = volume.GetDisplayNode()
    if highest_too:
        display.SetUpperThreshold(max(display.GetUpperThreshold(), volume.GetImageData().GetScalarRange()[1]))
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    if legend is not None:
        legend.SetTitleText(_title(quantity, window))


def _title(quantity: str, window: OverlayWindow) -> str:
    return f"{quantity} ({window.unit})"


def set_color_map(volume: slicer.vtkMRMLScalarVolumeNode, color_map: str) -> None:
    """Show a volume in a color map, a name in `COLOR_MAPS`; window, threshold and legend stay."""
    volume.GetDisplayNode().SetAndObserveColorNodeID(color_node(volume.GetScene(), color_map).GetID())


def color_node(scene: slicer.vtkMRMLScene, color_map: str) -> slicer.vtkMRMLColorNode:
    """Return Slicer's color node of a map; add it to a scene without Slicer's colors.

    It gets the ID that Slicer gives it, so that a saved scene shows the map when Slicer opens it.

    Args:
        scene: The scene.
        color_map: A name in `COLOR_MAPS`.
    """
    label = COLOR_MAPS[color_map].label
    node = _pet_node(label) or _table_node(label, color_map)
    return scene.GetNodeByID(f"{node.GetClassName()}{node.GetSingletonTag()}") or scene.AddNode(node)


def _pet_node(label: str) -> slicer.vtkMRMLPETProceduralColorNode | None:
    """Return a color node as Slicer's color logic makes it for its PET map of that name; None where it has none."""
    node = slicer.vtkMRMLPETProceduralColorNode()
    for kind in range(node.GetFirstType(), node.GetLastType() + 1):
        node.SetType(kind)
        if node.GetTypeAsString() == label:
            node.SetName(label)
            node.SetSingletonTag(label)
            node.SaveWithSceneOff()
            return node
    return None


def _table_node(label: str, color_map: str) -> slicer.vtkMRMLColorTableNode:
    """Return a color node as Slicer's color logic makes it of its file of that name."""
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToFile()
    node.SetName(label)
    node.SetSingletonTag(f"File{label}.txt")
    node.SaveWithSceneOff()
    node.SetNumberOfColors(COLORS_IN_TABLE)
    for entry, color in enumerate(colors_at(np.linspace(0, 1, COLORS_IN_TABLE), color_map).tolist()):
        node.SetColor(entry, *color, 1.0)
    return node
