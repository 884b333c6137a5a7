"""The worker's loop, spoken to through its pipes as Slicer does: jobs, how they end, and how the process ends."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from BSAFusionLib.settings import Settings
from BSAFusionLib.worker.case import read_outcome, write_case
from BSAFusionLib.worker.protocol import Lines, encode
from BSAFusionLib.worker.volumes import Volume
from Testing.conftest import repository
from Testing.worker.control import Control

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="it asks for groups of processes")

# A job whose Python starts another program, prints on its standard output, and waits for ever without asking.
with_child = """
import subprocess, sys, time
from BSAFusionLib.worker.main import serve

def start_child(arguments, progress, cancelled):
    print("printed by a library")
    child = subprocess.Popen([sys.executable, "-c", "print('and by a child', flush=True); import time; time.sleep(60)"])
    progress("fusion", child.pid, None)
    while True:
        time.sleep(1)

serve({"case": start_child})
"""


class Process:
    """A worker at the end of two pipes."""

    def __init__(self, command, errors):
        self._process = subprocess.Popen(
            command, cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        self._lines, self._waiting = Lines(), []
        self.texts = []  # what is no message
        self.passed_over = []
        self.pid = self._process.pid

    def send(self, kind, **content):
        self._process.stdin.write(encode(kind, **content))
        self._process.stdin.flush()

    def ask(self, number, **arguments):
        self.send("job", job=number, do="case", arguments=arguments)

    def receive(self, kind):
        """Return the next message of that kind, and pass over those before it; None where there will be none."""
        while True:
            while self._waiting:
                message = self._waiting.pop(0)
                if isinstance(message, str):
                    self.texts.append(message)
                elif message["kind"] == kind:
                    return message
                else:
                    self.passed_over.append(message)
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                return None
            self._waiting += self._lines.feed(data)

    def close_input(self):
        self._process.stdin.close()

    def wait(self):
        """Wait for the end, at most five seconds."""
        return self._process.wait(5)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def control(tmp_path):
    (tmp_path / "control").mkdir()
    return Control(tmp_path / "control")


@pytest.fixture
def start(control, tmp_path):
    """Return a function that starts a command as a Process; without a command, with quick jobs."""
    started = []
    with (tmp_path / "errors.txt").open("w") as errors:

        def start(command=None):
            started.append(Process(command or control.command("quick"), errors))
            return started[-1]

        yield start
        for process in started:
            process.kill()


@pytest.fixture
def case(tmp_path):
    """What a job is asked with."""
    folder = tmp_path / "job"
    folder.mkdir()
    fixed = Volume(np.ones((3, 4, 5), np.float32), (0.0, 0.0, 0.0), (1.0, 1.0, 2.0), tuple(np.eye(3).ravel()))
    return write_case(fixed, fixed, Settings("pet"), folder)


def wait_until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_job_begins_reports_progress_and_answers(start, case, tmp_path):
    process = start()
    assert process.receive("ready")["pid"] == process.pid
    process.ask(7, **case)
    assert process.receive("begun") == {"kind": "begun", "job": 7}
    progress = process.receive("progress")
    assert (progress["job"], progress["stage"], progress["fraction"], progress["slices"]) == (7, "intensities", 0, None)
    answer = process.receive("result")
    assert answer["job"] == 7
    assert read_outcome(answer["result"], tmp_path / "job").fused.voxels.shape == (3, 4, 5, 3)


def test_jobs_are_done_one_after_the_other_by_one_process(start, case):
    process = start()
    for number in (1, 2, 3):
        process.ask(number, **case)
    assert [process.receive("result")["job"] for _ in range(3)] == [1, 2, 3]


def test_a_job_stops_when_it_is_asked_to_and_the_process_goes_on(start, control, case):
    process = start()
    control.hold("fusion")
    process.ask(1, **case)
    process.send("cancel", job=1)
    assert process.receive("failure") == {"kind": "failure", "job": 1, "why": "cancelled"}
    control.let_go()
    process.ask(2, **case)
    assert process.receive("result")["job"] == 2


def test_a_job_that_waits_for_its_turn_never_begins_when_it_is_cancelled(start, control, case):
    process = start()
    control.hold("fusion")
    process.ask(1, **case)
    process.receive("progress")
    process.ask(2, **case)
    process.send("cancel", job=2)
    time.sleep(0.1)
    control.let_go()
    assert process.receive("result")["job"] == 1
    assert process.receive("failure") == {"kind": "failure", "job": 2, "why": "cancelled"}
    assert {message["job"] for message in process.passed_over if message["kind"] == "progress"} == {1}


def test_a_problem_that_the_user_can_fix_is_one_sentence_and_the_process_continues(start):
    program = """
from BSAFusionLib.errors import FusionError
from BSAFusionLib.worker.main import serve

def refuse(arguments, progress, cancelled):
    raise FusionError("Choose another.")

serve({"case": refuse})
"""
    process = start([sys.executable, "-c", program])
    for number in (1, 2):
        process.ask(number)
        refused = {"kind": "failure", "job": number, "why": "refused", "text": "Choose another."}
        assert process.receive("failure") == refused


def test_a_bug_comes_with_its_traceback_and_ends_the_process(start, control, case):
    process = start()
    control.fail(ValueError("planted"))
    process.ask(1, **case)
    failure = process.receive("failure")
    assert (failure["why"], failure["text"]) == ("bug", "ValueError: planted")
    assert "program.py" in failure["traceback"]
    assert process.wait() == 0


def test_a_process_whose_gpu_is_lost_answers_and_ends(start, control, case):
    process = start()
    control.make_unfit()
    process.ask(1, **case)
    assert process.receive("result")["job"] == 1
    assert process.wait() == 0


def test_a_process_that_has_nothing_to_do_ends(start, control, case):
    control.end_when_idle(0.2 / 60)
    process = start()
    process.ask(1, **case)
    assert process.receive("result")["job"] == 1
    assert process.wait() == 0


@on_posix
def test_when_its_input_closes_the_process_ends_amid_a_job_and_leaves_no_file(start, control, case, tmp_path):
    process = start()
    control.hold("registration")
    control.deafen()
    process.ask(1, **case)
    process.receive("progress")
    process.close_input()
    process.wait()
    assert not (tmp_path / "job").exists()


@on_posix
def test_programs_that_a_job_started_end_with_it_and_their_output_is_no_message(start, tmp_path):
    process = start([sys.executable, "-c", with_child])
    process.ask(1)
    child = int(process.receive("progress")["fraction"])
    printed = tmp_path / "errors.txt"
    wait_until(lambda: printed.read_text().split("\n")[:-1] == ["printed by a library", "and by a child"])
    assert is_alive(child)
    process.close_input()
    process.wait()
    wait_until(lambda: not is_alive(child))
    assert process.receive("result") is None
    assert process.texts == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone chooses a process to end")
def test_linux_ends_the_worker_and_not_slicer_where_memory_runs_out(start):
    process = start()
    process.receive("ready")
    with open(f"/proc/{process.pid}/oom_score_adj") as own, open("/proc/self/oom_score_adj") as ours:
        assert int(own.read()) > int(ours.read())


def test_warnings_that_are_logged_reach_slicer(start):
    program = """
import logging
from BSAFusionLib.worker.main import serve
serve({"case": lambda *_: logging.warning("%d of %d", 1, 2)})
"""
    process = start([sys.executable, "-c", program])
    process.ask(1)
    message = process.receive("log")
    assert (message["level"], message["text"]) == (30, "1 of 2")
