"""How a result is looked at: the deformation as a grid with a legend, volumes in the slice views, a checkerboard."""

import slicer
from slicer.util import arrayFromVTKMatrix
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkImagingCore import vtkImageExtractComponents
from vtkmodules.vtkImagingGeneral import vtkImageCheckerboard
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

from BSAFusionLib.mrml.convert import TransformContent, VolumeContent
from BSAFusionLib.mrml.scene import nodes_of_class

one_colour = (1.0, 0.85, 0.0)  # of the grid where it does not show the displacement; seen over dark and bright
line_parts = 5  # pieces of a grid line between two crossings, so that it bends


def draw_grid(
    node: slicer.vtkMRMLGridTransformNode, content: TransformContent, region: slicer.vtkMRMLVolumeNode
) -> None:
    """Draws a transform over slice views as a deformed grid, and readies it for 3D views, where it fills `region`.

    Green is the smallest displacement in it, red the largest.
    """
    display = node.GetDisplayNode()
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(content.smallest_mm, content.largest_mm)
    display.SetSliceIntersectionThickness(2)  # pixels
    display.SetAndObserveRegionNode(region)
    show_grid(node, spacing=content.lines_mm)


def show_grid(
    node: slicer.vtkMRMLGridTransformNode,
    spacing: float,
    in_slices: bool = True,
    in_3d: bool = False,
    by_displacement: bool = True,
) -> None:
    """Where a drawn grid is seen, the distance of its lines in mm, and whether their colour is the displacement."""
    display = node.GetDisplayNode()
    display.SetGridSpacingMm(spacing)
    display.SetGridResolutionMm(spacing / line_parts)
    smallest, largest = display.GetScalarRange()
    colours = vtkColorTransferFunction()
    if by_displacement:
        colours.AddRGBPoint(smallest, 0, 1, 0)
        colours.AddRGBPoint((smallest + largest) / 2, 1, 1, 0)
        colours.AddRGBPoint(largest, 1, 0, 0)
    else:
        colours.AddRGBPoint(smallest, *one_colour)
    display.SetColorMap(colours)
    display.SetVisibility(in_slices or in_3d)
    display.SetVisibility2D(in_slices)
    display.SetVisibility3D(in_3d)


def hide_grid(node: slicer.vtkMRMLGridTransformNode) -> None:
    """Takes a drawn grid and its legend out of all views."""
    display = node.GetDisplayNode()
    display.SetVisibility(False)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    if legend is not None:
        legend.SetVisibility(False)


def show_legend(node: slicer.vtkMRMLGridTransformNode, title: str, shown: bool) -> None:
    """Puts Slicer's colour legend of a drawn grid into the views that show it, or takes it away."""
    display = node.GetDisplayNode()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    if legend is None and not shown:
        return
    if legend is None:
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(display)
    legend.SetTitleText(title)
    legend.SetVisibility(shown)


def show_volumes(
    background: slicer.vtkMRMLVolumeNode, foreground: slicer.vtkMRMLVolumeNode | None = None, opacity: float = 0.5
) -> None:
    """Puts a volume behind every slice view and, if there is another, that one before it, from 0 to 1 opaque."""
    scene = background.GetScene()
    for selection in nodes_of_class(scene, "vtkMRMLSelectionNode"):
        selection.SetActiveVolumeID(background.GetID())
    for view in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        view.SetBackgroundVolumeID(background.GetID())
        view.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        view.SetForegroundOpacity(opacity)


def show_in_heat(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Shows a PET or SPECT in Slicer's heat colours, from zero to beyond its largest value: no white, as in MRI."""
    colours = slicer.vtkMRMLPETProceduralColorNode()
    colours.SetTypeToHeat()
    volume.GetScene().AddNode(colours)
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID(colours.GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 1.6 * volume.GetImageData().GetScalarRange()[1])


def link_and_fit(logic: slicer.vtkMRMLApplicationLogic, volume: slicer.vtkMRMLVolumeNode) -> None:
    """Links all slice views, turns them to the planes of a volume and lets each show the whole of it."""
    for view in nodes_of_class(volume.GetScene(), "vtkMRMLSliceCompositeNode"):
        view.SetLinkedControl(False)  # else each view's own turn would be taken over by the others
    logics = logic.GetSliceLogics()
    for slice_logic in (logics.GetItemAsObject(n) for n in range(logics.GetNumberOfItems())):
        slice_logic.GetSliceNode().RotateToVolumePlane(volume)
        slice_logic.FitSliceToBackground()
        slice_logic.SnapSliceOffsetToIJK()
    for view in nodes_of_class(volume.GetScene(), "vtkMRMLSliceCompositeNode"):
        view.SetLinkedControl(True)


def checkerboard(first: slicer.vtkMRMLVolumeNode, second: slicer.vtkMRMLVolumeNode, fields: int) -> VolumeContent:
    """Two volumes on one grid, both as they are shown, in turns: `fields` along each axis; RGB."""
    board = vtkImageCheckerboard()
    for place, volume in enumerate((first, second)):
        if volume.GetDisplayNode() is None:
            volume.CreateDefaultDisplayNodes()
        colours = vtkImageExtractComponents()
        colours.SetInputConnection(volume.GetDisplayNode().GetImageDataConnection())
        colours.SetComponents(0, 1, 2)
        board.SetInputConnection(place, colours.GetOutputPort())
    board.SetNumberOfDivisions(fields, fields, fields)
    board.Update()
    ijk_to_ras = vtkMatrix4x4()
    second.GetIJKToRASMatrix(ijk_to_ras)
    return VolumeContent(board.GetOutput(), arrayFromVTKMatrix(ijk_to_ras))
