"""Pictures of a scene's slices without a display: Slicer's slice view and displayable managers, drawn offscreen."""

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
from BSAFusionLib.mrml.convert import image_from_volume
from BSAFusionLib.mrml.display import show_volumes
from BSAFusionLib.mrml.scene import quiet
from BSAFusionLib.pipeline.intensities import head_mask

gap_between_tiles = 4


class CannotDraw(FusionError):
    """This machine has no OpenGL; all but pictures can be had on it."""


class OffscreenSliceView:
    """The slice view named Red of an application's scene, drawn into arrays.

    Like Slicer's, it has nodes of its own in the scene, which stay there. Raises CannotDraw on a machine that has no
    OpenGL.
    """

    def __init__(self, application: SlicerApp, size: tuple[int, int] = (400, 400)) -> None:
        require_opengl()
        with quiet():
            self._view = SliceView(
                application.scene, application.app_logic, "Red", scheduled_render_strategy=NoScheduleRendering()
            )
            window = self._view.render_window()
            window.SetOffScreenRendering(True)
            window.SetSize(size)
            self._view.update_size(*size)
        self._label = vtkTextActor()
        self._label.SetPosition(10, 10)
        style = self._label.GetTextProperty()
        style.SetFontSize(max(12, size[1] // 20))
        style.SetColor(1, 1, 1)
        style.SetBackgroundColor(0, 0, 0)
        style.SetBackgroundOpacity(0.6)
        self._view.renderers()[-1].AddViewProp(self._label)  # the layer above what the nodes show

    def close(self) -> None:
        """Gives OpenGL's resources back, on the thread that drew; the view cannot be used any more."""
        self._view.interactor().RemoveAllObservers()
        self._view.finalize()

    def look_at(self, volume: slicer.vtkMRMLVolumeNode) -> None:
        """Shows the whole of a volume's own slice, the one closest to axial, through the centre of the head in it."""
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
        """The view as it is now, with these volumes in it: uint8, (rows, columns, 3), RGB."""
        self._view.set_background_volume_id(background.GetID())
        self._view.set_foreground_volume_id(foreground.GetID() if foreground is not None else None)
        self._view.set_foreground_opacity(opacity)
        return self.picture(label)

    def picture(self, label: str = "") -> np.ndarray:
        """The view as the scene's nodes make it: uint8, (rows, columns, 3), RGB."""
        self._label.SetInput(label)
        self._view.render()
        return drawn(self._view.render_window())


def drawn(window: vtkRenderWindow) -> np.ndarray:
    """What a render window shows: uint8, (rows, columns, 3), RGB."""
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
    fixed: slicer.vtkMRMLVolumeNode,
    moving: slicer.vtkMRMLVolumeNode,
    registered: slicer.vtkMRMLVolumeNode,
    fused: slicer.vtkMRMLVolumeNode,
    gridTransform: slicer.vtkMRMLGridTransformNode,
    tile: int = 400,
) -> None:
    """Writes one slice through the head as a PNG of five tiles, each `tile` pixels square.

    Fixed, moving where it lay before, registered, fused, and fixed with the deformation grid over it. The nodes are
    those of a finished `BSAFusionLogic.process` in the application's scene, whose view is left with the fused volume in
    it. Raises CannotDraw on a machine that has no OpenGL, another FusionError where the file cannot be written.
    """
    view = OffscreenSliceView(application, (tile, tile))
    view.look_at(fixed)
    grid = gridTransform.GetDisplayNode()
    shown = grid.GetVisibility()
    grid.SetVisibility(False)
    tiles = [
        view.draw(volume, label=label)
        for volume, label in ((fixed, "Fixed"), (moving, "Moving"), (registered, "Registered"), (fused, "Fused"))
    ]
    grid.SetVisibility(True)
    tiles.append(view.draw(fixed, label="Deformation"))
    grid.SetVisibility(shown)
    view.close()
    show_volumes(fused)
    gap = np.full((tile, gap_between_tiles, 3), 255, np.uint8)
    strip = np.concatenate([part for picture in tiles for part in (picture, gap)][:-1], axis=1)
    write_volume(sitk.GetImageFromArray(strip, isVector=True), path)


def require_opengl() -> None:
    """CannotDraw where VTK would find no OpenGL and end the whole process.

    Without a display VTK draws by EGL, else by OSMesa; the window that it falls back to does not check that OSMesa is
    there.
    """
    if sys.platform != "linux":
        return
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    with quiet():
        window = vtkRenderWindow()
    if window.GetClassName() == "vtkOSOpenGLRenderWindow" and find_library("OSMesa") is None:
        raise CannotDraw("No picture can be drawn without OpenGL: install it (on Debian: libegl1 and libgl1-mesa-dri).")
