"""The worker's loop: takes jobs from standard input, one after the other, until that closes."""

import contextlib
import logging
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.pipeline.progress import Progress, Slices
from BSAFusionLib.worker.protocol import Lines, Message, encode

IDLE_MINUTES = 5.0  # after which the process ends, and with it what it holds of memory and GPU
SECONDS_BETWEEN_PROGRESS = 0.05
VICTIM = 500  # of 1000: where memory runs out, Linux should end the worker and not Slicer

Job = Callable[[dict[str, Any], Progress, Callable[[], bool]], Any]


def serve(jobs: Mapping[str, Job], is_fit: Callable[[], bool] = lambda: True) -> None:
    """Work until standard input closes, which ends the process at once, or until nothing was asked for some minutes.

    Args:
        jobs: functions by name; each is called with its arguments, progress, and a function that says whether to stop.
            Returns what JSON can hold.
        is_fit: asked after each job; False ends the process, and the next job gets a fresh one.
    """
    _Server(jobs, is_fit).run()


class _Server:
    def __init__(self, jobs: Mapping[str, Job], is_fit: Callable[[], bool]) -> None:
        self._jobs, self._is_fit = jobs, is_fit
        self._asked: queue.Queue[Message] = queue.Queue()
        self._cancelled: set[int] = set()
        self._folder: Path | None = None  # of the job that is being done
        self._input, self._output = _channels()

    def run(self) -> None:
        _leave_the_group()
        threading.Thread(target=self._listen, name="standard input", daemon=True).start()
        logging.getLogger().addHandler(_Log(self._send))
        self._send("ready", pid=os.getpid())
        while True:
            try:
                asked = self._asked.get(timeout=60 * IDLE_MINUTES)
            except queue.Empty:
                return
            if not self._work(asked) or not self._is_fit():
                return

    def _work(self, asked: Message) -> bool:
        """Do a job and answer; False where the process should not do another."""
        number, arguments = asked["job"], asked["arguments"]
        self._folder = Path(arguments["folder"]) if "folder" in arguments else None
        self._send("begun", job=number)
        try:
            if number in self._cancelled:
                raise Cancelled
            result = self._jobs[asked["do"]](arguments, self._progress_of(number), lambda: number in self._cancelled)
        except Cancelled:
            self._send("failure", job=number, why="cancelled")
        except FusionError as error:
            self._send("failure", job=number, why="refused", text=str(error))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            self._send("failure", job=number, why="bug", text=text, traceback=traceback.format_exc())
            return False  # who knows what state it left, of a GPU above all
        else:
            self._send("result", job=number, result=result)
        finally:
            self._folder = None
        return True

    def _progress_of(self, number: int) -> Progress:
        last = ["", 0.0]  # stage and time of the last message

        def progress(stage: str, fraction: float, slices: Slices) -> None:
            now = time.monotonic()
            if stage != last[0] or now - last[1] >= SECONDS_BETWEEN_PROGRESS:
                last[:] = stage, now
                counts = slices and [int(count) for count in slices]
                self._send("progress", job=number, stage=stage, fraction=float(fraction), slices=counts)

        return progress

    def _listen(self) -> None:
        lines = Lines()
        while data := os.read(self._input, 1 << 16):
            for message in lines.feed(data):
                if isinstance(message, str):
                    continue
                if message["kind"] == "cancel":
                    self._cancelled.add(message["job"])
                elif message["kind"] == "job":
                    self._asked.put(message)
        self._end()

    def _send(self, kind: str, **content: Any) -> None:
        try:
            self._output.write(encode(kind, **content))
        except OSError:  # nobody listens any more
            self._end()

    def _end(self) -> None:
        """End at once, whatever else is being done, and leave nothing behind."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if os.name == "posix" and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


def _channels() -> tuple[int, BinaryIO]:
    """Take standard input and output for messages; whatever else reads finds nothing, and prints to standard error.

    Before a thread waits for messages: on Windows, a library that looks at standard input while it is loaded, as
    OpenBLAS does, would wait for that thread.
    """
    messages_in, messages_out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return messages_in, os.fdopen(messages_out, "wb", buffering=0)


def _leave_the_group() -> None:
    """Let processes that a job starts end with this one, and let Linux prefer it where memory runs out."""
    if os.name == "posix":
        with contextlib.suppress(OSError):  # it leads a group already
            os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(VICTIM))


class _Log(logging.Handler):
    """Sends warnings and errors to Slicer's log."""

    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send("log", level=record.levelno, text=self.format(record))


def main() -> None:
    """Serve Slicer's jobs."""
    from BSAFusionLib.worker.jobs import JOBS, gpu_works

    serve(JOBS, gpu_works)
    sys.stderr.flush()
    os._exit(0)  # since a GPU's driver can hang where Python ends in the usual way after the GPU failed
