"""The temporary folder is this user's alone, goes with whoever made it, and what a killed process left is swept."""

import os
import shutil
import stat
import subprocess
import sys
import time

import pytest

from BSAFusionLib.worker.folder import LOCK, PREFIX, PrivateFolder, sweep
from Testing.conftest import repository

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes or signals")

# Makes a folder, says which, and waits.
maker = """
import sys, time
from pathlib import Path
from BSAFusionLib.worker.folder import PrivateFolder
folder = PrivateFolder(Path(sys.argv[1]))
print(folder.path(), flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def start_maker(tmp_path):
    """Return a function that starts a process for some seconds and returns it and the folder that it made."""
    started = []

    def start_maker(seconds):
        command = [sys.executable, "-c", maker, str(tmp_path), str(seconds)]
        process = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, tmp_path / process.stdout.readline().strip()

    yield start_maker
    for process in started:
        process.kill()
        process.communicate()


@on_posix
def test_only_this_user_may_look_into_the_folder(tmp_path):
    folder = PrivateFolder(tmp_path)
    assert stat.S_IMODE(folder.path().stat().st_mode) == 0o700


def test_it_is_removed_with_all_that_is_in_it(tmp_path):
    folder = PrivateFolder(tmp_path)
    (folder.path() / "1").mkdir()
    (folder.path() / "1" / "fixed.npy").write_text("voxels")
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_again_where_somebody_removed_it(tmp_path):
    folder = PrivateFolder(tmp_path)
    shutil.rmtree(folder.path())
    assert folder.path().is_dir()


def test_it_goes_when_python_ends(start_maker):
    process, path = start_maker(0)
    process.wait()
    assert not path.exists()


@on_posix
def test_what_a_killed_process_left_is_swept_at_the_next_start(start_maker, tmp_path):
    process, path = start_maker(60)
    process.kill()
    process.wait()
    assert path.is_dir()
    folder = PrivateFolder(tmp_path)
    assert folder.path() != path
    assert not path.exists()


def test_what_belongs_to_a_living_process_is_left_alone(start_maker, tmp_path):
    _, path = start_maker(60)
    PrivateFolder(tmp_path).path()
    assert (path / LOCK).is_file()


def test_what_is_not_ours_is_left_alone(tmp_path):
    others = [tmp_path / "other", tmp_path / f"{PREFIX}file"]
    others[0].mkdir()
    others[1].write_text("a file, not a folder")
    sweep(tmp_path)
    assert all(path.exists() for path in others)


@on_posix
def test_a_link_is_not_followed(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(kept)
    sweep(tmp_path)
    assert kept.is_dir()


def test_a_folder_that_its_maker_has_just_made_is_left_to_be_locked(tmp_path):
    young, old = tmp_path / f"{PREFIX}young", tmp_path / f"{PREFIX}old"
    for path in (young, old):
        path.mkdir()
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))
    sweep(tmp_path)
    assert young.is_dir()
    assert not old.exists()
