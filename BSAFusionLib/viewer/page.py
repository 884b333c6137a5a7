"""The viewer's page: three slice views, a 3D view, and the controls for them."""

from functools import partial
from typing import Any

import slicer
from slicer.util import arrayFromVTKMatrix
from trame.app import get_server
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as vuetify
from trame_slicer.app.logic import connect_slice_view_slider_to_state
from trame_slicer.app.ui.slider import Slider
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import AbstractView, Layout, LayoutDirection, SliceView, ViewLayoutDefinition

from BSAFusionLib.color_maps import COLOR_MAPS
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.overlay import fused_meaning
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.pipeline.ct_window import decimals_of
from BSAFusionLib.report.overlay import OverlayWindow
from BSAFusionLib.viewer.letters import edge_letters
from BSAFusionLib.viewer.readout import read_all
from BSAFusionLib.viewer.result_folder import Found
from BSAFusionLib.viewer.result_scene import ERROR, FUSED, REGISTERED, TOTAL, ResultScene

DISCLAIMER = "For research use only. Not for clinical use."
LAYOUT_NAME = "Four views"
MOUSE_HELP = (
    "In a slice: drag to change the window (left and right its width, up and down its center), turn the wheel to "
    "scroll, drag with the right button to zoom and with the middle one to pan."
)
NO_POINT = "Point at a slice to read its values."
GRID_COLORS = "rgb(0, 255, 0), rgb(255, 255, 0), rgb(255, 0, 0)"
STYLE = """
html { overflow: hidden; }
.page { display: flex; flex-direction: column; height: 100vh; overflow-y: auto; }
.page > * { flex-shrink: 0; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px; padding: 4px 12px; }
.views { flex-grow: 1; flex-basis: 360px; display: flex; flex-direction: column; }
.choices { max-width: 100%; overflow-x: auto; }
.choices .v-btn { text-transform: none; letter-spacing: normal; }
.doubt { padding: 4px 12px; color: white; background: #b0135a; font-weight: bold; max-height: 30vh; overflow-y: auto; }
.warnings { max-height: 15vh; overflow-y: auto; }
.view-label { position: absolute; top: 8px; left: 8px; padding: 0 8px; border-left: 4px solid; color: white;
  background: rgba(0, 0, 0, 0.6); font-size: 14px; user-select: none; }
.view-fit { position: absolute; top: 4px; right: 4px; color: white; background: rgba(0, 0, 0, 0.6); }
.view-letter { position: absolute; color: white; font-weight: bold; text-shadow: 0 0 3px black; pointer-events: none;
  user-select: none; }
.view-letter-left { left: 8px; top: 50%; }
.view-letter-right { right: 8px; top: 50%; }
.view-letter-top { top: 4px; left: 50%; }
.view-letter-bottom { bottom: 32px; left: 50%; }
.legend { display: flex; align-items: center; gap: 6px; white-space: nowrap; }
.readout { padding: 0 12px 4px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.color-bar { width: 120px; height: 10px; border: 1px solid gray; }
.view-slider { position: absolute; bottom: 0; left: 8px; right: 8px; }
"""


class Page:
    """The page of one result.

    Attributes:
        server: Serves the page.
    """

    def __init__(self, found: Found) -> None:
        self.server = get_server(client_type="vue3")
        self._found = found
        application = SlicerApp()
        self._result = ResultScene(application, found)
        register_rca_factories(
            application.view_manager,
            self.server,
            slice_view_ui_f=self._draw_slice_controls,
            three_d_view_ui_f=self._draw_controls,
        )
        views = LayoutManager(application.scene, application.view_manager, self.server)
        views.register_layout(LAYOUT_NAME, _four_views())
        views.set_layout(LAYOUT_NAME)
        self._result.fit()
        self._follow_state()
        self._follow_windows()
        self._follow_cursor(application.scene)
        self._draw(views)

    def _follow_state(self) -> None:
        """Let the views follow the controls."""
        state = self.server.state
        # Under which name the opacity of each overlay is kept: places of one volume are compared at one.
        fade_of = {overlay: overlay if overlay in (FUSED, ERROR) else REGISTERED for overlay in self._result.overlays}
        state.update(
            {
                "overlay": REGISTERED,
                "fade_of": fade_of,
                "fades": {fade: self._result.default_opacity(fade) for fade in fade_of.values()},
                "grid": TOTAL,
                "grid_in_slices": False,
                "grid_in_3d": False,
                "cut_head": True,
                "window_of_fixed": False,
                "readout": NO_POINT,
                # Text from a report or with names of files, which as a child of an element would be HTML and code.
                "doubt": self._found.doubt,
                "sentences": " ".join(self._found.sentences),
                "warnings": " ".join(("Warning:", *self._found.warnings)),
                "missing": " ".join(self._found.missing),
                "trame__title": f"BSAFusion: {self._found.name}",
            }
        )
        state.change("overlay", "fades")(self._show)
        state.change("grid", "grid_in_slices", "grid_in_3d")(self._show_grid)
        state.change("cut_head")(lambda cut_head, **_: self._result.cut_head(cut_head))
        state.change("window_of_fixed")(lambda window_of_fixed, **_: self._result.drag_window_of_fixed(window_of_fixed))

    def _show(self, overlay: str, fade_of: dict[str, str], fades: dict[str, float], **_: Any) -> None:
        self._result.show(overlay, fades[fade_of[overlay]])
        self._write_windows()

    def _show_grid(self, grid: str, grid_in_slices: bool, grid_in_3d: bool, **_: Any) -> None:
        self._result.show_grid(grid, grid_in_slices, grid_in_3d)
        self.server.state.grid_range = [f"{length:.1f}" for length in self._result.displacement_range(grid)]

    def _follow_windows(self) -> None:
        """Let the color bars follow the windows."""
        for window in (*self._result.windows.values(), self._result.fixed_window):
            window.changed = self._window_changed
        self._write_windows()

    def _window_changed(self) -> None:
        self._write_windows()
        self._result.render()  # the 3D view, too

    def _write_windows(self) -> None:
        state = self.server.state
        window, label = self._result.bar_window(state.overlay), MODALITIES[self._found.modality].label
        name = ERROR if state.overlay == ERROR else label
        state.window = [name, *_ends(window), _css(window.color_map)] if window is not None else None
        state.fixed_window = _ends(self._result.fixed_window.current)

    def _reset_windows(self) -> None:
        for window in (*self._result.windows.values(), self._result.fixed_window):
            window.reset()

    def _follow_cursor(self, scene: slicer.vtkMRMLScene) -> None:
        """Let the line of values follow the cursor in slice views."""
        (self._crosshair,) = nodes_of_class(scene, "vtkMRMLCrosshairNode")
        self._crosshair.AddObserver(self._crosshair.CursorPositionModifiedEvent, self._read)

    def _read(self, *_: Any) -> None:
        ras, state = [0.0, 0.0, 0.0], self.server.state
        in_a_slice = self._crosshair.GetCursorPositionRAS(ras)
        state.readout = read_all(self._result.probes(state.overlay), ras) if in_a_slice else NO_POINT

    def _draw(self, views: LayoutManager) -> None:
        found = self._found
        with VAppLayout(self.server, theme="dark") as page:
            client.Style(STYLE)
            with vuetify.VMain(), html.Div(classes="page"):
                if found.doubt:
                    html.Div("{{ doubt }}", classes="doubt")
                with html.Div(classes="bar verdict"):
                    html.Span("{{ trame__title }}", classes="font-weight-bold")
                    vuetify.VSpacer()
                    html.Span(DISCLAIMER, classes="text-caption")
                    html.Div("{{ sentences }}", classes="text-caption w-100")
                    if found.warnings:
                        html.Div("{{ warnings }}", classes="warnings text-caption text-warning w-100")
                with html.Div(classes="bar controls"):
                    self._draw_choices()
                with html.Div(classes="views"):
                    views.initialize_layout_grid(page)
                if found.missing:
                    html.Div("{{ missing }}", classes="missing bar text-caption text-warning")
                with html.Div(classes="bar text-caption"):
                    self._draw_bars()
                html.Div(
                    "{{ readout }}", classes="readout text-caption"
                )  # of one line, so that the views stay in place

    def _draw_choices(self) -> None:
        fixed = "Fused" if self._found.fixed is None else "MRI"
        _toggle("overlay", {name: name for name in self._result.overlays})
        with html.Div(classes="d-flex align-center"):
            html.Span(fixed, classes="mr-4")
            # The opacities are written here alone, so that nothing that is on its way from the server sets one back.
            vuetify.VSlider(
                model_value=("fades[fade_of[overlay]]",),
                update_modelValue="fades = {...fades, [fade_of[overlay]]: $event}",
                min=0,
                max=1,
                step=0.01,
                hide_details=True,
                name="Opacity of the overlay",  # its label to screen readers, as of the sliders of the slices
                width=110,
            )
            html.Span("Overlay", classes="ml-4")
        _switch("grid_in_slices", "Grid")
        _switch("grid_in_3d", "Grid in 3D")
        if len(self._result.grids) > 1:
            no_grid = "!(grid_in_slices || grid_in_3d)"
            _toggle("grid", {name: name for name in self._result.grids}, disabled=(no_grid,))
        _switch("cut_head", "Cut head")
        with html.Div(classes="d-flex align-center", title=MOUSE_HELP):
            html.Span("Drag changes", classes="mr-2")
            _toggle("window_of_fixed", {fixed: True, "Overlay": False})
            vuetify.VBtn(
                icon="mdi-restore", variant="text", density="compact", title="Reset windows", click=self._reset_windows
            )

    def _draw_bars(self) -> None:
        """Draw a color bar of the overlay, of the MRI, and of a grid that is shown."""
        with html.Div(v_if=("window",), classes="legend overlay-bar"):
            html.Span("{{ window[0] }} {{ window[1] }}")
            html.Div(classes="color-bar", style=("`background: linear-gradient(to right, ${window[4]})`",))
            html.Span("{{ window[2] }} {{ window[3] }}")
        html.Span(fused_meaning(self._found.modality), v_if=(f"overlay === '{FUSED}'",))
        with html.Div(classes="legend fixed-bar"):
            html.Span("MRI {{ fixed_window[0] }}" if self._found.fixed is not None else "Fused {{ fixed_window[0] }}")
            _color_bar("black, white")
            html.Span("{{ fixed_window[1] }}")
        with html.Div(v_if=("grid_in_slices || grid_in_3d",), classes="legend grid-bar"):
            html.Span("Displacement {{ grid_range[0] }}")
            _color_bar(GRID_COLORS)
            html.Span("{{ grid_range[1] }} mm")

    def _draw_controls(self, _server: object, _view_id: str, view: AbstractView) -> None:
        """Add a view's name in Slicer's color for it, and a button that fits it."""
        color = ", ".join(f"{part:.0%}" for part in view.get_view_node().GetLayoutColor())
        name = view.get_orientation() if isinstance(view, SliceView) else "3D"
        html.Div(name, classes="view-label", style=f"border-color: rgb({color})")
        vuetify.VBtn(
            icon="mdi-fit-to-screen-outline",
            variant="text",
            density="compact",
            classes="view-fit",
            title="Fit",
            click=lambda: self._result.fit_view(view),
        )

    def _draw_slice_controls(self, server: object, view_id: str, view: SliceView) -> None:
        """Add the controls of a view, a slider, and the letters of the patient's sides."""
        self._draw_controls(server, view_id, view)
        slice_offset = connect_slice_view_slider_to_state(server, view)
        Slider(
            typed_state=slice_offset, name=f"{view.get_orientation()} slice", classes="view-slider", density="compact"
        )
        view.modified.connect(partial(self._write_letters, view_id))
        self._write_letters(view_id, view)
        for edge in edge_letters(arrayFromVTKMatrix(view.get_view_node().GetSliceToRAS())):
            html.Div(f"{{{{ letters_{view_id}.{edge} }}}}", classes=f"view-letter view-letter-{edge}")

    def _write_letters(self, view_id: str, view: SliceView) -> None:
        matrix = arrayFromVTKMatrix(view.get_view_node().GetSliceToRAS())
        self.server.state[f"letters_{view_id}"] = edge_letters(matrix)


def _toggle(state: str, choices: dict[str, Any], **attributes: Any) -> None:
    """Draw buttons of which one is chosen; `choices` are values of the state by their labels."""
    with vuetify.VBtnToggle(
        v_model=(state,), mandatory=True, density="compact", variant="outlined", classes="choices", **attributes
    ):
        for label, value in choices.items():
            vuetify.VBtn(label, value=(str(value).lower(),) if isinstance(value, bool) else value, size="small")


def _switch(state: str, label: str) -> None:
    vuetify.VSwitch(
        v_model=(state,), label=label, color="primary", density="compact", hide_details=True, classes="flex-grow-0"
    )


def _color_bar(colors: str) -> None:
    html.Span(classes="color-bar", style=f"background: linear-gradient(to right, {colors})")


def _css(color_map: str) -> str:
    """Return the points of a color map as stops of a CSS gradient."""
    return ", ".join(f"rgb({r}, {g}, {b}) {level:.1%}" for level, r, g, b in COLOR_MAPS[color_map].points)


def _ends(window: OverlayWindow) -> list[str]:
    """Return the text of a window's ends and of its unit."""
    decimals = decimals_of(window.high - window.low)
    low, high = (round(value, decimals) + 0.0 for value in (window.low, window.high))  # 0.0 makes 0 of -0
    return [f"{low:.{decimals}f}", f"{high:.{decimals}f}", window.unit]


def _four_views() -> Layout:
    """Return Slicer's layout: axial and 3D above, coronal and sagittal below."""
    rows = (
        [ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.threed_view(background_color="#000000")],
        [ViewLayoutDefinition.coronal_view(), ViewLayoutDefinition.sagittal_view()],
    )
    return Layout(LayoutDirection.Vertical, [Layout(LayoutDirection.Horizontal, row) for row in rows])
