"""The panel's results section: the last run's summary, warnings and figures, copying and saving."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import refuse_overwriting
from BSAFusionLib.mrml.landmarks import landmark_error
from BSAFusionLib.mrml.logic import ProcessResult
from BSAFusionLib.panel.parameters import Parameters
from BSAFusionLib.panel.stored_files import stored_files
from BSAFusionLib.pipeline.report import LandmarkError, Report
from BSAFusionLib.pipeline.summary import Row, doubt_of, sentences, short_table
from BSAFusionLib.report.table import detail_rows


def as_json(report: Report) -> str:
    """Convert a report to the text that the parameter node stores."""
    return json.dumps(report.as_dict())


class Results:
    """Shows the report of the last run; hidden while there is none."""

    def __init__(self, ui: SimpleNamespace) -> None:
        self._ui = ui
        self._parameters: Parameters | None = None
        self._landmarks: LandmarkError | None = None
        self._result: ProcessResult | None = None
        for table in (ui.resultsTable, ui.detailsTable):
            table.horizontalHeader().hide()
            table.verticalHeader().hide()
            table.horizontalHeader().setStretchLastSection(True)
        ui.copyButton.connect("clicked(bool)", self._copy)
        ui.savePageButton.connect("clicked(bool)", self._savePage)

    def follow(self, parameters: Parameters | None) -> None:
        """Show the report of a parameter node from now on, or none.

        The pictures of a run are kept while no node is followed, and while the report is that run's.
        """
        self._parameters = parameters
        if parameters is None:
            self.show()
            return
        kept = self._result is not None and parameters.report == as_json(self._result.report)
        self.done(self._result if kept else None)

    def done(self, result: ProcessResult | None) -> None:
        """Show the report in the parameter node; `result` is None for a run of an earlier session."""
        self._result = result
        ui = self._ui
        ui.savePageButton.enabled = result is not None
        ui.savePageButton.toolTip = (
            _("Save figures, warnings and pictures of the last run as one HTML page.")
            if result is not None
            else _("The scene does not store the pictures; run again to save them.")
        )
        self.show()

    def show(self) -> None:
        """Show the report in the parameter node."""
        ui, report = self._ui, self._report()
        ui.resultsCollapsibleButton.visible = report is not None
        if report is None:
            return
        lines = [doubt_of(report)] + [_("Warning: {text}").format(text=warning) for warning in report["warnings"]]
        ui.warningsLabel.text = "\n".join(line for line in lines if line)
        ui.warningsLabel.visible = bool(ui.warningsLabel.text)
        ui.summaryLabel.text = "\n\n".join(sentences(report))
        self._measureLandmarks()
        _fill(ui.resultsTable, self._figures(report))
        _fill(ui.detailsTable, detail_rows(report))

    def _measureLandmarks(self) -> None:
        """Measure the landmark distances from the present points and deformation."""
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

    def _figures(self, report: dict[str, Any]) -> list[Row]:
        landmarks = asdict(self._landmarks) if self._landmarks is not None else None
        return short_table({**report, "landmarks": landmarks})

    def _savePage(self, checked: bool = False) -> None:
        chosen = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save report"), "report.html", _("Web pages (*.html)")
        )
        if not chosen:
            return
        from BSAFusionLib.files.atomic import written_whole  # here, since it imports SimpleITK

        path = Path(chosen)
        result = replace(self._result, report=replace(self._result.report, landmarks=self._landmarks))
        try:
            refuse_overwriting(stored_files(slicer.mrmlScene), [path])
            with slicer.util.WaitCursor(), written_whole(path.parent) as folder:
                (folder / path.name).write_text(result.page(), encoding="utf-8")
        except FusionError as error:
            slicer.util.errorDisplay(str(error))

    def _copy(self, checked: bool = False) -> None:
        """Copy summary, warnings and figures as lines with tabs, for spreadsheets."""
        report = self._report()
        lines = [(text,) for text in (doubt_of(report), *sentences(report)) if text]
        lines += [(_("Warning"), warning) for warning in report["warnings"]]
        lines += [(row.name, row.figure) for row in self._figures(report) + detail_rows(report)]
        qt.QApplication.clipboard().setText("\n".join("\t".join(line) for line in lines))


def _fill(table: qt.QTableWidget, rows: list[Row]) -> None:
    """Fill a table, as high as its rows; the tool tips say what the figures mean."""
    table.setRowCount(len(rows))
    for number, row in enumerate(rows):
        for column, content in enumerate((row.name, row.figure)):
            item = qt.QTableWidgetItem(content)
            item.setToolTip(row.meaning or content)
            table.setItem(number, column, item)
    table.resizeColumnToContents(0)
    table.resizeRowsToContents()
    height = sum(table.rowHeight(number) for number in range(len(rows)))
    table.setFixedHeight(height + 2 * table.frameWidth)
