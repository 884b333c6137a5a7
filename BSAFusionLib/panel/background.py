"""A function on a thread of its own, whose progress and answer arrive on the main thread."""

import threading
from collections.abc import Callable
from typing import Any

import qt

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.pipeline.register_and_fuse import Progress, Slices

poll_ms = 50
seconds_to_stop = 5.0

Work = Callable[[Progress, Callable[[], bool]], Any]


class BackgroundTask:
    """Runs work(progress, cancelled) once, off the main thread; the work touches neither MRML nor Qt.

    On the main thread, by Qt's timer, are called: onProgress(stage, fraction, slices), and at the end
    onDone(answer), onFailed(exception) or onCancelled(). Exactly one of the last three, unless the task is abandoned.
    """

    def __init__(
        self,
        work: Work,
        onDone: Callable[[Any], None],
        onFailed: Callable[[Exception], None],
        onCancelled: Callable[[], None] = lambda: None,
        onProgress: Progress = lambda stage, fraction, slices: None,
    ) -> None:
        self._work = work
        self._onDone, self._onFailed, self._onCancelled, self._onProgress = onDone, onFailed, onCancelled, onProgress
        self._told: tuple[str, float, Slices] | None = None
        self._answer: Any = None
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="BSAFusion", daemon=True)
        self._timer = qt.QTimer()
        self._timer.setInterval(poll_ms)
        self._timer.connect("timeout()", self._poll)

    def start(self) -> None:
        self._thread.start()
        self._timer.start()

    def cancel(self) -> None:
        """Asks the work to stop; it ends at its next question, and nothing of its answer is used."""
        self._stop.set()

    def abandon(self) -> None:
        """Stops listening, and the work: waits for that some seconds, since no thread should outlive Python."""
        self._stop.set()
        self._thread.join(seconds_to_stop)
        self._forget()

    def _run(self) -> None:
        work = self._work
        try:
            self._answer = work(self._tell, self._stop.is_set)
        except Exception as error:  # carried over to the main thread, which deals with it
            self._error = error

    def _tell(self, stage: str, fraction: float, slices: Slices) -> None:
        self._told = stage, fraction, slices

    def _poll(self) -> None:
        ended = not self._thread.is_alive()  # asked first, so that nothing it told before its end is missed
        if self._told is not None and not self._stop.is_set():
            self._onProgress(*self._told)
        if not ended:
            return
        answer, error = self._answer, self._error
        onDone, onFailed, onCancelled = self._onDone, self._onFailed, self._onCancelled
        self._forget()
        if self._stop.is_set() or isinstance(error, Cancelled):
            onCancelled()
        elif error is not None:
            onFailed(error)
        else:
            onDone(answer)

    def _forget(self) -> None:
        """Lets go of the volumes that the work holds: PythonQt keeps what is connected, and so this task, for good."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self._poll)
        self._work = self._answer = self._error = None
        self._onDone = self._onFailed = self._onCancelled = self._onProgress = None
