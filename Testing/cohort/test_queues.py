"""The examples for queues compute a cohort on this machine: the tasks of an array at a time, and jobs as workers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.cohort.reading import read_cohort
from Testing.cohort.test_batch import rows
from Testing.phantoms import save_untrained, small_head

repository = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="the queues are those of Unix")]


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Two subjects with a pair, and one without."""
    folder = tmp_path / "bids"
    for subject, kinds in (
        ("1", ("anat/{}_T1w", "pet/{}_pet")),
        ("2", ("pet/{}_pet",)),
        ("3", ("anat/{}_T1w", "pet/{}_pet")),
    ):
        for kind in kinds:
            path = folder / f"sub-{subject}" / kind.format(f"sub-{subject}")
            path.parent.mkdir(parents=True)
            sitk.WriteImage(small_head(0.5 * ("pet" in kind), slices=3), f"{path}.nii.gz")
    (folder / "dataset_description.json").write_text('{"Name": "trial", "BIDSVersion": "1.10.0"}')
    save_untrained(tmp_path / "weights.safetensors", modality="pet")
    return folder


def options(bids: Path) -> list[str]:
    return [
        "--prealignment",
        "none",
        "--one-axis",
        "--device",
        "cpu",
        "--weights",
        f"{bids.parent}/weights.safetensors",
    ]


def states(out: Path) -> dict[str, str]:
    return {row["case"]: row["state"] for row in rows(out)}


complete = {"sub-1": "finished", "sub-3": "finished", "sub-2_pet": "left out"}


def test_the_tasks_of_an_array_share_their_results(bids: Path, tmp_path: Path) -> None:
    out, python = tmp_path / "out", f"{sys.executable} -m BSAFusionLib"
    command = ["bash", "Documentation/slurm_array.sh", str(bids), str(out), *options(bids)]
    tasks = [
        subprocess.Popen(
            command,
            cwd=repository,
            env={**os.environ, "BSAFUSION": python, "SLURM_ARRAY_TASK_ID": str(number), "SLURM_CPUS_PER_TASK": "1"},
        )
        for number in range(3)
    ]
    assert [task.wait() for task in tasks] == [0, 0, 0]
    assert states(out) == complete
    assert main(["batch", str(bids), "--out", str(out), *options(bids)]) == 0
    assert states(out) == complete
    for case in read_cohort(bids).cases:
        assert (out / case.folder / case.names.registered).is_file()


def test_jobs_of_a_queue_are_workers(bids: Path, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    out = tmp_path / "out"
    command = [sys.executable, "Documentation/jobqueue.py", "Local", "2", str(bids), "--out", str(out), *options(bids)]
    finished = subprocess.run(
        command, cwd=repository, env={**os.environ, "PYTHONPATH": str(repository)}, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert states(out) == complete


def test_bash_accepts_the_script_of_the_array() -> None:
    assert shutil.which("bash")
    assert subprocess.run(["bash", "-n", "Documentation/slurm_array.sh"], cwd=repository).returncode == 0
