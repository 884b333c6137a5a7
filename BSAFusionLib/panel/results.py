"""The panel's results section: a result's summary, warnings and figures, copying and saving; a row for each result."""

import json
from collections.abc import Callable
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
from BSAFusionLib.mrml.logic import Job, ProcessResult
from BSAFusionLib.panel.parameters import (
    KeptResult,
    Parameters,
    is_shown,
    keep_landmarks,
    kept_results,
    landmarks_shown,
)
from BSAFusionLib.panel.stored_files import stored_files
from BSAFusionLib.pipeline.report import LandmarkError, Report
from BSAFusionLib.pipeline.summary import Row, doubt_of, one_line, sentences, short_table
from BSAFusionLib.report.table import detail_rows


def as_json(report: Report) -> str:
    """Convert a report to the text that the parameter node stores."""
    return json.dumps(report.as_dict())


def values_of(job: Job, result: ProcessResult) -> dict[str, Any]:
    """Return a result by the names under which a parameter node stores it."""
    return {
        "report": as_json(result.report),
        "reportFixedVolume": job.fixedVolume,
        "reportMovingVolume": job.movingVolume,
        "reportFusedVolume": result.fusedVolume,
        "reportGridTransform": result.gridTransform,
        "reportRegisteredVolume": result.registeredVolume,
        "reportRigidTransform": result.rigidTransform,
        "reportNetworkTransform": result.networkTransform,
        "reportExpectedErrorVolume": result.expectedErrorVolume,
    }


class Results:
    """Shows the report of one result, and a row for each where there are several; hidden while there is none.

    Args:
        ui: The panel's widgets.
        onChosen: Called with the result whose row the user selects.
    """

    def __init__(self, ui: SimpleNamespace, onChosen: Callable[[KeptResult], None]) -> None:
        self._ui, self._onChosen = ui, onChosen
        self._parameters: Parameters | None = None
        self._landmarks: LandmarkError | None = None
        self._results: dict[str, ProcessResult] = {}  # of this session, by their reports
        self._rows: list[KeptResult] = []
        ui.volumesTable.connect("itemSelectionChanged()", self._rowSelected)
        for table in (ui.volumesTable, ui.resultsTable, ui.detailsTable):
            table.horizontalHeader().hide()
            table.verticalHeader().hide()
            table.horizontalHeader().setStretchLastSection(True)
        ui.copyButton.connect("clicked(bool)", self._copy)
        ui.savePageButton.connect("clicked(bool)", self._savePage)

    def follow(self, parameters: Parameters | None) -> None:
        """Show the report of a parameter node from now on, or none.

        The pictures of a run are kept while no node is followed, and while the scene has its report.
        """
        self._parameters = parameters
        if parameters is not None:
            self._forget()
        self.show()

    def remember(self, result: ProcessResult) -> None:
        """Keep the pictures of a run that has ended, and show the report in the parameter node."""
        self._results[as_json(result.report)] = result
        if self._parameters is not None:
            self._forget()
        self.show()

    def clear(self) -> None:
        """Let go of all results, when the scene is closed."""
        self._results, self._landmarks = {}, None
        self.show()

    def _forget(self) -> None:
        """Let go of results that the scene does not hold any more."""
        reports = {self._parameters.report, *(kept.report for kept in kept_results(self._parameters))}
        self._results = {report: result for report, result in self._results.items() if report in reports}

    def _shown(self) -> ProcessResult | None:
        """Return the result that is shown; None for one of an earlier session."""
        return self._results.get(self._parameters.report) if self._parameters is not None else None

    def _enableSaving(self) -> None:
        ui, result = self._ui, self._shown()
        ui.savePageButton.enabled = result is not None
        ui.savePageButton.toolTip = (
            _("Save figures, warnings and pictures of the result as one HTML page.")
            if result is not None
            else _("The scene does not store the pictures; run again to save them.")
        )

    def show(self) -> None:
        """Show the report in the parameter node."""
        ui, report = self._ui, self._report()
        ui.resultsCollapsibleButton.visible = report is not None
        self._enableSaving()
        if report is None:
            self._rows = []  # each holds the nodes of its result
            return
        self._showRows()
        lines = [doubt_of(report)] + [_("Warning: {text}").format(text=warning) for warning in report["warnings"]]
        ui.warningsLabel.text = "\n".join(line for line in lines if line)
        ui.warningsLabel.visible = bool(ui.warningsLabel.text)
        ui.summaryLabel.text = "\n\n".join(sentences(report))
        self._measureLandmarks()
        _fill(ui.resultsTable, self._figures(report))
        _fill(ui.detailsTable, detail_rows(report))

    def _showRows(self) -> None:
        """List the results of all volumes, a row each, where there are several."""
        table, self._rows = self._ui.volumesTable, kept_results(self._parameters)
        table.visible = self._ui.volumesLabel.visible = len(self._rows) > 1
        table.blockSignals(True)  # else each row would count as the user's choice
        _fill(table, [_row(kept) for kept in self._rows])
        for number, kept in enumerate(self._rows):
            if is_shown(self._parameters, kept):
                table.selectRow(number)
        table.blockSignals(False)

    def _rowSelected(self) -> None:
        number = self._ui.volumesTable.currentRow()
        if 0 <= number < len(self._rows) and not is_shown(self._parameters, self._rows[number]):
            self._onChosen(self._rows[number])

    def _measureLandmarks(self) -> None:
        """Measure the landmark distances from the present points and deformation."""
        parameters, label = self._parameters, self._ui.landmarksProblemLabel
        keep_landmarks(parameters)
        nodes = *landmarks_shown(parameters), parameters.reportMovingVolume, parameters.reportGridTransform
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
        shown = self._shown()  # now, since a run may end while the dialog is open
        result = replace(shown, report=replace(shown.report, landmarks=self._landmarks))
        chosen = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save report"), "report.html", _("Web pages (*.html)")
        )
        if not chosen:
            return
        from BSAFusionLib.files.atomic import written_whole  # here, since it imports SimpleITK

        path = Path(chosen)
        named = path.suffix.lower() in (".html", ".htm")
        path = path if named else path.with_name(f"{path.name}.html")  # the dialog adds none
        try:
            refuse_overwriting(stored_files(slicer.mrmlScene), [path])
            if not named and path.exists():  # the dialog asked about the name without it
                raise FusionError(_("There is a file {path} already; choose it, or another name.").format(path=path))
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


def _row(kept: KeptResult) -> Row:
    """Return the row of a result in the list of volumes."""
    report = json.loads(kept.report)
    meaning = " ".join(text for text in (doubt_of(report), *sentences(report)) if text)
    return Row(kept.reportMovingVolume.GetName(), one_line(report), meaning)


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
