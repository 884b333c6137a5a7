"""What all tests share: where the data that is not ours lies."""

import os
from pathlib import Path

import pytest

repository = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the repository, which is measured on but never shipped."""
    folder = Path(os.environ.get("BSAFUSION_SHARED", repository.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the shared data is not at {folder}")
    return folder
