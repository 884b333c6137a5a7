"""A Dask cluster of two workers started for a test, one of which can be killed, and results held against others."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from distributed import Client

repository = Path(__file__).resolve().parents[2]


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, dict[str, subprocess.Popen]]]:
    """Start a Dask scheduler with two workers; yield its address and the workers by name."""

    def start(*arguments: str) -> subprocess.Popen:
        log = (folder / f"{arguments[0]}{len(started)}.log").open("wb")
        command = [sys.executable, "-m", "dask", *arguments]
        started.append(subprocess.Popen(command, cwd=repository, stdout=log, stderr=log, env=environment))
        return started[-1]

    environment = {**os.environ, "PYTHONPATH": str(repository)}
    started: list[subprocess.Popen] = []
    file = folder / "scheduler.json"
    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        options = ["--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name"]
        workers = {name: start("worker", *options, name) for name in ("one", "two")}
        while not file.is_file():
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], workers
    finally:
        for process in started:
            process.kill()
            process.wait()


def kill_a_busy_worker(address: str, workers: dict[str, subprocess.Popen], out: Path) -> None:
    """Kill one of two workers while both have cases and one has begun to write."""
    with Client(address, set_as_default=False) as client:
        while True:
            busy = [worker for worker, keys in client.processing().items() if keys]
            if len(busy) == 2 and list(out.glob("sub-*/pet/.unfinished-*")):
                break
            time.sleep(0.05)
        workers[client.scheduler_info(n_workers=-1)["workers"][busy[0]]["name"]].kill()


def same_results(folder: Path, other: Path) -> bool:
    """Return True where the volumes and transforms of a case in two folders are equal to the bit."""
    volumes, transforms = sorted(folder.glob("*.nii.gz")), sorted(folder.glob("*mode-image_xfm.h5"))
    assert len(volumes) >= 4 and [path.name for path in volumes] == sorted(path.name for path in other.glob("*.nii.gz"))
    assert len(transforms) == 1
    same = True
    for path in volumes:
        images = (sitk.ReadImage(str(found / path.name)) for found in (folder, other))
        same &= np.array_equal(*map(sitk.GetArrayFromImage, images))
    grids, rigids = [], []
    for found in (folder, other):
        parts = sitk.CompositeTransform(sitk.ReadTransform(str(found / transforms[0].name)))
        last = parts.GetNthTransform(parts.GetNumberOfTransforms() - 1)
        grids.append(sitk.GetArrayFromImage(sitk.DisplacementFieldTransform(last).GetDisplacementField()))
        rigids.append([parts.GetNthTransform(n).GetParameters() for n in range(parts.GetNumberOfTransforms() - 1)])
    return bool(same and np.array_equal(*grids) and rigids[0] == rigids[1])


def answer_or_die(answer: str | None) -> str:
    """Return the answer; without one, end the process that this is called in."""
    if answer is None:
        os._exit(1)
    return answer
