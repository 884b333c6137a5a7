"""The stages of a run, their share of its time, and the timer that reports progress; imports nothing heavy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from BSAFusionLib.errors import Cancelled

STAGE_SHARES = {
    "intensities": 0.02,
    "pre-alignment": 0.20,
    "slices": 0.03,
    "registration": 0.45,
    "deformation": 0.07,
    "fusion": 0.15,
    "volumes": 0.04,
    "report": 0.04,
}
"""Rough fraction of a run's time that each stage takes, in the order in which the stages run."""

Slices = tuple[int, int] | None
"""Slices that the network has processed, and slices in all; None where the network does not run."""

Progress = Callable[[str, float, Slices], None]
"""Called with the stage, the fraction of the run that is done, and the slices."""

CancelCheck = Callable[[], bool]
"""Called often; True stops the run."""


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
