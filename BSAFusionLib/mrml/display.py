"""Display a result: deformation grid with a legend, volumes in the slice views, checkerboard."""

from collections.abc import Callable

import slicer
from vtkmodules.vtkImagingCore import vtkImageExtractComponents
from vtkmodules.vtkImagingGeneral import vtkImageCheckerboard
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

from BSAFusionLib.mrml.convert import MIN_LEGEND_RANGE_MM, VolumeContent
from BSAFusionLib.mrml.placement import ijk_to_ras
from BSAFusionLib.mrml.scene import nodes_of_class

PLAIN_GRID_RGB = (1.0, 0.85, 0.0)  # of a grid that does not show the displacement; visible on dark and bright
SEGMENTS_PER_CELL = 5  # straight pieces of a grid line between two crossings
LINE_THICKNESS_PX = 2
GRID_LEGEND_POSITION = 0.02, 0.5  # from the left and the bottom of a view; that of a volume is at the right
SLICE_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}  # of Slicer's default layout


def draw_grid(
    node: slicer.vtkMRMLGridTransformNode,
    region: slicer.vtkMRMLVolumeNode,
    lines_mm: float,
    smallest_mm: float,
    largest_mm: float,
) -> None:
    """Prepare a transform to be drawn as a deformed grid; a new one is hidden until `show_grid` shows it.

    Args:
        node: The transform.
        region: The volume that the grid covers in 3D views.
        lines_mm: Distance of the lines.
        smallest_mm: Length of the smallest displacement, which is green.
        largest_mm: Length of the largest displacement, which is red.
    """
    display = node.GetDisplayNode()
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(smallest_mm, max(largest_mm, smallest_mm + MIN_LEGEND_RANGE_MM))
    display.SetSliceIntersectionThickness(LINE_THICKNESS_PX)
    display.SetAndObserveRegionNode(region)
    visible = bool(display.GetVisibility())
    in_slices, in_3d = visible and bool(display.GetVisibility2D()), visible and bool(display.GetVisibility3D())
    show_grid(node, lines_mm, in_slices, in_3d)


def show_grid(
    node: slicer.vtkMRMLGridTransformNode,
    spacing: float,
    in_slices: bool = True,
    in_3d: bool = False,
    by_displacement: bool = True,
) -> None:
    """Set where a grid is visible and how it is drawn.

    Args:
        node: A transform that `draw_grid` was applied to.
        spacing: Distance of the lines, mm.
        in_slices: Visible in slice views.
        in_3d: Visible in 3D views.
        by_displacement: Color the lines by the length of the displacement.
    """
    display = node.GetDisplayNode()
    display.SetGridSpacingMm(spacing)
    display.SetGridResolutionMm(spacing / SEGMENTS_PER_CELL)
    smallest, largest = display.GetScalarRange()
    colors = vtkColorTransferFunction()
    if by_displacement:
        colors.AddRGBPoint(smallest, 0, 1, 0)
        colors.AddRGBPoint((smallest + largest) / 2, 1, 1, 0)
        colors.AddRGBPoint(largest, 1, 0, 0)
    else:
        colors.AddRGBPoint(smallest, *PLAIN_GRID_RGB)
    display.SetColorMap(colors)
    display.SetVisibility(in_slices or in_3d)
    display.SetVisibility2D(in_slices)
    display.SetVisibility3D(in_3d)


def hide_grid(node: slicer.vtkMRMLGridTransformNode) -> None:
    """Hide a grid and its legend in all views."""
    display = node.GetDisplayNode()
    display.SetVisibility(False)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    if legend is not None:
        legend.SetVisibility(False)


def show_legend(node: slicer.vtkMRMLDisplayableNode, title: str, shown: bool) -> None:
    """Show or hide Slicer's color legend: of a volume on the right, of a grid on the left of the views."""
    display, scene = node.GetDisplayNode(), node.GetScene()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    if legend is None and not shown:
        return
    if legend is None:
        if not scene.IsNodeClassRegistered("vtkMRMLColorLegendDisplayNode"):  # without Slicer's application
            scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(display)
        if node.IsA("vtkMRMLTransformNode"):
            legend.SetPosition(GRID_LEGEND_POSITION)
    legend.SetTitleText(title)
    legend.SetVisibility(shown)


def show_volumes(
    background: slicer.vtkMRMLVolumeNode, foreground: slicer.vtkMRMLVolumeNode | None = None, opacity: float = 0.5
) -> None:
    """Show volumes in all slice views.

    Args:
        background: The background volume.
        foreground: The foreground volume, if any.
        opacity: Of the foreground, 0 to 1.
    """
    scene = background.GetScene()
    for selection in nodes_of_class(scene, "vtkMRMLSelectionNode"):
        selection.SetActiveVolumeID(background.GetID())
    for view in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        view.SetBackgroundVolumeID(background.GetID())
        view.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        view.SetForegroundOpacity(opacity)
    update_legends(scene)


def volumes_in_views(scene: slicer.vtkMRMLScene) -> Callable[[], None]:
    """Return a function that shows in all slice views what they show now."""
    active = [(node, node.GetActiveVolumeID()) for node in nodes_of_class(scene, "vtkMRMLSelectionNode")]
    layers = [
        (view, view.GetBackgroundVolumeID(), view.GetForegroundVolumeID(), view.GetForegroundOpacity())
        for view in nodes_of_class(scene, "vtkMRMLSliceCompositeNode")
    ]

    def show_again() -> None:
        for selection, volume in active:
            selection.SetActiveVolumeID(volume)
        for view, background, foreground, opacity in layers:
            view.SetBackgroundVolumeID(background)
            view.SetForegroundVolumeID(foreground)
            view.SetForegroundOpacity(opacity)
        update_legends(scene)

    return show_again


def update_legends(scene: slicer.vtkMRMLScene) -> None:
    """Let the legends follow the volumes in the views: Slicer does so only where the user changed these by hand."""
    for legend in nodes_of_class(scene, "vtkMRMLColorLegendDisplayNode"):
        legend.Modified()


def add_slice_views(logic: slicer.vtkMRMLApplicationLogic, scene: slicer.vtkMRMLScene) -> None:
    """Add Slicer's three slice views to a scene without views; a saved scene then opens with what they show."""
    for name, orientation in SLICE_VIEWS.items():
        view = slicer.vtkMRMLSliceLogic()
        view.SetMRMLApplicationLogic(logic)
        view.SetMRMLScene(scene)
        node = view.AddSliceNode(name)
        node.SetOrientation(orientation)
        node.SetLayoutLabel(name[0])
        node.SetLayoutColor(getattr(slicer.vtkMRMLAbstractViewNode, f"Get{name}Color")())
        logic.GetSliceLogics().AddItem(view)


def link_and_fit(logic: slicer.vtkMRMLApplicationLogic, volume: slicer.vtkMRMLVolumeNode) -> None:
    """Link all slice views, rotate them to a volume's planes, and fit the volume into each."""
    for view in nodes_of_class(volume.GetScene(), "vtkMRMLSliceCompositeNode"):
        view.SetLinkedControl(False)  # else each view would take over the rotation of the others
    logics = logic.GetSliceLogics()
    for slice_logic in (logics.GetItemAsObject(n) for n in range(logics.GetNumberOfItems())):
        slice_logic.GetSliceNode().RotateToVolumePlane(volume)
        slice_logic.FitSliceToBackground()
        slice_logic.SnapSliceOffsetToIJK()
    for view in nodes_of_class(volume.GetScene(), "vtkMRMLSliceCompositeNode"):
        view.SetLinkedControl(True)


def checkerboard(first: slicer.vtkMRMLVolumeNode, second: slicer.vtkMRMLVolumeNode, fields: int) -> VolumeContent:
    """Return a checkerboard of two volumes on the same grid, in the colors of their display.

    Args:
        first: One volume.
        second: The other, on the same grid.
        fields: Number of fields along each axis.

    Returns:
        RGB.
    """
    board = vtkImageCheckerboard()
    for place, volume in enumerate((first, second)):
        if volume.GetDisplayNode() is None:
            volume.CreateDefaultDisplayNodes()
        colors = vtkImageExtractComponents()
        colors.SetInputConnection(volume.GetDisplayNode().GetImageDataConnection())
        colors.SetComponents(0, 1, 2)
        board.SetInputConnection(place, colors.GetOutputPort())
    board.SetNumberOfDivisions(fields, fields, fields)
    board.Update()
    return VolumeContent(board.GetOutput(), ijk_to_ras(second))
