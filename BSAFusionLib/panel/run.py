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
from BSAFusionLib.panel.parameters import Parameters, further_requests, request
from BSAFusionLib.panel.progress import Progress
from BSAFusionLib.pipeline.progress import Slices
from BSAFusionLib.pipeline.summary import doubt_of, sentences
from BSAFusionLib.worker.case import read_outcome, write_case
from BSAFusionLib.worker.frames import read_frames, write_frames


class Run:
    """Controls the run button, Cancel, progress and message; one run at a time.

    Further moving volumes are run one after the other, each with the choices that the panel had at the start.

    Args:
        ui: The panel's widgets.
        logic: Prepares a run and fills the scene.
        worker: Computes the run.
        onDone: Called with the job, the result, and whether it is a further volume's, when the scene has been filled.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        logic: BSAFusionLogic,
        worker: Worker,
        onDone: Callable[[Job, ProcessResult, bool], None],
    ) -> None:
        self._ui, self._logic, self._worker, self._onDone = ui, logic, worker, onDone
        self._parameters: Parameters | None = None
        self._task: Task | None = None
        self._job: Job | None = None
        self._missing: list[str] = []
        self._waiting: list[dict[str, Any]] = []  # requests of the further volumes
        self._outcomes: list[str] = []  # a sentence for each volume that was run
        self._isFurther = self._warns = False
        self._name = ""  # of the moving volume
        self._pause = qt.QTimer()  # ends before the next run begins, so that the last one's files are removed
        self._pause.setSingleShot(True)
        self._pause.connect("timeout()", self._startNext)
        self._why = ""
        ui.applyButton.connect("clicked(bool)", self.start)
        ui.cancelButton.connect("clicked(bool)", self.cancel)
        self.say("")
        self._showRunning(False)

    @property
    def running(self) -> bool:
        """True during a run, and between two of several."""
        return self._task is not None or bool(self._waiting)

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
        self._waiting, self._outcomes, self._isFurther, self._warns = [], [], False, False
        try:
            first, self._waiting = request(self._parameters), further_requests(self._parameters)
        except Exception as error:  # so that the panel reports a bug, too
            self._failed(error)
            return
        self._start(first)

    def _start(self, choices: dict[str, Any]) -> None:
        self._name = choices["movingVolume"].GetName() if choices["movingVolume"] else ""
        self._why = _("Stopped; nothing was changed.")
        self._progress = Progress()
        try:
            self._checkPresent(choices)
            self._job = job = self._logic.prepare(**choices)
            self._task = self._worker.start(
                "case",
                lambda folder: _arguments(job, folder),
                onDone=self._computed,
                onFailed=self._failed,
                onCancelled=self._cancelled,
                onProgress=self._showProgress,
            )
        except Exception as error:  # so that the panel reports a bug, too
            self._failed(error)
            return
        self.say("\n".join(self._outcomes), self._warns)
        self._showRunning(True)
        self._showProgress("intensities", 0.0, None)

    def _startNext(self) -> None:
        if not self._waiting:
            return
        choices = self._waiting.pop(0)
        self._isFurther = True
        self._start(choices)

    def _checkPresent(self, choices: dict[str, Any]) -> None:
        """Raise FusionError where a volume left the scene while another one was run."""
        for volume in (choices["fixedVolume"], choices["movingVolume"]):
            if volume is not None and volume.GetScene() is None:
                raise FusionError(_("'{name}' was removed from the scene.").format(name=volume.GetName()))

    def _cancelled(self) -> None:
        self._waiting = []
        self._end(self._why)

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
            for choices in (request(self._parameters), *further_requests(self._parameters)):
                self._logic.check(**choices)
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

    def close(self) -> None:
        """Start no further run."""
        self._waiting = []
        self._pause.stop()
        self._pause.disconnect("timeout()", self._startNext)

    def _showProgress(self, stage: str, fraction: float, slices: Slices) -> None:
        self._ui.progressBar.value = round(100 * fraction)
        self._ui.stageLabel.text = self._progress.text(stage, fraction, slices)

    def _computed(self, answer: dict[str, Any], folder: Path) -> None:
        job, isFurther = self._job, self._isFurther
        self._job = None  # filling may remove a node of a former run, which must not look like the user's doing
        try:
            computed = self._logic.computed(job, read_outcome(answer, folder), read_frames(answer, folder))
            result = self._logic.fill(job, computed)
        except Exception as error:  # all_or_nothing has put the scene back
            self._failed(error)
            return
        if isFurther:  # the panel's results are those of the first volume
            self._end(_outcome(result), warn=result.verdict.doubtful or bool(result.report.warnings))
        elif result.verdict.doubtful:
            self._end(_("Done, but the result is doubtful: see the results."), warn=True)
        elif result.report.warnings:
            self._end(_("Done, with warnings: see the results."), warn=True)
        else:
            self._end(_("Done."))
        self._onDone(job, result, isFurther)

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
        """End the run of one volume; the next one, if any, begins as soon as this one is cleared away."""
        if self._waiting or self._outcomes:
            message = f"{self._name}: {message}"
        self._outcomes.append(message)
        self._warns = self._warns or warn
        self._task = self._job = None
        self._showRunning(bool(self._waiting))
        self.say("\n".join(self._outcomes), self._warns)
        if self._waiting:
            self._pause.start(0)
        self.update()


def _arguments(job: Job, folder: Path) -> dict[str, Any]:
    """Write a job's volumes to a folder, and return its arguments for the worker."""
    frames = () if job.dynamic is None else job.dynamic.frames
    case = write_case(job.fixed, job.moving, job.settings, folder, job.fixedMask)
    return {**case, **write_frames(frames, folder, "frame")}


def _outcome(result: ProcessResult) -> str:
    """Return a result as sentences: a doubt if there is one, what was moved, the expected error, and warnings."""
    report = result.report.as_dict()
    return " ".join(filter(None, (_("Done."), doubt_of(report), *sentences(report), *report["warnings"])))
