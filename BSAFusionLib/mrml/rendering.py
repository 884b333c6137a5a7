"""Render a scene's slices offscreen, with Slicer's slice view and displayable managers."""

import os
import sys
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
from trame_slicer.core import SlicerApp
from trame_slicer.views import NoScheduleRendering, SliceView
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingCore import vtkRenderWindow, vtkTextActor, vtkWindowToImageFilter

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import write_volume
from BSAFusionLib.files.vtk_messages import quiet
from BSAFusionLib.mrml.convert import image_from_volume
from BSAFusionLib.mrml.display import update_legends
from BSAFusionLib.mrml.logic import ProcessResult
from BSAFusionLib.mrml.overlay import show_overlay
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.report.overlay import OPACITY

TILE_GAP_PX = 4


class CannotDraw(FusionError):
    """This machine has no OpenGL, which only pictures need."""


class OffscreenSliceView:
    """Renders a slice view of an application's scene into arrays.

    Like Slicer's, it adds nodes of its own to the scene, which stay there.

    Args:
        application: The application.
        size: Width and height in pixels.
        name: Of the view; that of no other one.

    Raises:
        CannotDraw: This machine has no OpenGL.
    """

    def __init__(self, application: SlicerApp, size: tuple[int, int] = (400, 400), name: str = "Red") -> None:
        require_opengl()
        self._scene = application.scene
        with quiet():
            self._view = SliceView(
                application.scene, application.app_logic, name, scheduled_render_strategy=NoScheduleRendering()
            )
            window = self._view.render_window()
            window.SetOffScreenRendering(True)
            window.SetSize(size)
            self._view.update_size(*size)
        # A view has no legends of nodes that were there before it until the user changes what it shows.
        for shown in nodes_of_class(application.scene, "vtkMRMLSliceCompositeNode"):
            if shown.GetLayoutName() == name:
                shown.SetInteractionFlags(shown.ForegroundVolumeFlag)
                shown.Modified()
        self._label = vtkTextActor()
        self._label.SetPosition(10, 10)
        style = self._label.GetTextProperty()
        style.SetFontSize(max(12, size[1] // 20))
        style.SetColor(1, 1, 1)
        style.SetBackgroundColor(0, 0, 0)
        style.SetBackgroundOpacity(0.6)
        self._view.renderers()[-1].AddViewProp(self._label)  # the layer above what the nodes show

    def close(self) -> None:
        """Release OpenGL's resources, on the thread that rendered; the view cannot be used afterwards."""
        self._view.interactor().RemoveAllObservers()
        self._view.finalize()

    def look_at(self, volume: slicer.vtkMRMLVolumeNode) -> None:
        """Fit the volume's own slice plane closest to axial, through the center of the head, into the view."""
        self._view.set_background_volume_id(volume.GetID())
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(head_mask(image_from_volume(volume)))
        left, posterior, superior = shape.GetCentroid(1)
        node = self._view.get_view_node()
        node.SetOrientation("Axial")
        node.RotateToVolumePlane(volume)
        self._view.fit_view_to_content()
        node.JumpSliceByOffsetting(-left, -posterior, superior)

    def draw(
        self,
        background: slicer.vtkMRMLVolumeNode,
        foreground: slicer.vtkMRMLVolumeNode | None = None,
        opacity: float = 0.5,
        label: str = "",
    ) -> np.ndarray:
        """Render the view with these volumes.

        Args:
            background: The background volume.
            foreground: The foreground volume, if any.
            opacity: Of the foreground, 0 to 1.
            label: Text in the corner.

        Returns:
            uint8, (rows, columns, 3), RGB.
        """
        self._view.set_background_volume_id(background.GetID())
        self._view.set_foreground_volume_id(foreground.GetID() if foreground is not None else None)
        self._view.set_foreground_opacity(opacity)
        return self.picture(label)

    def picture(self, label: str = "") -> np.ndarray:
        """Render the view with the volumes that it shows: uint8, (rows, columns, 3), RGB."""
        self._label.SetInput(label)
        update_legends(self._scene)
        self._view.render()
        return drawn(self._view.render_window())


def drawn(window: vtkRenderWindow) -> np.ndarray:
    """Return the picture in a render window: uint8, (rows, columns, 3), RGB."""
    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    picture = grab.GetOutput()
    columns, rows, _ = picture.GetDimensions()
    return vtk_to_numpy(picture.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()


def write_preview(
    path: Path,
    application: SlicerApp,
    inputs: tuple[slicer.vtkMRMLVolumeNode, slicer.vtkMRMLVolumeNode],
    outputs: ProcessResult,
    tile: int = 400,
) -> None:
    """Write one slice through the head as a PNG with five tiles.

    They show fixed, moving before registration, the registered volume over fixed, the network's fused volume, and fixed
    with the deformation grid.

    Args:
        path: The PNG file.
        application: The application; its slice views show the overlay afterwards.
        inputs: The fixed and the moving volume, in the application's scene.
        outputs: The finished run of these volumes, with a registered volume.
        tile: Width and height of a tile, pixels.

    Raises:
        CannotDraw: This machine has no OpenGL.
        FusionError: The file cannot be written.
    """
    fixed, moving = inputs
    view = OffscreenSliceView(application, (tile, tile), "Preview")
    view.look_at(fixed)
    grid = outputs.gridTransform.GetDisplayNode()
    was_visible, was_in_slices = grid.GetVisibility(), grid.GetVisibility2D()
    grid.SetVisibility(False)
    registered = outputs.registeredVolume
    tiles = [
        view.draw(fixed, label="Fixed"),
        view.draw(moving, label="Moving"),
        view.draw(fixed, registered, OPACITY, label="Overlay"),
        view.draw(outputs.fusedVolume, label="BSAFusion fused"),
    ]
    grid.SetVisibility(True)
    grid.SetVisibility2D(True)
    tiles.append(view.draw(fixed, label="Deformation"))
    grid.SetVisibility(was_visible)
    grid.SetVisibility2D(was_in_slices)
    view.close()
    show_overlay(fixed, registered)
    gap = np.full((tile, TILE_GAP_PX, 3), 255, np.uint8)
    strip = np.concatenate([part for picture in tiles for part in (picture, gap)][:-1], axis=1)
    write_volume(sitk.GetImageFromArray(strip, isVector=True), path)


def require_opengl() -> None:
    """Check that VTK can render, since it would otherwise end the whole process.

    Without a display VTK uses EGL, else OSMesa, and does not check that OSMesa is there.

    Raises:
        CannotDraw: There is no OpenGL.
    """
    if sys.platform != "linux":
        return
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    with quiet():
        window = vtkRenderWindow()
    if window.GetClassName() == "vtkOSOpenGLRenderWindow" and find_library("OSMesa") is None:
        raise CannotDraw("No picture can be drawn without OpenGL: install it (on Debian: libegl1 and libgl1-mesa-dri).")
