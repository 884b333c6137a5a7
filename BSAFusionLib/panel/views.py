"""The panel's display section: slice views, before and after, grid and legend."""

import json
from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _

from BSAFusionLib.color_maps import COLOR_MAPS
from BSAFusionLib.mrml.display import (
    checkerboard,
    draw_grid,
    hide_grid,
    link_and_fit,
    show_grid,
    show_legend,
    show_volumes,
)
from BSAFusionLib.mrml.hierarchy import file_beside
from BSAFusionLib.mrml.node_checks import components
from BSAFusionLib.mrml.nodes import displacement_range, network_grid, put_network_part, put_volume
from BSAFusionLib.mrml.overlay import set_color_map, show_expected_error, show_overlay
from BSAFusionLib.mrml.placement import fits_result, move_to_result, place_under, put_back
from BSAFusionLib.panel.parameters import Parameters, View, keep_network_transform
from BSAFusionLib.pipeline.summary import doubt_of


class Views:
    """Displays the result as the parameter node says, and switches the moving volume between before and after."""

    def __init__(self, ui: SimpleNamespace) -> None:
        self._ui = ui
        self._parameters: Parameters | None = None
        self._shown: tuple[tuple, tuple, tuple] = (), (), ()  # choices that the views show, as `_choices` has them
        self._flicker = qt.QTimer()
        self._flicker.connect("timeout()", self._swap)
        ui.beforeButton.connect("clicked(bool)", lambda checked: self._place(after=False))
        ui.afterButton.connect("clicked(bool)", lambda checked: self._place(after=True))
        ui.flickerCheckBox.connect("toggled(bool)", self._setFlicker)
        ui.fitButton.connect("clicked(bool)", self._fit)

    def follow(self, parameters: Parameters | None) -> None:
        """Use the choices of a parameter node from now on, without changing the views yet."""
        self.stop()
        self._parameters = parameters
        self._shown = self._choices()
        self._enable()

    def update(self) -> None:
        """Apply the choices that have changed."""
        self._enable()
        volumes, grid, colors = self._shown
        self._shown = self._choices()
        if self._shown[0] != volumes:
            self._showVolumes()
        if self._shown[1] != grid:
            self._showGrid()
        if self._shown[2] != colors:
            self._showColors()

    def show(self, parameters: Parameters) -> None:
        """Show the result of a parameter node, even one that the panel does not follow now."""
        followed, self._parameters = self._parameters, parameters
        if self._complete():  # else *Before* would show the moving volume as the last result moved it
            move_to_result(parameters.reportMovingVolume, parameters.reportGridTransform)
        self._showVolumes()
        self._showGrid()
        if self._parameters is parameters:  # else events of a wait cursor led the panel to follow others, or none
            self._parameters = followed
        self._shown = self._choices()
        self._enable()

    def _showVolumes(self) -> None:
        parameters = self._parameters
        if not self._complete():
            return
        view = self._possibleView()
        if view is View.OVERLAY:
            show_overlay(parameters.reportFixedVolume, parameters.reportRegisteredVolume)
        elif view is View.CHECKERBOARD:
            self._showCheckerboard()
        elif view is View.EXPECTED_ERROR:
            show_expected_error(parameters.reportFixedVolume, parameters.reportExpectedErrorVolume)
        elif view is View.BLEND:
            show_volumes(parameters.reportFixedVolume, parameters.reportMovingVolume, parameters.blend)
        else:
            show_volumes(parameters.reportFusedVolume)

    def _showGrid(self) -> None:
        parameters = self._parameters
        if not self._complete():
            return
        in_slices, in_3d = parameters.gridInSlices, parameters.gridIn3D
        by_displacement = parameters.gridByDisplacement
        grids = [parameters.reportGridTransform, self._networkTransform()]
        grid = grids.pop(parameters.gridOfNetwork)
        if grids[0] is not None:
            hide_grid(grids[0])
        if grid is not None:
            show_grid(grid, parameters.gridSpacing, in_slices, in_3d, by_displacement)
            show_legend(grid, _("Displacement (mm)"), by_displacement and (in_slices or in_3d))

    def _showColors(self) -> None:
        """Show the registered volume in the chosen color map; one in color keeps its own colors."""
        registered = self._parameters.reportRegisteredVolume if self._complete() else None
        if registered is not None and components(registered) == 1:
            set_color_map(registered, self._parameters.colorMap.value)

    def _networkTransform(self) -> slicer.vtkMRMLGridTransformNode | None:
        """Return the network's part of the output transform, ready to be drawn.

        Returns:
            None where it is neither in the scene nor to be shown, and where the network adds nothing.
        """
        parameters = self._parameters
        whole, node = parameters.reportGridTransform, parameters.reportNetworkTransform
        if node is None and not parameters.gridOfNetwork:
            return None
        node = put_network_part(whole, node)  # another run may have changed it
        keep_network_transform(parameters, node)
        if node is None:
            return None
        grid = network_grid(whole)
        range_mm = displacement_range(grid) if grid is not None else (0.0, 0.0)
        draw_grid(node, parameters.reportFixedVolume, parameters.gridSpacing, *range_mm)
        file_beside(node, whole)
        return node

    def stop(self) -> None:
        """Stop the flicker."""
        self._ui.flickerCheckBox.checked = False

    def _complete(self) -> bool:
        """Return True where all volumes and the transform of a result are in the scene."""
        parameters = self._parameters
        return parameters is not None and None not in (
            parameters.reportFixedVolume,
            parameters.reportMovingVolume,
            parameters.reportFusedVolume,
            parameters.reportGridTransform,
        )

    def _fits(self) -> bool:
        """Return True where the moving volume of a complete result is still as the run found it."""
        parameters = self._parameters
        return self._complete() and fits_result(parameters.reportMovingVolume, parameters.reportGridTransform)

    def _possibleView(self) -> View:
        """Return the chosen view, or the fused volume where that one needs a volume that was not made."""
        if not self._complete():
            return View.FUSED
        parameters = self._parameters
        needed = {
            View.OVERLAY: parameters.reportRegisteredVolume,
            View.CHECKERBOARD: parameters.reportRegisteredVolume,
            View.EXPECTED_ERROR: parameters.reportExpectedErrorVolume,
        }
        return View.FUSED if needed.get(parameters.view, parameters.view) is None else parameters.view

    def _note(self) -> str:
        """Return what the slice views show, where their pictures do not say it themselves."""
        parameters, view = self._parameters, self._possibleView()
        if view is not parameters.view and parameters.view is View.EXPECTED_ERROR:
            return _(
                "The expected error was not made, or is not known for these weights; the fused volume is shown instead."
            )
        if view is not parameters.view:
            return _("This display needs the registered volume, which was not made; the fused volume is shown instead.")
        if view is View.EXPECTED_ERROR and doubt_of(json.loads(parameters.report)):
            return _(
                "The result is doubtful: these colors hold only if it is right, and do not show how far off it is."
            )
        if view is View.BLEND and not self._fits():
            name = parameters.reportMovingVolume.GetName()
            return _("'{name}' was moved or hardened since this result; run again to see it before and after.").format(
                name=name
            )
        if view is View.FUSED:
            return parameters.reportFusedVolume.GetDescription() or ""
        if view is View.OVERLAY:
            note = _("Low values are transparent; change the window under Volumes.")
            return " ".join(filter(None, (self._flaw(), note)))
        return ""

    def _flaw(self) -> str:
        """Return what a reader must know of the lightness of the chosen color map; "" where it rises throughout."""
        row = COLOR_MAPS[self._parameters.colorMap.value]
        text = _("{color_map} {flaw}: there brighter is not always more.")
        return text.format(color_map=row.label, flaw=row.flaw) if row.flaw else ""

    def _choices(self) -> tuple[tuple, tuple, tuple]:
        """Return the choices for the volumes, those for the grid, and those for the colors."""
        parameters = self._parameters
        if parameters is None:
            return (), (), ()
        return (
            (parameters.view, parameters.blend, parameters.checkerFields),
            (
                parameters.gridInSlices,
                parameters.gridIn3D,
                parameters.gridByDisplacement,
                parameters.gridOfNetwork,
                parameters.gridSpacing,
            ),
            (parameters.colorMap,),
        )

    def _enable(self) -> None:
        """Enable the widgets that have something to show."""
        ui, complete = self._ui, self._complete()
        ui.viewsCollapsibleButton.visible = complete
        blend = self._possibleView() is View.BLEND
        for widget in (ui.blendSlider, ui.beforeButton):
            widget.enabled = complete and blend
        for widget in (ui.afterButton, ui.flickerCheckBox, ui.flickerRateSpinBox):
            widget.enabled = blend and self._fits()
        ui.checkerFieldsSpinBox.enabled = self._possibleView() is View.CHECKERBOARD
        ui.viewNoteLabel.text = self._note() if complete else ""
        ui.viewNoteLabel.visible = bool(ui.viewNoteLabel.text)
        if complete:
            after = self._isAfter()
            (ui.afterButton if after else ui.beforeButton).checked = True
            self._flicker.setInterval(round(500 / self._parameters.flickerRate))

    def _isAfter(self) -> bool:
        parameters = self._parameters
        return parameters.reportMovingVolume.GetParentTransformNode() is parameters.reportGridTransform

    def _place(self, after: bool) -> None:
        if not self._complete():
            return
        if not after:
            put_back(self._parameters.reportMovingVolume)
        elif self._fits():
            place_under(self._parameters.reportMovingVolume, self._parameters.reportGridTransform)
        self._enable()

    def _swap(self) -> None:
        if self._fits():
            self._place(after=not self._isAfter())
        else:
            self.stop()
            self._enable()

    def _setFlicker(self, on: bool) -> None:
        if on:
            self._flicker.start()
        else:
            self._flicker.stop()

    def _fit(self, checked: bool = False) -> None:
        if self._complete():
            link_and_fit(slicer.app.applicationLogic(), self._parameters.reportFixedVolume)

    def _showCheckerboard(self) -> None:
        parameters = self._parameters
        fixed, registered = parameters.reportFixedVolume, parameters.reportRegisteredVolume
        with slicer.util.WaitCursor():  # which lets other events happen: the user may leave, or close the scene
            if not self._complete():
                return
            board = checkerboard(fixed, registered, parameters.checkerFields)
            name = f"{fixed.GetName()} / {registered.GetName()}"
            last = parameters.checkerboardVolume
            node = put_volume(fixed.GetScene(), board, name, last, window=(0, 255) if last is None else None)
        if last is None:
            file_beside(node, fixed)
        parameters.checkerboardVolume = node
        show_volumes(node)
