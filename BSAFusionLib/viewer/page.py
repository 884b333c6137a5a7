"""The viewer's page: three slice views, a 3D view, and the controls for them."""

from trame.app import get_server
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as vuetify
from trame_slicer.app.logic import connect_slice_view_slider_to_state
from trame_slicer.app.ui.slider import Slider
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import AbstractView, Layout, LayoutDirection, SliceView, ViewLayoutDefinition

from BSAFusionLib.viewer.result_folder import Found
from BSAFusionLib.viewer.result_scene import ResultScene

DISCLAIMER = "For research use only. Not for clinical use."
LAYOUT_NAME = "Four views"
DOUBT_HEIGHT_PX = 56  # room for three lines
STYLE = """
html { overflow: hidden; }
.choices .v-btn { text-transform: none; letter-spacing: normal; }
.doubt { justify-content: flex-start; font-weight: bold; overflow-y: auto; }
.view-label { position: absolute; top: 8px; left: 8px; padding: 0 8px; border-left: 4px solid; color: white;
  background: rgba(0, 0, 0, 0.6); font-size: 14px; user-select: none; }
.view-fit { position: absolute; top: 4px; right: 4px; color: white; background: rgba(0, 0, 0, 0.6); }
.legend { display: inline-block; width: 120px; height: 10px; margin: 0 6px;
  background: linear-gradient(to right, rgb(0, 255, 0), rgb(255, 255, 0), rgb(255, 0, 0)); }
.view-slider { position: absolute; bottom: 0; left: 8px; right: 8px; }
"""


class Page:
    """The page of one result.

    Attributes:
        server: Serves the page.
    """

    def __init__(self, found: Found) -> None:
        self.server = get_server(client_type="vue3")
        application = SlicerApp()
        self._result = ResultScene(application, found)
        register_rca_factories(
            application.view_manager,
            self.server,
            slice_view_ui_f=self._draw_controls,
            three_d_view_ui_f=self._draw_controls,
        )
        views = LayoutManager(application.scene, application.view_manager, self.server)
        views.register_layout(LAYOUT_NAME, _four_views())
        views.set_layout(LAYOUT_NAME)
        self._result.fit()
        state = self.server.state
        state.update({"overlay": "Registered", "opacity": 0.5, "grid_in_slices": False, "grid_in_3d": False})
        state.change("overlay", "opacity", "grid_in_slices", "grid_in_3d")(self._show)
        state.trame__title = f"BSAFusion: {found.name}"
        self._draw(found, views)

    def _show(self, overlay: str, opacity: float, grid_in_slices: bool, grid_in_3d: bool, **_: object) -> None:
        self._result.show(overlay, opacity, grid_in_slices, grid_in_3d)

    def _draw(self, found: Found, views: LayoutManager) -> None:
        with VAppLayout(self.server, theme="dark") as page:
            client.Style(STYLE)
            with vuetify.VAppBar(density="compact"):
                vuetify.VAppBarTitle("{{ trame__title }}")
                with vuetify.VBtnToggle(
                    v_model=("overlay",), mandatory=True, density="compact", variant="outlined", classes="choices"
                ):
                    for name in self._result.overlays:
                        vuetify.VBtn(name, value=name)
                html.Span("Fused" if found.fixed is None else "MRI", classes="ml-8 mr-4")
                vuetify.VSlider(v_model=("opacity",), min=0, max=1, step=0.01, hide_details=True, max_width=160)
                html.Span(
                    f"{{{{ overlay === 'Fused' ? 'Fused' : '{found.modality.upper()}' }}}}",
                    classes="ml-4 mr-6",
                    style="width: 3.5em",
                )
                for choice, label in (("grid_in_slices", "Grid"), ("grid_in_3d", "Grid in 3D")):
                    vuetify.VSwitch(
                        v_model=(choice,), label=label, color="primary", hide_details=True, classes="mr-4 flex-grow-0"
                    )
            if found.doubt:
                vuetify.VSystemBar(found.doubt, color="error", height=DOUBT_HEIGHT_PX, classes="doubt")
            with vuetify.VMain(style="height: 100vh"):
                views.initialize_layout_grid(page)
            with vuetify.VFooter(app=True, classes="py-1 text-caption"):
                smallest, largest = self._result.displacement_range
                with html.Div(v_show=("grid_in_slices || grid_in_3d",), classes="mr-6 text-no-wrap"):
                    html.Span(f"Displacement {smallest:.1f}")
                    html.Span(classes="legend")
                    html.Span(f"{largest:.1f} mm")
                html.Span(" ".join(found.missing), classes="text-warning")
                vuetify.VSpacer()
                html.Span(DISCLAIMER, classes="ml-6 text-no-wrap")

    def _draw_controls(self, server: object, view_id: str, view: AbstractView) -> None:
        """Add a view's name in Slicer's color for it, a button that fits it, and a slice view's slider."""
        color = ", ".join(f"{part:.0%}" for part in view.get_view_node().GetLayoutColor())
        in_slice = isinstance(view, SliceView)
        html.Div(
            view.get_orientation() if in_slice else "3D", classes="view-label", style=f"border-color: rgb({color})"
        )
        vuetify.VBtn(
            icon="mdi-fit-to-screen-outline",
            variant="text",
            density="compact",
            classes="view-fit",
            click=lambda: self._result.fit_view(view),
        )
        if in_slice:
            slice_offset = connect_slice_view_slider_to_state(server, view)
            Slider(typed_state=slice_offset, classes="view-slider", density="compact")


def _four_views() -> Layout:
    """Return Slicer's layout: axial and 3D above, coronal and sagittal below."""
    rows = (
        [ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.threed_view(background_color="#000000")],
        [ViewLayoutDefinition.coronal_view(), ViewLayoutDefinition.sagittal_view()],
    )
    return Layout(LayoutDirection.Vertical, [Layout(LayoutDirection.Horizontal, row) for row in rows])
