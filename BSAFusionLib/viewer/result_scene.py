"""A result in a scene, and its display in the viewer."""

import numpy as np
import SimpleITK as sitk
import slicer
from trame_slicer.core import SlicerApp
from trame_slicer.views import AbstractView, ThreeDView, ViewDirection

from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.convert import content_from_fields, content_from_image
from BSAFusionLib.mrml.display import draw_grid, link_and_fit, show_grid, show_in_heat, show_volumes
from BSAFusionLib.mrml.nodes import put_grid_transform, put_linear_transform, put_volume
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.viewer.result_folder import Found


class ResultScene:
    """The volumes of a result in an application's scene, with the deformation as a grid.

    Attributes:
        overlays: Volumes that can be shown over the MRI, by their labels: the moving volume before registration, after
            the rigid initialization, and registered, as far as they exist, and the fused volume.
        displacement_range: Smallest and largest displacement in mm, green and red on the grid.
    """

    def __init__(self, application: SlicerApp, found: Found) -> None:
        self._application = application
        moving = found.modality.upper()
        window = (0, 255) if MODALITIES[found.modality].in_color else (0, 1)
        fused = self._put(found.fused, "Fused", window=window)
        registered = self._put(found.registered, f"{moving} registered")
        if MODALITIES[found.modality].in_color and registered.GetImageData().GetNumberOfScalarComponents() == 1:
            show_in_heat(registered)
        self.overlays = {}
        if found.moving is not None:
            self.overlays["Before"] = self._put(found.moving, moving, like=registered)
        if found.moving is not None and found.has_initialization:
            initialized = self._put(found.moving, f"{moving} after rigid initialization", like=registered)
            initial = put_linear_transform(application.scene, found.prealignment, "Rigid initialization")
            initialized.SetAndObserveTransformNodeID(initial.GetID())
            self.overlays["Rigid initialization"] = initialized
        self.overlays |= {"Registered": registered, "Fused": fused}
        self._background = fused if found.fixed is None else self._put(found.fixed, "MRI")
        content = content_from_fields(found.coarse_field, found.network_field, found.prealignment, np.eye(4))
        self._line_spacing_mm = content.lines_mm
        self.displacement_range = content.smallest_mm, content.largest_mm
        self._grid = put_grid_transform(application.scene, content, "Deformation")
        draw_grid(self._grid, self._background, content.lines_mm, *self.displacement_range)

    def fit(self) -> None:
        """Fit the MRI into each slice view, and the slices into the 3D view."""
        show_volumes(self._background)
        link_and_fit(self._application.app_logic, self._background)
        for view in nodes_of_class(self._application.scene, "vtkMRMLSliceNode"):
            view.SetSliceVisible(True)
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
            camera.Dolly(1.5)  # not Zoom, which would accumulate
            view.first_renderer().ResetCameraClippingRange()

    def show(self, overlay: str, opacity: float, grid_in_slices: bool, grid_in_3d: bool) -> None:
        """Set what the views show.

        Args:
            overlay: A key of `overlays`, shown over the MRI.
            opacity: Of the overlay, 0 to 1.
            grid_in_slices: Show the deformation grid in slice views.
            grid_in_3d: Show it in 3D views.
        """
        show_volumes(self._background, self.overlays[overlay], opacity)
        show_grid(self._grid, self._line_spacing_mm, grid_in_slices, grid_in_3d)
        for view in self._application.view_manager.get_views():
            view.schedule_render()  # not every change of a node does it, such as opacity 0

    def _put(
        self,
        image: sitk.Image,
        name: str,
        window: tuple[float, float] | None = None,
        like: slicer.vtkMRMLVolumeNode | None = None,
    ) -> slicer.vtkMRMLVolumeNode:
        return put_volume(self._application.scene, content_from_image(image), name, window=window, like=like)
