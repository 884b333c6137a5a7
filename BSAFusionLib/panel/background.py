"""Run jobs in a process of their own; Qt delivers their progress and results on the main thread.

Slicer holds Python's global lock while it waits for events, so a Python thread would hardly run.
"""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import qt
import slicer
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.progress import Progress
from BSAFusionLib.worker.folder import PrivateFolder
from BSAFusionLib.worker.protocol import Lines, Message, encode

LIBRARY_FOLDER = Path(__file__).resolve().parents[2]  # where BSAFusionLib lies
MS_UNTIL_KILLED = 1000  # after a job was asked to stop
MS_UNTIL_GONE = 5000  # that a killed process may take
CHARACTERS_KEPT = 4000  # of what the process prints last, for the log where it crashes

Arguments = Callable[[Path], dict[str, Any]]


class Bug(Exception):
    """An error in the worker that no user can fix; `traceback` is the worker's own."""

    def __init__(self, text: str, traceback: str) -> None:
        super().__init__(text)
        self.traceback = traceback


class Callbacks(NamedTuple):
    """Functions that a `Worker` calls about a job, as `Worker.start` explains them."""

    onDone: Callable[[Any, Path], None]
    onFailed: Callable[[Exception], None]
    onCancelled: Callable[[], None]
    onProgress: Progress


class Task:
    """A job of a `Worker`, which calls exactly one of onDone, onFailed and onCancelled unless it is closed."""

    def __init__(self, worker: "Worker", number: int, message: bytes, folder: Path, callbacks: Callbacks) -> None:
        self._worker = worker
        self.number, self.message, self.folder = number, message, folder
        self.callbacks: Callbacks | None = callbacks
        self.process = 0  # number of the process that it was given to
        self.retries = False  # whether another process takes it where that one ends before the job has begun
        self.hasBegun = self.isCancelling = False

    def cancel(self) -> None:
        """Ask the job to stop and ignore its result; end the process a second later."""
        self._worker.cancel(self)

    def forget(self) -> None:
        """Release the callbacks and the volumes that they hold."""
        self.callbacks = None


class Worker:
    """A process that runs jobs, one after the other.

    The first job starts it. It runs until `close`, or until it ends by itself; the next job then starts another.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Prepare the worker without starting a process.

        Args:
            command: Program and arguments; None for Slicer's own Python with our worker.
        """
        self._command = command
        self._folder = PrivateFolder(Path(slicer.app.temporaryPath))
        self._tasks: dict[int, Task] = {}
        self._lastNumber = 0
        self._lines, self._printed = Lines(), ""
        self._processes = 0  # how many were started
        self._hasStarted = self._isReady = self._isKilled = False
        self.pid = 0  # of the Python that is ready, which a launcher may have started; 0 where there is none
        self._process = qt.QProcess()  # one for all, since none may be deleted in its own signal
        self._process.connect("readyReadStandardOutput()", self._readMessages)
        self._process.connect("readyReadStandardError()", self._readPrinted)
        self._process.connect("stateChanged(QProcess::ProcessState)", self._stateChanged)
        # Timers of our own, since those of Slicer's singleShot, and what they are connected to, are kept for good.
        self._patience = self._timer(MS_UNTIL_KILLED, self._losePatience)
        self._ended: list[tuple[int, bool, str]] = []  # processes: number, whether we killed it, and why it ended
        self._settling = self._timer(0, self._settle)

    @staticmethod
    def _timer(milliseconds: int, function: Callable[[], None]) -> qt.QTimer:
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.connect("timeout()", function)
        return timer

    def start(
        self,
        do: str,
        arguments: Arguments,
        onDone: Callable[[Any, Path], None],
        onFailed: Callable[[Exception], None],
        onCancelled: Callable[[], None] = lambda: None,
        onProgress: Progress = lambda stage, fraction, slices: None,
    ) -> Task:
        """Give the process a job, and return at once.

        Args:
            do: Name of the job.
            arguments: Called with an empty folder for the job's files; returns the job's arguments, for JSON.
            onDone: Called with the result and the folder, which is removed afterwards.
            onFailed: Called with a FusionError for a problem that the user can fix, else with a Bug.
            onCancelled: Called where the task was cancelled.
            onProgress: Called with stage, fraction and slices.

        Raises:
            FusionError: No folder can be made, or Python is not found.
        """
        self._lastNumber += 1
        number, folder = self._lastNumber, self._makeFolder()
        try:
            message = encode("job", job=number, do=do, arguments=arguments(folder))
            task = Task(self, number, message, folder, Callbacks(onDone, onFailed, onCancelled, onProgress))
            self._give(task)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return task

    def cancel(self, task: Task) -> None:
        """Ask a task to stop; end the process a second later."""
        if task.number not in self._tasks or task.isCancelling:
            return
        task.isCancelling = True
        if self._process.state() != qt.QProcess.NotRunning:
            self._process.write(encode("cancel", job=task.number))
        self._patience.start()

    def stop(self) -> None:
        """Cancel all tasks, end the process and remove all files; the next job gets another process."""
        self._kill()
        for task in list(self._tasks.values()):
            self._finish(task, task.callbacks.onCancelled)
        self._folder.remove()

    def close(self) -> None:
        """Stop without calling any callback; the worker cannot be used again."""
        self._tasks.clear()
        self.stop()
        self._process.waitForFinished(MS_UNTIL_GONE)
        for timer, function in ((self._patience, self._losePatience), (self._settling, self._settle)):
            timer.stop()
            timer.disconnect("timeout()", function)
        self._process.disconnect("readyReadStandardOutput()", self._readMessages)
        self._process.disconnect("readyReadStandardError()", self._readPrinted)
        self._process.disconnect("stateChanged(QProcess::ProcessState)", self._stateChanged)

    def _makeFolder(self) -> Path:
        try:
            folder = self._folder.path() / str(self._lastNumber)
            folder.mkdir()
        except OSError as error:
            raise FusionError(
                _(
                    "No temporary folder can be made ({error}); check the space on its disk and that Slicer may "
                    "write to its temporary folder."
                ).format(error=error)
            ) from error
        return folder

    def _give(self, task: Task) -> None:
        if self._isKilled:
            self._process.waitForFinished(MS_UNTIL_GONE)
        task.retries, task.hasBegun = self._isReady, False
        if self._process.state() == qt.QProcess.NotRunning:
            self._startProcess()
        task.process = self._processes
        self._tasks[task.number] = task
        self._process.write(task.message)

    def _startProcess(self) -> None:
        program, *arguments = self._command or workerCommand()
        environment = qt.QProcessEnvironment.systemEnvironment()
        paths = [str(LIBRARY_FOLDER), os.environ.get("PYTHONPATH")]
        environment.insert("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        environment.insert("PYTHONUNBUFFERED", "1")
        self._lines = Lines()
        self._printed = ""
        self._processes += 1
        self._process.setProcessEnvironment(environment)
        self._process.setWorkingDirectory(str(LIBRARY_FOLDER))  # where Python looks first, with -m
        self._process.start(program, arguments)

    def _readMessages(self) -> None:
        for message in self._lines.feed(self._process.readAllStandardOutput().data()):
            if isinstance(message, str):
                self._keepPrinted(f"{message}\n")
                continue
            try:
                self._take(message)
            except Exception:  # of a callback: the other messages are still to be taken
                sys.excepthook(*sys.exc_info())

    def _readPrinted(self) -> None:
        self._keepPrinted(self._process.readAllStandardError().data().decode("utf-8", "replace"))

    def _keepPrinted(self, text: str) -> None:
        self._printed = (self._printed + text)[-CHARACTERS_KEPT:]

    def _take(self, message: Message) -> None:
        kind = message["kind"]
        if kind == "ready":
            self._isReady, self.pid = True, message["pid"]
            return
        if kind == "log":
            logging.log(message["level"], message["text"])
            return
        task = self._tasks.get(message["job"])
        if task is None:  # cancelled, and forgotten
            return
        if kind == "begun":
            task.hasBegun = True
        elif kind == "progress":
            if not task.isCancelling:
                task.callbacks.onProgress(message["stage"], message["fraction"], message["slices"])
        elif task.isCancelling or message.get("why") == "cancelled":
            self._finish(task, task.callbacks.onCancelled)
        elif kind == "result":
            self._finish(task, task.callbacks.onDone, message["result"], task.folder)
        elif message["why"] == "refused":
            self._finish(task, task.callbacks.onFailed, FusionError(message["text"]))
        else:
            self._finish(task, task.callbacks.onFailed, Bug(message["text"], message["traceback"]))

    def _finish(self, task: Task, callback: Callable[..., None], *arguments: Any) -> None:
        del self._tasks[task.number]
        try:
            callback(*arguments)
        finally:
            shutil.rmtree(task.folder, ignore_errors=True)
            task.forget()

    def _losePatience(self) -> None:
        """End the process of a job that was asked to stop and has not."""
        unresponsive = [task for task in self._tasks.values() if task.isCancelling]
        if unresponsive:
            self._kill()
        for task in unresponsive:
            self._finish(task, task.callbacks.onCancelled)

    def _kill(self) -> None:
        if self._process.state() != qt.QProcess.NotRunning:
            self._isKilled = True
            _killTree(self.pid, self._process.processId())
            self._process.kill()

    def _stateChanged(self, state: int) -> None:
        """Handle the end of the process: a failed start, a normal end, or a crash."""
        if state == qt.QProcess.Running:
            self._hasStarted = True
        if state != qt.QProcess.NotRunning:
            return
        self._readMessages()
        self._readPrinted()
        self._ended.append((self._processes, self._isKilled, self._whyItEnded()))
        self._hasStarted = self._isReady = self._isKilled = False
        self.pid = 0
        # Later, since the process may end while it is being started, and a task may be given to another one.
        self._settling.start()

    def _settle(self) -> None:
        """Finish the tasks of processes that have ended, or give them to another process."""
        ended, self._ended = self._ended, []
        for number, isKilled, why in ended:
            for task in [task for task in self._tasks.values() if task.process == number]:
                if task.isCancelling:
                    self._finish(task, task.callbacks.onCancelled)
                elif isKilled or (task.retries and not task.hasBegun):
                    self._giveAgain(task)
                else:
                    logging.error("BSAFusion: %s\n%s", why, self._printed)
                    self._finish(task, task.callbacks.onFailed, FusionError(why))

    def _giveAgain(self, task: Task) -> None:
        try:
            self._give(task)
        except FusionError as error:
            self._finish(task, task.callbacks.onFailed, error)

    def _whyItEnded(self) -> str:
        if not self._hasStarted:
            return _("Python could not be started for the computing process ({error}); reinstall Slicer.").format(
                error=self._process.errorString()
            )
        # Where a launcher stands between, a signal arrives as an exit code.
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        how = _("signal {number}") if crashed and os.name == "posix" else _("exit code {number}")
        return _(
            "The computing process ended unexpectedly ({how}), often because memory runs out. Nothing was changed; "
            "close other programs or crop the volumes, and run again."
        ).format(how=how.format(number=self._process.exitCode()))


def workerCommand() -> list[str]:
    """Return the worker's program and its arguments.

    In Slicer, sys.executable is PythonSlicer, which sets up the environment of its Python and starts it; a
    Slicer that does not set sys.executable has it on its PATH (qSlicerCoreApplication.cxx, slicer.util).

    Raises:
        FusionError: There is no Python.
    """
    python = sys.executable or ""
    if not Path(python).name.lower().startswith("python"):
        python = shutil.which("PythonSlicer")
    if not python:
        raise FusionError(_("Slicer's own Python, PythonSlicer, was not found; reinstall Slicer."))
    return [python, "-m", "BSAFusionLib.worker"]


def _killTree(pid: int, launcher: int) -> None:
    """End Python and all processes that it started.

    Args:
        pid: Of Python, which leads a process group; 0 where it has not reported it yet: it then ends with its input.
        launcher: Of the started process, which may be a launcher of Python.
    """
    if os.name == "nt":  # not tried: our tests run on Linux only
        command = ["taskkill", "/F", "/T", "/PID", str(launcher)]
        subprocess.run(command, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW)
    elif pid:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            os.killpg(pid, signal.SIGKILL)
