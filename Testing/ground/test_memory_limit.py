"""A limit of the system is named where memory runs out, and a whole file is not called damaged for it."""

import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from BSAFusionLib.pipeline import memory_limits
from BSAFusionLib.pipeline.memory_limits import FreeMemory, free_memory
from Testing.ground.nifti_files import example, write_nifti

repository = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits are those of Linux")

# Limits its own address space to so many MiB more than it takes, then does what is asked.
in_little_memory = """
import resource, sys
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.pipeline.memory import check_memory

pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
try:
    read_volume(sys.argv[2]) if sys.argv[2:] else check_memory(2e9)
except FusionError as error:
    print(error)
"""


def run(*arguments: object) -> str:
    command = [sys.executable, "-c", in_little_memory, *map(str, arguments)]
    finished = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_a_limit_of_the_process_is_named_before_a_run() -> None:
    said = run(500)
    assert said.startswith("Volumes of this size need about 2.0 GB of memory, but the limit of ")
    assert "for this process (ulimit -v) leaves only 0.5 GB; raise that limit" in said


@pytest.mark.parametrize("packed", [False, True], ids=["as named", "not packed, though named so"])
def test_a_file_too_large_for_the_limit_is_not_called_damaged(tmp_path: Path, packed: bool) -> None:
    path = write_nifti(
        tmp_path / ("large.nii.gz" if packed else "large.nii"), example(), dim=(3, 400, 400, 400, 1, 1, 1, 1)
    )
    with path.open("rb+") as file:
        file.truncate(352 + 2 * 400**3)  # zeros that take no room
    said = run(40, path)
    assert said.startswith("Not enough memory for volumes of this size: the limit of ")
    assert "(ulimit -v) is in the way; raise that limit" in said


def test_a_limit_of_a_container_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("memory.max", 3_000_000), ("memory.current", 1_000_000)):
        (tmp_path / name).write_text(f"{value}\n")
    names = tuple(str(tmp_path / name) for name in ("memory.max", "memory.current"))
    monkeypatch.setattr(memory_limits, "CGROUP_FILES", (names,))
    assert free_memory() == FreeMemory(2e6, "the limit of 0.0 GB for this container or job")
    (tmp_path / "memory.max").write_text("max\n")
    free = free_memory()
    assert free is not None
    assert free.free_bytes > 2e6


def test_a_small_volume_needs_no_more_than_there_is(tmp_path: Path) -> None:
    sitk.WriteImage(example(), str(tmp_path / "small.nrrd"))
    assert run(60, tmp_path / "small.nrrd") == ""
