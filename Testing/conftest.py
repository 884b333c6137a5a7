"""What all tests share: where the data that is not ours lies."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from BSAFusionLib.worker.threads import wait_patiently

repository = Path(__file__).resolve().parents[1]

# Before a test imports torch or SimpleITK: as commands do, and since pytest-xdist runs a process a core, on which more
# threads would only wait.
wait_patiently()
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(variable, "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import the tests without garbage collection, and exempt from it what they import.

    PyTorch, VTK and Slicer hold objects by the million, and none of them goes before the process does. Searching them
    again and again took half of the time that importing the tests takes.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: a processor that gets one last leaves the other idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the repository, which is measured on but never shipped."""
    folder = Path(os.environ.get("BSAFUSION_SHARED", repository.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the shared data is not at {folder}")
    return folder
