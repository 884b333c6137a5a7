"""A report as the rows of a table, its warnings in words, and both as text."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files import written_whole
from BSAFusionLib.landmarks import landmark_error
from BSAFusionLib.logic import ProcessResult
from BSAFusionLib.panel.parameters import Parameters
from BSAFusionLib.report import LandmarkError, Report


def as_json(report: Report) -> str:
    """A report as the parameter node keeps it."""
    return json.dumps(report.as_dict())


def rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of Report.as_dict(), each with its name and unit."""
    total, network = report["displacement"], report["network_displacement"]
    verdict = report.get("verdict")  # reports of older scenes have none
    kept = _("all, unchecked") if verdict is None else f"{100 * verdict['kept']:.0f} %"
    return [
        (_("Mutual information, before"), f"{report['mutual_information_before']:.3f}"),
        (_("Mutual information, start"), f"{report['mutual_information_prealigned']:.3f}"),
        (_("Mutual information, after"), f"{report['mutual_information_after']:.3f}"),
        (_("Displacement, mean"), f"{total['mean']:.1f} mm"),
        (_("Displacement, 95 %"), f"{total['percentile_95']:.1f} mm"),
        (_("Displacement, largest"), f"{total['maximum']:.1f} mm"),
        (_("By the network, mean"), f"{network['mean']:.1f} mm"),
        (_("By the network, largest"), f"{network['maximum']:.1f} mm"),
        (_("Kept of that"), kept),
        (_("Smallest Jacobian"), f"{report['smallest_jacobian']:.2f}"),
        (_("Folded voxels"), f"{report['percent_folded']:.2f} %"),
        (_("Slices"), f"{report['slices']}"),
        (_("Time"), f"{sum(report['seconds'].values()):.1f} s"),
        (_("Modality"), report["modality"].upper()),
        (_("Device"), report["device"]),
        (_("Precision"), report.get("precision", "float32")),
        (_("Weights"), report["weights"]),
    ]


def landmark_rows(error: LandmarkError | None) -> list[tuple[str, str]]:
    """The distances of landmarks, where there are any, each with its name and unit."""
    if error is None:
        return []
    return [
        (_("Landmarks before, mean"), f"{error.mean_before:.1f} mm"),
        (_("Landmarks before, largest"), f"{error.largest_before:.1f} mm"),
        (_("Landmarks after, mean"), f"{error.mean_after:.1f} mm"),
        (_("Landmarks after, largest"), f"{error.largest_after:.1f} mm"),
    ]


def text(report: Mapping[str, Any], landmarks: LandmarkError | None = None) -> str:
    """The table and the warnings, a line each, names and figures set apart by a tabulator for spreadsheets."""
    lines = [f"{name}\t{figure}" for name, figure in rows(report) + landmark_rows(landmarks)]
    return "\n".join(lines + [f"{_('Warning')}\t{warning}" for warning in report["warnings"]])


class Results:
    """The part of the panel with the last run's figures; hidden while there are none."""

    def __init__(self, ui: SimpleNamespace) -> None:
        self._ui = ui
        self._parameters: Parameters | None = None
        self._landmarks: LandmarkError | None = None
        self._result: ProcessResult | None = None
        table = ui.resultsTable
        table.horizontalHeader().hide()
        table.verticalHeader().hide()
        table.horizontalHeader().setStretchLastSection(True)
        ui.copyButton.connect("clicked(bool)", self._copy)
        ui.savePageButton.connect("clicked(bool)", self._savePage)

    def follow(self, parameters: Parameters | None) -> None:
        """Shows this node's report from now on; the pictures of a run stay for as long as the report is that run's."""
        self._parameters = parameters
        result = self._result
        kept = result is not None and parameters is not None and parameters.report == as_json(result.report)
        self.done(result if kept else None)

    def done(self, result: ProcessResult | None) -> None:
        """Shows the report that the parameter node has got from a run; none where the run was not of this session."""
        self._result = result
        ui = self._ui
        ui.savePageButton.enabled = result is not None
        ui.savePageButton.toolTip = (
            _("Save figures, warnings and pictures of the last run as one HTML page.")
            if result is not None
            else _("The pictures are not kept with the scene: run again to save them.")
        )
        self.show()

    def show(self) -> None:
        """Fills the table with the report that the parameter node keeps."""
        ui, report = self._ui, self._report()
        ui.resultsCollapsibleButton.visible = report is not None
        if report is None:
            return
        ui.warningsLabel.text = "\n".join(_("Warning: {text}").format(text=warning) for warning in report["warnings"])
        ui.warningsLabel.visible = bool(ui.warningsLabel.text)
        self._measureLandmarks()
        table, figures = ui.resultsTable, rows(report) + landmark_rows(self._landmarks)
        table.setRowCount(len(figures))
        for row, texts in enumerate(figures):
            for column, content in enumerate(texts):
                item = qt.QTableWidgetItem(content)
                item.setToolTip(content)
                table.setItem(row, column, item)
        table.resizeColumnToContents(0)
        table.resizeRowsToContents()
        height = sum(table.rowHeight(row) for row in range(len(figures)))
        table.setFixedHeight(height + 2 * table.frameWidth)

    def _measureLandmarks(self) -> None:
        """Takes the distances anew, from the points and the deformation as they are now."""
        parameters, label = self._parameters, self._ui.landmarksProblemLabel
        nodes = (
            parameters.fixedLandmarks,
            parameters.movingLandmarks,
            parameters.reportMovingVolume,
            parameters.reportGridTransform,
        )
        self._landmarks, label.text = None, ""
        if None not in nodes:
            try:
                self._landmarks = landmark_error(*nodes)
            except FusionError as error:
                label.text = str(error)
        label.visible = bool(label.text)

    def _report(self) -> dict[str, Any] | None:
        if self._parameters is None or not self._parameters.report:
            return None
        return json.loads(self._parameters.report)

    def _savePage(self, checked: bool = False) -> None:
        chosen = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save report"), "report.html", _("Web pages (*.html)")
        )
        if not chosen:
            return
        path = Path(chosen)
        result = replace(self._result, report=replace(self._result.report, landmarks=self._landmarks))
        try:
            with slicer.util.WaitCursor(), written_whole(path.parent) as folder:
                (folder / path.name).write_text(result.page(), encoding="utf-8")
        except FusionError as error:
            slicer.util.errorDisplay(str(error))

    def _copy(self, checked: bool = False) -> None:
        qt.QApplication.clipboard().setText(text(self._report(), self._landmarks))
