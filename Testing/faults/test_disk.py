"""Whatever happens while results are written, a folder holds whole files only: the old ones or the new ones."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.atomic import written_whole
from BSAFusionLib.files.volumes import read_volume, write_volume
from BSAFusionLib.network.weights import load_network
from Testing.conftest import repository
from Testing.faults.conftest import on_posix
from Testing.phantoms import coarse_head

# A program that writes one kind of result into a folder;
# the system lets no file grow beyond 1000 bytes, as on a full disk.
writing = """
import resource, sys
from pathlib import Path
import numpy as np, SimpleITK as sitk
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.atomic import written_whole
from BSAFusionLib.files.volumes import write_transform, write_volume

voxels = np.random.default_rng(0).normal(size=(30, 40, 50, 3))
image, field = (sitk.GetImageFromArray(values, isVector=values.ndim == 4) for values in (voxels[..., 0], voxels))
writers = {
    "fused.nrrd": lambda path: write_volume(image, path),
    "preview.png": lambda path: write_volume(sitk.Cast(sitk.RescaleIntensity(image[:, :, 3]), sitk.sitkUInt8), path),
    "deformation.h5": lambda path: write_transform(sitk.DisplacementFieldTransform(field), path),
    "report.json": lambda path: path.write_text("figures" * 2000),
}
name, folder = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    with written_whole(folder) as unfinished:
        (unfinished / "first.txt").write_text("new")
        writers[name](unfinished / name)
except FusionError as error:
    print(error)
    sys.exit(2)
"""


@on_posix
@pytest.mark.parametrize("name", ["fused.nrrd", "preview.png", "deformation.h5", "report.json"])
def test_a_full_disk_is_reported_and_leaves_the_older_results(name, tmp_path, run_program):
    for file in ("first.txt", name):
        (tmp_path / file).write_text("old")
    finished = run_program(writing, name, tmp_path)
    assert finished.returncode == 2, finished.stderr  # HDF5 by itself would end the process by a signal
    assert "could not be written" in finished.stdout or "cannot be written" in finished.stdout
    assert "Traceback" not in finished.stderr
    assert "HDF5" not in finished.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"first.txt": "old", name: "old"}


def test_a_really_full_disk_is_reported_and_leaves_the_older_results(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    small = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=64k tmpfs '{disk}'"
    if shutil.which("unshare") is None or subprocess.run([*small, mount]).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    program = writing.replace("resource.setrlimit", "lambda *limit: limit  # ")
    write = f"cd '{repository}' && {sys.executable} - deformation.h5 '{disk}'"
    steps = f"{mount} && echo old >'{disk}/deformation.h5' && {write}; ls -A '{disk}'"
    finished = subprocess.run([*small, steps], input=program, capture_output=True, text=True)
    assert "could not be written; see that the disk has room" in finished.stdout, finished.stderr
    assert finished.stdout.splitlines()[1:] == ["deformation.h5"]


@on_posix
def test_a_run_killed_while_it_writes_leaves_the_older_results_and_the_next_one_clears_up(tmp_path):
    (tmp_path / "fused.nrrd").write_text("old")
    program = """if True:
        import sys, time
        from BSAFusionLib.files.atomic import written_whole
        with written_whole(sys.argv[1]) as folder, (folder / "fused.nrrd").open("w") as file:
            file.write("half of the ne")
            file.flush()
            print("begun", flush=True)
            time.sleep(600)
    """
    writer = subprocess.Popen([sys.executable, "-c", program, tmp_path], cwd=repository, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"begun\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert (tmp_path / "fused.nrrd").read_text() == "old"
    (left,) = (path for path in tmp_path.iterdir() if path.name != "fused.nrrd")
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(left, (long_ago, long_ago))
    with written_whole(tmp_path) as folder:
        (folder / "fused.nrrd").write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"fused.nrrd": "new"}


def test_two_runs_at_once_into_one_folder_leave_whole_files_of_one_of_them(tmp_path):
    begun = threading.Barrier(2)
    texts = {"one": "1" * 100_000, "two": "2" * 100_000}

    def run(text):
        with written_whole(tmp_path) as folder:
            begun.wait()
            (folder / "report.json").write_text(text)

    threads = [threading.Thread(target=run, args=(text,)) for text in texts.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert (tmp_path / "report.json").read_text() in texts.values()


def test_paths_beyond_ascii_and_of_many_letters_work(tmp_path, weights, capsys):
    folder = tmp_path / "Kopf, größer als 頭 & ещё 'один' 100 %" / ("sehr lang " * 20) / ("noch länger " * 15)
    folder.mkdir(parents=True)
    fixed, moving = folder / "MRT ü.nrrd", folder / "ПЭТ 頭.nii.gz"
    write_volume(coarse_head(), fixed)
    write_volume(coarse_head("pet"), moving)
    own = folder / "Gewichte ß.safetensors"
    own.write_bytes(weights.read_bytes())
    options = [
        "--modality",
        "pet",
        "--prealignment",
        "none",
        "--device",
        "cpu",
        "--weights",
        own,
        "--out",
        folder / "é",
    ]
    assert main(["fuse", *map(str, [fixed, moving, *options])]) == 0, capsys.readouterr().err
    assert (folder / "é" / "report.html").is_file()
    assert sitk.ReadTransform(str(folder / "é" / "deformation.h5")).GetDimension() == 3
    assert read_volume(folder / "é" / "fused.nrrd").GetSize() == coarse_head().GetSize()


def test_a_path_too_long_for_the_system_is_rejected_in_a_sentence(tmp_path):
    endless = tmp_path / ("x" * 5000)
    for attempt in (read_volume, load_network, lambda path: written_whole(path).__enter__()):
        with pytest.raises(FusionError, match="xxx"):
            attempt(endless)


@on_posix
@pytest.mark.parametrize("ending", [".nrrd", ".nii"])
def test_a_full_temporary_folder_is_named_as_the_reason_why_a_file_cannot_be_read(ending, tmp_path, run_program):
    """Of a compressed file whose name does not say so."""
    write_volume(coarse_head(), tmp_path / f"head{ending}")
    (tmp_path / "head.dat").write_bytes(gzip.compress((tmp_path / f"head{ending}").read_bytes()))
    program = """if True:
        import resource, sys
        from BSAFusionLib.errors import FusionError
        from BSAFusionLib.files.volumes import read_volume
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            read_volume(sys.argv[1])
        except FusionError as error:
            print(error)
    """
    finished = run_program(program, tmp_path / "head.dat")
    assert f"head.dat cannot be read: the temporary folder {tempfile.gettempdir()} has no room" in finished.stdout
    assert "set TMPDIR" in finished.stdout
