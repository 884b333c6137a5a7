"""The stages of a run, their share of its time, and the timer that reports progress; imports nothing heavy."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from BSAFusionLib.errors import Cancelled

STAGE_SHARES = {
    "intensities": 0.02,
    "pre-alignment": 0.20,
    "slices": 0.03,
    "pre-registration": 0.13,
    "registration": 0.34,
    "deformation": 0.05,
    "fusion": 0.15,
    "report": 0.04,
    "volumes": 0.04,
}
"""Rough fraction of a run's time that each stage takes, in the order in which the stages run."""

Slices = tuple[int, int] | None
"""Slices that the network has processed, and slices in all; None where the network does not run."""

Progress = Callable[[str, float, Slices], None]
"""Called with the stage, the fraction of the run that is done, and the slices."""

CancelCheck = Callable[[], bool]
"""Called often; True stops the run."""


class Stopwatch:
    """Times a command so that every second of it belongs to a stage.

    Attributes:
        seconds: Duration of each stage, in the order in which they ended.
    """

    def __init__(self, begun: float | None = None) -> None:
        """Begin to time.

        Args:
            begun: When the first stage began, by `time.perf_counter`; now by default.
        """
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter() if begun is None else begun

    def lap(self, name: str, within: Mapping[str, float] | None = None) -> None:
        """End a stage, which began when the one before it ended.

        Args:
            name: The stage.
            within: Stages that ran meanwhile and were timed by themselves; the rest is this stage's.
        """
        now, timed = time.perf_counter(), dict(within or {})
        timed[name] = timed.get(name, 0.0) + max(0.0, now - self._last - sum(timed.values()))
        self.seconds |= timed
        self._last = now


class StageTimer:
    """Times the stages of a run, reports its progress and stops it on request.

    Attributes:
        seconds: Duration of each stage that has ended.
    """

    def __init__(self, progress: Progress | None = None, cancelled: CancelCheck | None = None) -> None:
        """Prepare to time a run.

        Args:
            progress: Called when a stage begins, advances and ends.
            cancelled: Asked when a stage begins.
        """
        self.seconds: dict[str, float] = {}
        self._progress, self._cancelled = progress, cancelled
        self._name, self._done = "", 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage.

        Args:
            name: A key of `STAGE_SHARES`.

        Raises:
            Cancelled: `cancelled` returned True.
        """
        self._name = name
        self.report(0.0)
        if self._cancelled is not None and self._cancelled():
            raise Cancelled
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
        self.report(1.0)
        self._done += STAGE_SHARES[name]

    def report(self, fraction: float, slices: Slices = None) -> None:
        """Report the fraction of the present stage that is done."""
        if self._progress is not None:
            self._progress(self._name, min(1.0, self._done + STAGE_SHARES[self._name] * fraction), slices)

    def report_slices(self, done: int, total: int) -> None:
        """Report how many slices of the present stage the network has processed."""
        self.report(done / total, (done, total))
