"""Phantom heads on grids of every kind, and a network whose weights are random but always the same."""

import pytest
import SimpleITK as sitk

from Testing.phantoms import GRIDS, make_grid, make_head, save_untrained


@pytest.fixture(params=GRIDS)
def grid(request) -> sitk.Image:
    """An empty volume; `MIDDLE_MM` is its middle."""
    return make_grid(request.param)


@pytest.fixture(scope="session")
def mri() -> sitk.Image:
    return make_head(make_grid("axis-aligned"), "mri")


@pytest.fixture(scope="session")
def ct() -> sitk.Image:
    return make_head(make_grid("axis-aligned"), "ct")


@pytest.fixture(scope="session")
def pet() -> sitk.Image:
    return make_head(make_grid("axis-aligned"), "pet")


@pytest.fixture(scope="session")
def head():
    """Make a phantom head of a modality on a grid."""
    return make_head


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_untrained(path)
    return path
