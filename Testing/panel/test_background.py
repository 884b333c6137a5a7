"""The process that computes, seen from the panel: whatever becomes of it, one sentence, no change, a next run.

Most of it by a process that imports nothing and fuses nothing; at the end by the real one.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromVolume

from BSAFusionLib.errors import FusionError
from BSAFusionLib.panel import background
from BSAFusionLib.panel.background import Worker, workerCommand
from BSAFusionLib.pipeline.progress import STAGE_SHARES
from BSAFusionLib.worker.folder import PREFIX, PrivateFolder
from Testing import harness
from Testing.conftest import repository
from Testing.panel.conftest import lattice, state
from Testing.worker.control import Control

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Slicer's temporary folder."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(type(slicer.app), "temporaryPath", property(lambda self: str(path)))
    return path


@pytest.fixture
def control(tmp_path):
    (tmp_path / "control").mkdir()
    return Control(tmp_path / "control")


@pytest.fixture
def worker(running, temporary, control, monkeypatch):
    """Return the worker's command: quick jobs, in a process of this test alone."""
    monkeypatch.setattr(background, "workerCommand", lambda: control.command("quick"))


@pytest.fixture
def begin(ready, control):
    """Return a function that clicks the button, waits for the job to wait in a stage, and returns the process."""

    def begin(stage="registration"):
        control.hold(stage)
        harness.click(ready.ui.applyButton)
        stages = list(STAGE_SHARES)
        done = 0.5 if stage == "begun" else sum(STAGE_SHARES[name] for name in stages[: stages.index(stage)])
        harness.wait_until(lambda: ready.worker.pid and ready.ui.progressBar.value == round(100 * done), seconds=60)
        return ready.worker.pid

    return begin


@pytest.fixture
def finish(ready):
    """Return a function that clicks the button, waits for the end of the run, and returns the message."""

    def finish():
        harness.click(ready.ui.applyButton)
        harness.wait_until(lambda: not ready.run.running, seconds=30)
        return ready.ui.messageLabel.text

    return finish


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def wait_for_end(widget):
    harness.wait_until(lambda: not widget.run.running, seconds=30)
    return widget.ui.messageLabel.text


def test_a_run_fills_the_scene_and_leaves_no_file(ready, finish, temporary, heads):
    assert finish() == "Done."
    registered = ready.ui.registeredVolumeSelector.currentNode()
    np.testing.assert_array_equal(arrayFromVolume(registered), arrayFromVolume(heads[0]))
    (folder,) = temporary.iterdir()
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_one_process_does_all_runs(ready, finish):
    finish()
    pid = ready.worker.pid
    assert finish() == "Done."
    assert ready.worker.pid == pid


@on_posix
@pytest.mark.parametrize("stage", [*STAGE_SHARES, "begun"])
def test_a_process_killed_in_any_stage_is_one_sentence_and_the_next_run_works(
    stage, ready, begin, finish, control, scene, caplog
):
    before = state(scene)
    kill(begin(stage))
    sentence = wait_for_end(ready)
    assert sentence.startswith("The computing process ended unexpectedly (signal 9), often because memory runs out.")
    assert sentence.count("\n") == 0
    assert "signal 9" in caplog.text
    assert state(scene) == before
    control.let_go()
    assert finish() == "Done."


@on_posix
def test_a_process_killed_while_it_starts_is_one_sentence_and_the_next_run_works(ready, begin, finish, control, scene):
    before = state(scene)
    control.start_slowly(60)
    harness.click(ready.ui.applyButton)
    harness.wait_until(lambda: ready.worker._process.processId(), seconds=30)
    kill(ready.worker._process.processId())
    assert wait_for_end(ready).startswith("The computing process ended unexpectedly")
    assert state(scene) == before
    control.reset()
    assert finish() == "Done."


@on_posix
def test_a_process_killed_between_two_runs_is_replaced_without_a_word(ready, finish):
    finish()
    kill(ready.worker.pid)
    assert finish() == "Done."


@on_posix
def test_a_process_that_ends_just_when_it_is_asked_is_replaced_without_a_word(ready, finish):
    finish()
    os.kill(ready.worker.pid, signal.SIGSTOP)  # it still takes the job, and will not begin it
    pid = ready.worker.pid
    harness.click(ready.ui.applyButton)
    kill(pid)
    assert wait_for_end(ready) == "Done."


def test_a_program_that_cannot_be_started_is_one_sentence(ready, finish, scene, monkeypatch, control):
    before = state(scene)
    monkeypatch.setattr(background, "workerCommand", lambda: ["/nowhere/python"])
    assert finish().startswith("Python could not be started for the computing")
    assert state(scene) == before
    monkeypatch.setattr(background, "workerCommand", lambda: control.command("quick"))
    assert finish() == "Done."


def test_a_program_that_ends_at_once_is_one_sentence_and_the_log_has_its_words(ready, finish, monkeypatch, caplog):
    program = "raise ImportError('no such library')"
    monkeypatch.setattr(background, "workerCommand", lambda: [sys.executable, "-c", program])
    assert "ended unexpectedly (exit code 1)" in finish()
    assert "ImportError: no such library" in caplog.text


def test_cancel_is_heard_and_the_process_stays(ready, begin, control, scene):
    before = state(scene)
    pid = begin()
    harness.click(ready.ui.cancelButton)
    assert wait_for_end(ready) == "Stopped; nothing was changed."
    assert ready.worker.pid == pid
    assert state(scene) == before


def test_a_job_that_does_not_hear_cancel_is_ended_after_a_second(ready, begin, finish, control, scene):
    before = state(scene)
    control.deafen()
    pid = begin()
    harness.click(ready.ui.cancelButton)
    assert wait_for_end(ready) == "Stopped; nothing was changed."
    harness.wait_until(lambda: not is_alive(pid))
    assert state(scene) == before
    control.reset()
    assert finish() == "Done."


def test_a_run_begun_at_once_after_a_deaf_one_was_ended_works(ready, begin, finish, control):
    control.deafen()
    begin()
    harness.click(ready.ui.cancelButton)
    harness.wait_until(lambda: not ready.run.running, seconds=30)
    control.reset()
    assert finish() == "Done."  # though the process may not be gone yet


def test_closing_the_scene_amid_a_run_leaves_no_process_and_no_file_and_the_next_run_works(
    ready, begin, finish, control, scene, add_head, temporary
):
    pid = begin()
    scene.Clear()
    assert not ready.run.running
    harness.wait_until(lambda: not is_alive(pid))
    assert list(temporary.iterdir()) == []
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    control.let_go()
    ready.ui.fixedVolumeSelector.setCurrentNode(add_head("MRI"))
    ready.ui.movingVolumeSelector.setCurrentNode(add_head("PET", "pet"))
    assert finish() == "Done."


def test_a_temporary_folder_that_is_removed_amid_a_run_is_one_sentence(ready, begin, finish, control, scene, temporary):
    before = state(scene)
    begin("report")
    for path in temporary.iterdir():
        shutil.rmtree(path)
    control.let_go()
    sentence = wait_for_end(ready)
    assert sentence.startswith("The temporary folder")
    assert sentence.endswith("run again.")
    assert state(scene) == before
    assert finish() == "Done."


def test_a_temporary_folder_that_cannot_be_made_is_one_sentence(ready, finish, scene, temporary):
    before = state(scene)
    temporary.rmdir()
    assert finish().startswith("No temporary folder can be made")
    assert state(scene) == before
    temporary.mkdir()
    assert finish() == "Done."


def test_two_panels_run_at_once_each_with_a_process_and_a_folder(ready, begin, control, temporary, monkeypatch):
    first = begin()
    second = Worker()
    done = []
    second.start("devices", lambda folder: {}, onDone=lambda *answer: done.append(answer), onFailed=done.append)
    harness.wait_until(lambda: done, seconds=30)
    assert done[0][0][0]["label"] == "A GPU, 8 GB"
    assert second.pid != first
    assert len(list(temporary.iterdir())) == 2
    second.close()
    assert is_alive(first)
    control.let_go()
    assert wait_for_end(ready) == "Done."


@pytest.mark.parametrize("amid_a_run", [False, True])
def test_reloading_the_module_leaves_no_process_and_no_file(amid_a_run, ready, finish, begin, control, temporary):
    if amid_a_run:
        begin()
    else:
        finish()
    pid = ready.worker.pid
    slicer.util.reloadScriptedModule("BSAFusion")
    harness.wait_until(lambda: not is_alive(pid))
    assert list(temporary.iterdir()) == []
    control.let_go()
    widget = slicer.util.getModuleWidget("BSAFusion")
    harness.click(widget.ui.applyButton)
    assert wait_for_end(widget) == "Done."
    widget.worker.close()
    assert list(temporary.iterdir()) == []


def test_a_bug_while_the_job_is_written_is_reported_and_leaves_no_file(ready, finish, monkeypatch, temporary):
    monkeypatch.setattr("BSAFusionLib.panel.run.write_case", lambda *_: 1 / 0)
    assert "ZeroDivisionError" in finish()
    (folder,) = temporary.iterdir()
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_jobs_that_wait_are_done_by_another_process_where_one_before_them_is_ended(ready, begin, control):
    control.deafen()
    begin()
    listed = []
    ready.worker.start("devices", lambda folder: {}, onDone=lambda *answer: listed.append(answer), onFailed=print)
    harness.click(ready.ui.cancelButton)
    control.reset()
    control.deafen()
    assert wait_for_end(ready) == "Stopped; nothing was changed."
    harness.wait_until(lambda: listed, seconds=30)


def test_devices_of_a_worker_that_fails_are_asked_for_again_at_the_next_look(ready, control):
    control.fail(ValueError("planted"))
    ready.ui.advancedCollapsibleButton.collapsed = False
    harness.wait_until(lambda: ready.deviceChoice._task is None, seconds=30)
    control.reset()
    ready.ui.advancedCollapsibleButton.collapsed = True
    ready.ui.advancedCollapsibleButton.collapsed = False
    harness.wait_until(lambda: ready.ui.deviceComboBox.count == 3, seconds=30)


def test_an_error_in_what_a_job_calls_keeps_no_other_job_from_its_answer(ready, running):
    def fail(*answer):
        raise ValueError("planted")

    listed = []
    ready.worker.start("devices", lambda folder: {}, onDone=fail, onFailed=print)
    ready.worker.start("devices", lambda folder: {}, onDone=lambda *answer: listed.append(answer), onFailed=print)
    harness.wait_until(lambda: listed, seconds=30)
    assert [str(error) for error in running.errors] == ["planted"]
    running.errors.clear()


def test_slicers_own_python_is_taken_where_sys_executable_names_none(monkeypatch, tmp_path):
    assert workerCommand() == [sys.executable, "-m", "BSAFusionLib.worker"]
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FusionError, match="PythonSlicer, was not found"):
        workerCommand()
    python = tmp_path / "PythonSlicer"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    assert workerCommand()[0] == str(python)


@on_posix
def test_a_launcher_between_slicer_and_python_leaves_no_process_when_a_job_is_ended(
    ready, begin, finish, control, monkeypatch, tmp_path
):
    """PythonSlicer starts Python as a child, hands its channels on, and answers a crash with exit code 1."""
    launcher = tmp_path / "launcher.py"
    launcher.write_text("import subprocess, sys\nsys.exit(subprocess.call(sys.argv[1:]) and 1)\n")
    command = [sys.executable, str(launcher), *control.command("quick")]
    monkeypatch.setattr(background, "workerCommand", lambda: command)
    control.deafen()
    pid = begin()
    assert pid != ready.worker._process.processId()
    harness.click(ready.ui.cancelButton)
    assert wait_for_end(ready) == "Stopped; nothing was changed."
    harness.wait_until(lambda: not is_alive(pid))
    control.reset()
    kill(begin())
    assert "ended unexpectedly (exit code 1)" in wait_for_end(ready)
    control.reset()
    assert finish() == "Done."


# In a process of its own, since the tests' imports all; by quick jobs.
run_once = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from Testing import harness
import numpy as np
import slicer
from BSAFusionLib.panel import background
from Testing.worker.control import Control

with harness.running():
    harness.load_module(f"{sys.argv[1]}/BSAFusion/BSAFusion.py")
    slicer.util.selectModule("BSAFusion")
    background.workerCommand = lambda: Control(Path(sys.argv[2])).command("quick")
    widget = slicer.util.getModuleWidget("BSAFusion")
    values = np.random.default_rng(0).random((20, 20, 20), np.float32)
    for name in ("fixedVolume", "movingVolume"):
        volume = slicer.util.addVolumeFromArray(values, name=name)
        getattr(widget.ui, name + "Selector").setCurrentNode(volume)
    harness.click(widget.ui.applyButton)
    harness.wait_until(lambda: not widget.run.running, seconds=60)
    large = ("SimpleITK", "scipy", "torch", "matplotlib")
    print(widget.ui.messageLabel.text, *(name for name in large if name in sys.modules))
"""


def test_a_run_imports_no_large_package_into_slicer(tmp_path):
    command = [sys.executable, "-c", run_once, str(repository), str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.stdout.splitlines()[-1:] == ["Done."], finished.stderr


@on_posix
def test_when_slicer_crashes_the_process_ends_and_its_files_are_swept_at_the_next_start(temporary, control, running):
    control.hold("begun")
    program = f"""
import sys
sys.path.insert(0, {str(repository)!r})
from pathlib import Path
from Testing import harness
import slicer
type(slicer.app).temporaryPath = property(lambda self: {str(temporary)!r})
from BSAFusionLib.panel.background import Worker
with harness.running():
    worker = Worker({control.command("quick")!r})
    worker.start("devices", lambda folder: {{}}, onDone=print, onFailed=print)
    harness.wait_until(lambda: worker.pid, seconds=30)
    print(worker.pid, flush=True)
    harness.wait_until(lambda: False, seconds=60)
"""
    application = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(application.stdout.readline())
    application.kill()
    application.communicate()
    harness.wait_until(lambda: not is_alive(pid))
    assert [path.name.startswith(PREFIX) for path in temporary.iterdir()] == [True]
    folder = PrivateFolder(temporary)
    folder.path()
    assert len(list(temporary.iterdir())) == 1
    folder.remove()


@pytest.fixture
def real(worker, control, monkeypatch):
    """The real jobs in the process of this test."""
    monkeypatch.setattr(background, "workerCommand", lambda: control.command("real"))


@on_posix
def test_the_real_process_killed_amid_the_network_is_one_sentence_and_the_next_run_works(
    real, ready, begin, finish, control, scene
):
    before = state(scene)
    kill(begin())
    assert wait_for_end(ready).startswith("The computing process ended unexpectedly (signal 9)")
    assert state(scene) == before
    control.let_go()
    assert finish().startswith("Done")


@on_posix
def test_the_real_process_that_runs_out_of_memory_says_so_in_one_sentence(
    real, ready, finish, control, scene, add_head
):
    """Two processes import PyTorch, which takes seconds."""
    assert finish().startswith("Done")  # so that all libraries are loaded
    large = (160, 200, 140)  # 18 MB
    small = ready.ui.fixedVolumeSelector.currentNode()
    volume = add_head("Large MRI", "mri", lattice(spacing=(1, 1, 1), size=large), large)
    ready.ui.fixedVolumeSelector.setCurrentNode(volume)
    before = state(scene)
    control.leave_memory(megabytes=10)
    assert finish().startswith("Not enough memory for volumes of this size")
    assert state(scene) == before
    control.reset()
    kill(ready.worker.pid)  # which keeps its limit
    ready.ui.fixedVolumeSelector.setCurrentNode(small)
    assert finish().startswith("Done")


def test_the_panels_process_starts_as_the_product_starts_it(running, temporary, monkeypatch, tmp_path):
    """Check that files in the user's own folder are not imported as libraries."""
    (tmp_path / "torch.py").write_text("raise ImportError('not PyTorch')")
    monkeypatch.chdir(tmp_path)
    worker, done = Worker(), []
    worker.start("devices", lambda folder: {}, onDone=lambda *answer: done.append(answer), onFailed=done.append)
    begun = time.monotonic()
    harness.wait_until(lambda: done, seconds=60)
    assert done[0][0][-1] == {"name": "cpu", "label": "CPU", "works": True}
    print(f"{time.monotonic() - begun:.1f} s until PyTorch had listed the devices")
    worker.close()
    assert Path(temporary).is_dir()
