"""A result in a scene, and its display in the viewer."""

import numpy as np
import SimpleITK as sitk
import slicer
from trame_slicer.core import SlicerApp
from trame_slicer.views import AbstractView, SliceView, ThreeDView, ViewDirection

from BSAFusionLib.geometry.fields import compose_transform
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.convert import content_from_fields, content_from_image
from BSAFusionLib.mrml.display import draw_grid, hide_grid, link_and_fit, show_grid, show_legend, show_volumes
from BSAFusionLib.mrml.filling import RGB_WINDOW
from BSAFusionLib.mrml.node_checks import components
from BSAFusionLib.mrml.nodes import (
    displacement_range,
    network_grid,
    put_grid_transform,
    put_linear_transform,
    put_network_part,
    put_volume,
)
from BSAFusionLib.mrml.overlay import ERROR_OPACITY, color_by_value
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.report.overlay import OPACITY, RELATIVE, OverlayWindow
from BSAFusionLib.report.planes import gray_values
from BSAFusionLib.viewer.cut_head import CutHead
from BSAFusionLib.viewer.readout import Probe
from BSAFusionLib.viewer.result_folder import Found
from BSAFusionLib.viewer.shared_window import SharedWindow
from BSAFusionLib.viewer.windows import error_window

BEFORE, RIGID, REGISTERED = "Before", "Rigid initialization", "Registered"
FUSED, ERROR = "BSAFusion fused", "Expected error"
TOTAL, NETWORK = "Total", "Network's part"


class ResultScene:
    """The volumes of a result in an application's scene, with the deformation as a grid and the head's surface.

    Attributes:
        overlays: Volumes that can be shown over the MRI, by their labels: the moving volume before registration, after
            the rigid initialization, and registered, as far as they exist; the fused volume; the expected error where
            it is known.
        grids: Grids that can be shown, by their labels: of the whole transform, and of the network's part if it adds
            something.
        windows: Window of what lies over the MRI, by its label; that of the fused volume is fixed.
        fixed_window: Window of the MRI.
    """

    def __init__(self, application: SlicerApp, found: Found) -> None:
        self._application, self._found = application, found
        self._total = compose_transform(found.network_field, found.prealignment)
        background = found.fused if found.fixed is None else found.fixed
        self._background = self._put(background, "MRI")
        self._head = CutHead(application.scene, _head_of(background))
        self.overlays = self._put_moving(found)
        moving = list(self.overlays.values())
        in_color = components(self.overlays[REGISTERED]) > 1  # then the report's window is not that of its colors
        window = OverlayWindow(*RGB_WINDOW, RELATIVE) if in_color else found.window
        self.windows = dict.fromkeys(self.overlays, SharedWindow(moving, window, transparent=not in_color))
        self.overlays[FUSED] = self._put(found.fused, FUSED, window=(0, 1))
        if found.expected_error is not None:
            self._put_error(found.expected_error)
        display = self._background.GetDisplayNode()
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        self.fixed_window = SharedWindow([self._background], OverlayWindow(low, high, RELATIVE))
        self.grids = self._put_grids(found)

    def fit(self) -> None:
        """Fit, once there are views, the MRI into the slice views and the head, cut along them, into the 3D view."""
        show_volumes(self._background)
        link_and_fit(self._application.app_logic, self._background)
        self._head.follow(self._application.view_manager.get_slice_views(), self._application.app_logic)
        for view in self._application.view_manager.get_threed_views():
            self.fit_view(view)

    def fit_view(self, view: AbstractView) -> None:
        """Fit everything into one view, seen obliquely from the front and above in a 3D view."""
        if isinstance(view, ThreeDView):
            view.rotate_to_view_direction(ViewDirection.ANTERIOR)  # the distance is computed from this direction
        view.fit_view_to_content()
        if isinstance(view, ThreeDView):
            camera = view.get_camera_node().GetCamera()
            camera.Azimuth(40)
            camera.Elevation(25)
            camera.Dolly(1.2)  # not Zoom, which would accumulate
            view.first_renderer().ResetCameraClippingRange()

    def default_opacity(self, overlay: str) -> float:
        """Return the opacity that an overlay is first shown with."""
        return {FUSED: 1.0, ERROR: ERROR_OPACITY}.get(overlay, OPACITY)

    def bar_window(self, overlay: str) -> OverlayWindow | None:
        """Return the window of an overlay's color bar; None where it has no bar, as a volume in color has none.

        Args:
            overlay: A key of `overlays`.
        """
        if overlay not in self.windows or components(self.overlays[overlay]) > 1:
            return None
        return self.windows[overlay].current

    def show(self, overlay: str, opacity: float) -> None:
        """Show a volume over the MRI.

        Args:
            overlay: A key of `overlays`.
            opacity: Of it, 0 to 1.
        """
        show_volumes(self._background, self.overlays[overlay], opacity)
        self.render()

    def show_grid(self, grid: str, in_slices: bool, in_3d: bool) -> None:
        """Show a deformation grid.

        Args:
            grid: A key of `grids`; the other one is hidden.
            in_slices: Show it in slice views.
            in_3d: Show it in 3D views.
        """
        for node in self.grids.values():
            hide_grid(node)
        show_grid(self.grids[grid], self._line_spacing_mm, in_slices, in_3d)
        self.render()

    def cut_head(self, is_cut: bool) -> None:
        """Show the head in 3D cut open along the slices, or whole."""
        self._head.show(is_cut)
        self.render()

    def drag_window_of_fixed(self, fixed: bool) -> None:
        """Let dragging in slice views change the window of the MRI, or that of what lies over it."""
        interaction = self._application.app_logic.GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.AdjustWindowLevel)
        for view in self._application.view_manager.get_views():
            if isinstance(view, SliceView):
                dragging = view.get_displayable_manager_by_class("vtkMRMLScalarBarDisplayableManager")
                dragging.SetAdjustBackgroundWindowLevelEnabled(fixed)
                dragging.SetAdjustForegroundWindowLevelEnabled(not fixed)

    def displacement_range(self, grid: str) -> tuple[float, float]:
        """Return the smallest and the largest displacement of a grid in mm, which are green and red on it."""
        low, high = self.grids[grid].GetDisplayNode().GetScalarRange()
        return low, high

    def probes(self, overlay: str) -> list[Probe]:
        """Return the volumes whose values are read at the cursor, with the volume of an overlay among them."""
        found, label = self._found, MODALITIES[self._found.modality].label
        unit = f"({RELATIVE})" if found.window.unit == RELATIVE else found.window.unit
        probes = [] if found.fixed is None else [Probe("MRI", found.fixed)]
        source = None if found.moving is None else Probe(label, found.moving, transform=self._total)
        probes.append(Probe(f"{label} registered", found.registered, unit, source=source))
        if overlay == BEFORE and found.moving is not None:
            probes.append(Probe(f"{label} before", found.moving, unit))
        if overlay == RIGID and found.moving is not None:
            probes.append(Probe(f"{label} after {RIGID.lower()}", found.moving, unit, transform=found.prealignment))
        if found.expected_error is not None:
            probes.append(Probe(ERROR.lower(), found.expected_error, "mm", sitk.sitkLinear))
        return probes

    def render(self) -> None:
        """Draw all views again."""
        for view in self._application.view_manager.get_views():
            view.schedule_render()  # not every change of a node does it, such as opacity 0

    def _put_moving(self, found: Found) -> dict[str, slicer.vtkMRMLVolumeNode]:
        """Put the moving volume into the scene in all its places, in the overlay's colors."""
        label, nodes = MODALITIES[found.modality].label, {}
        if found.moving is not None:
            nodes[BEFORE] = self._put(found.moving, label)
        if found.moving is not None and found.has_initialization:
            nodes[RIGID] = self._put(found.moving, f"{label} after {RIGID.lower()}")
            initial = put_linear_transform(self._application.scene, found.prealignment, RIGID)
            nodes[RIGID].SetAndObserveTransformNodeID(initial.GetID())
        nodes[REGISTERED] = self._put(found.registered, f"{label} registered")
        for node in nodes.values():
            _color(node, found.window, label, found.window.shown_from)
        return nodes

    def _put_error(self, error: sitk.Image) -> None:
        window = error_window(error)
        self.overlays[ERROR] = self._put(error, ERROR)
        _color(self.overlays[ERROR], window, ERROR, shown_from=0.0)
        self.windows[ERROR] = SharedWindow([self.overlays[ERROR]], window)

    def _put_grids(self, found: Found) -> dict[str, slicer.vtkMRMLGridTransformNode]:
        content = content_from_fields(found.coarse_field, found.network_field, found.prealignment, np.eye(4))
        self._line_spacing_mm = content.lines_mm
        total = put_grid_transform(self._application.scene, content, TOTAL)
        draw_grid(total, self._background, content.lines_mm, content.smallest_mm, content.largest_mm)
        network = put_network_part(total)
        if network is None:
            return {TOTAL: total}
        draw_grid(network, self._background, content.lines_mm, *displacement_range(network_grid(total)))
        return {TOTAL: total, NETWORK: network}

    def _put(self, image: sitk.Image, name: str, window: tuple[float, float] | None = None) -> slicer.vtkMRMLVolumeNode:
        """Put a volume into the scene; `window` is of one value per voxel, by default the one that Slicer chooses."""
        if image.GetNumberOfComponentsPerPixel() > 1:
            window = RGB_WINDOW
        return put_volume(self._application.scene, content_from_image(image), name, window=window)


def _color(node: slicer.vtkMRMLVolumeNode, window: OverlayWindow, quantity: str, shown_from: float) -> None:
    """Show a volume in the overlay's colors, without Slicer's legend: the page has one color bar for all views."""
    color_by_value(node, window, quantity, shown_from)
    show_legend(node, quantity, False)


def _head_of(image: sitk.Image) -> sitk.Image:
    """Return the mask of the head in an image, scalar or RGB."""
    gray = sitk.GetImageFromArray(gray_values(image))
    gray.CopyInformation(image)
    return head_mask(gray)
