"""Every second of a command belongs to one stage of its report."""

import time

import pytest

from BSAFusionLib.pipeline.progress import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_stages_follow_each_other_without_a_gap(clock: list[float]):
    watch = Stopwatch(begun=98.0)
    clock[0] = 101.0
    watch.lap("start")
    clock[0] = 105.0
    watch.lap("reading")
    assert list(watch.seconds.items()) == [("start", 3.0), ("reading", 4.0)]


def test_what_ran_within_a_stage_is_not_counted_twice(clock: list[float]):
    watch = Stopwatch()
    clock[0] = 110.0
    watch.lap("pictures", {"fusion": 6.0, "pictures": 3.0})
    assert watch.seconds == {"fusion": 6.0, "pictures": 4.0}
    assert sum(watch.seconds.values()) == 10.0
