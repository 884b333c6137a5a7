"""Run a registration by the button: prepare it, compute it in another process, fill the scene."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.logic import BSAFusionLogic, Job, ProcessResult
from BSAFusionLib.mrml.packages import why_not_installable
from BSAFusionLib.panel.background import Bug, Task, Worker
from BSAFusionLib.panel.parameters import Parameters, request
from BSAFusionLib.panel.progress import Progress
from BSAFusionLib.pipeline.progress import Slices
from BSAFusionLib.worker.case import read_outcome, write_case


class Run:
    """Controls the run button, Cancel, progress and message; one run at a time.

    Args:
        ui: The panel's widgets.
        logic: Prepares a run and fills the scene.
        worker: Computes the run.
        onDone: Called with the job and the result when the scene has been filled.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        logic: BSAFusionLogic,
        worker: Worker,
        onDone: Callable[[Job, ProcessResult], None],
    ) -> None:
        self._ui, self._logic, self._worker, self._onDone = ui, logic, worker, onDone
        self._parameters: Parameters | None = None
        self._task: Task | None = None
        self._job: Job | None = None
        self._missing: list[str] = []
        self._why = ""
        ui.applyButton.connect("clicked(bool)", self.start)
        ui.cancelButton.connect("clicked(bool)", self.cancel)
        self.say("")
        self._showRunning(False)

    @property
    def running(self) -> bool:
        """True during a run."""
        return self._task is not None

    def follow(self, parameters: Parameters | None) -> None:
        """Run with the choices of a parameter node from now on, or not at all."""
        self._parameters = parameters
        self.update()

    def setMissing(self, packages: list[str]) -> None:
        """Prevent runs while these packages are missing."""
        self._missing = packages
        self.update()

    def update(self) -> None:
        """Enable the button where a run can start; otherwise its tooltip says why not."""
        problem = self._problem()
        self._ui.applyButton.enabled = not problem
        self._ui.applyButton.toolTip = problem or _("Register the moving volume to the fixed one and fuse the two.")

    def start(self, checked: bool = False) -> None:
        """Start a run with the panel's choices."""
        if self.running or self._parameters is None:
            return
        self._why = _("Stopped; nothing was changed.")
        self._progress = Progress()
        try:
            self._job = job = self._logic.prepare(**request(self._parameters))
            self._task = self._worker.start(
                "case",
                lambda folder: write_case(job.fixed, job.moving, job.settings, folder, job.fixedMask),
                onDone=self._computed,
                onFailed=self._failed,
                onCancelled=lambda: self._end(self._why),
                onProgress=self._showProgress,
            )
        except Exception as error:  # so that the panel reports a bug, too
            self._failed(error)
            return
        self.say("")
        self._showRunning(True)
        self._showProgress("intensities", 0.0, None)

    def cancel(self, checked: bool = False, why: str = "") -> None:
        """Cancel the run, if there is one; the scene is not changed."""
        if self._task is None:
            return
        self._why = why or self._why
        self._task.cancel()
        self._ui.cancelButton.enabled = False
        self._ui.stageLabel.text = _("Stopping")

    def nodesRemoved(self) -> None:
        """Cancel the run where one of its nodes was removed from the scene."""
        if self._job is None:
            return
        for node in self._job.nodes():
            if not slicer.mrmlScene.IsNodePresent(node):
                name = node.GetName()
                self.cancel(
                    why=_("'{name}' was removed while it was in use, so the run was stopped.").format(name=name)
                )
                return

    def say(self, message: str, warn: bool = False) -> None:
        """Show a message under the button; hide it for an empty one."""
        icon = qt.QStyle.SP_MessageBoxWarning if warn else qt.QStyle.SP_MessageBoxInformation
        self._ui.messageIcon.setPixmap(self._ui.messageFrame.style().standardIcon(icon).pixmap(24, 24))
        self._ui.messageLabel.text = message
        self._ui.messageFrame.visible = bool(message)

    def _problem(self) -> str:
        if self._parameters is None:
            return _("The scene is being closed.")
        if self._missing:
            install = _("Install the missing Python packages first: {packages}.").format(
                packages=", ".join(self._missing)
            )
            return why_not_installable(self._missing) or install
        try:
            self._logic.check(**request(self._parameters))
        except FusionError as error:
            return str(error)
        return ""

    def _showRunning(self, running: bool) -> None:
        ui = self._ui
        ui.applyButton.visible = not running
        ui.cancelButton.visible = ui.progressBar.visible = ui.stageLabel.visible = running
        ui.cancelButton.enabled = running
        for section in (
            ui.inputsCollapsibleButton,
            ui.outputsCollapsibleButton,
            ui.advancedCollapsibleButton,
            ui.expertCollapsibleButton,
        ):
            section.enabled = not running

    def _showProgress(self, stage: str, fraction: float, slices: Slices) -> None:
        self._ui.progressBar.value = round(100 * fraction)
        self._ui.stageLabel.text = self._progress.text(stage, fraction, slices)

    def _computed(self, answer: dict[str, Any], folder: Path) -> None:
        job = self._job
        try:
            result = self._logic.fill(job, self._logic.computed(job, read_outcome(answer, folder)))
        except Exception as error:  # all_or_nothing has put the scene back
            self._failed(error)
            return
        if result.verdict.doubtful:
            self._end(_("Done, but the result is doubtful: see the results."), warn=True)
        elif result.report.warnings:
            self._end(_("Done, with warnings: see the results."), warn=True)
        else:
            self._end(_("Done."))
        self._onDone(job, result)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, FusionError):
            self._end(str(error), warn=True)
            return
        if isinstance(error, Bug):
            text = str(error)
            logging.error("BSAFusion failed\n%s", error.traceback)
        else:
            text = f"{type(error).__name__}: {error}"
            logging.error("BSAFusion failed", exc_info=error)
        self._end(
            _("Something went wrong inside BSAFusion ({error}); the error log says where. Nothing was changed.").format(
                error=text
            ),
            warn=True,
        )

    def _end(self, message: str, warn: bool = False) -> None:
        self._task = self._job = None
        self._showRunning(False)
        self.say(message, warn)
        self.update()
