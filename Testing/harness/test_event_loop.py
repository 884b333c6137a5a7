"""The event loop keeps Python's global lock, as Slicer's does: PythonQt's thread support is off there."""

import threading
import time
from itertools import pairwise

import pytest
import qt
import slicer

from Testing import harness
from Testing.harness import event_loop

pytestmark = pytest.mark.usefixtures("slicer_app")

WAIT_S = 0.2


@pytest.fixture
def ticks():
    """Record when a Python thread runs, several times in each millisecond that it gets."""
    times, stop = [], threading.Event()

    def spin():
        while not stop.is_set():
            times.append(time.monotonic())

    thread = threading.Thread(target=spin)
    thread.start()
    yield times
    stop.set()
    thread.join()


def longest_rest(ticks, wait):
    """Return the longest time, in seconds, without the thread running during `wait()`."""
    ticks.clear()
    start = time.monotonic()
    wait()
    end = time.monotonic()  # before the ticks are looked at, which takes time, too
    times = [start, *(tick for tick in [*ticks] if start < tick < end), end]
    return max(later - tick for tick, later in pairwise(times))


def wait():
    slicer.app.processEvents()  # what is due already would end the wait
    event_loop.wait_for_events(at_most_ms=round(1000 * WAIT_S))


def test_a_python_thread_stands_still_while_the_loop_waits(ticks):
    # An event, such as a timer that an earlier test has left, may end a wait early, but hardly five of them.
    assert max(longest_rest(ticks, wait) for _ in range(5)) > 0.95 * WAIT_S


def test_a_python_thread_runs_while_the_loop_runs_a_slot_of_python(ticks):
    before_and_after = []

    def slot():
        before_and_after.append(len(ticks))
        sum(range(10_000_000))
        before_and_after.append(len(ticks))

    qt.QTimer.singleShot(0, slot)
    wait()
    before, after = before_and_after
    assert after > before


def test_process_events_keeps_the_lock_whichever_way_it_is_called():
    ways = (slicer.app.processEvents, qt.QApplication.processEvents, qt.QCoreApplication.processEvents)
    assert set(ways) == {event_loop.process_events}


def test_a_python_thread_would_run_in_pyside6s_own_loop(ticks):
    """Show that these tests can tell one loop from the other."""

    def wait_in_pyside6():
        loop = qt.QEventLoop()
        qt.QTimer.singleShot(round(1000 * WAIT_S), loop.quit)
        loop.exec()

    # A busy machine may keep the thread from running for a whole wait, but hardly for ten of them.
    assert any(longest_rest(ticks, wait_in_pyside6) < 0.95 * WAIT_S for _ in range(10))


def test_waiting_for_a_condition_lets_a_thread_run_only_while_it_is_asked(ticks):
    asked = []
    harness.wait_until(lambda: asked.append(time.monotonic()) or len(asked) == 4)
    rests = [later - tick for tick, later in pairwise([*ticks]) if asked[0] < tick < asked[-1]]
    assert max(rests) > 0.95 * harness.helpers.LONGEST_LOOK_MS / 1000


def test_what_a_slot_raises_leaves_the_loop_running(slicer_app):
    called = []

    def fail():
        called.append(True)
        raise ValueError("planted")

    qt.QTimer.singleShot(0, fail)
    harness.wait_until(lambda: called)
    assert isinstance(slicer_app.errors.pop(), ValueError)
