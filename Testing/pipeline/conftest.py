"""Phantom heads on grids of every kind, and a network whose weights are random but always the same."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.weights import save_network


def turned(degrees: float = 25.0) -> np.ndarray:
    """Directions (columns) turned about an oblique axis."""
    transform = sitk.VersorRigid3DTransform()
    transform.SetRotation((1.0, 2.0, -1.5), np.radians(degrees))
    return np.array(transform.GetMatrix()).reshape(3, 3)


# name: size (columns, rows, slices), spacing in mm, directions
grids = {
    "axis-aligned": ((50, 54, 40), (4.0, 4.0, 5.0), np.eye(3)),
    "oblique": ((50, 54, 40), (4.0, 4.0, 5.0), turned()),
    "left-handed": ((50, 54, 40), (4.0, 4.0, 5.0), np.diag((1.0, -1.0, 1.0))),
    "oblique, left-handed, axes changed about": ((40, 50, 54), (5.0, 4.0, 4.0), turned()[:, (2, 0, 1)] * (1, -1, -1)),
    "thick slices": ((100, 108, 15), (0.7, 0.7, 5.0), np.eye(3)),
}


def make_grid(name: str) -> sitk.Image:
    size, spacing, directions = grids[name]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing(spacing)
    grid.SetDirection(directions.ravel().tolist())
    middle = grid.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in size])
    grid.SetOrigin((np.array((12.0, -20.0, 30.0)) - middle).tolist())
    return grid


@pytest.fixture(params=grids)
def grid(request) -> sitk.Image:
    """An empty volume; the point (12, -20, 30) mm is its middle."""
    return make_grid(request.param)


def points_of(grid: sitk.Image) -> np.ndarray:
    """Return the position of every voxel relative to the middle of the heads, mm LPS (slice, row, column, 3)."""
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    return sitk.GetArrayFromImage(source) - (12.0, -20.0, 30.0)


# What a head is made of, as ellipsoids one over the other: middle and half axes in mm; MRI, CT (HU) and PET values.
parts = (
    ((0, 0, 0), (70, 88, 80), 220, 60, 2),  # skin
    ((0, 0, 0), (65, 83, 75), 30, 900, 1),  # skull
    ((0, 0, 0), (60, 78, 70), 150, 35, 80),  # brain
    ((0, 5, 5), (42, 60, 50), 190, 28, 40),  # white matter
    ((-12, -10, 8), (9, 24, 14), 40, 8, 5),  # ventricles
    ((14, -6, 10), (8, 20, 12), 40, 8, 5),
    ((-35, -45, 20), (12, 10, 14), 90, 50, 100),  # something on one side only
    ((20, 50, -40), (24, 16, 14), 160, 45, 90),
)


def make_head(grid: sitk.Image, modality: str) -> sitk.Image:
    """Make a phantom head as MRI, CT or PET, edges softened over a few mm (float32)."""
    column = {"mri": 2, "ct": 3, "pet": 4}[modality]
    small = min(np.array(grid.GetSize()) * grid.GetSpacing()) / 200  # the head fits the grid
    points = points_of(grid) / small
    values = np.full(points.shape[:3], -1000.0 if modality == "ct" else 0.0, np.float32)
    for part in parts:
        middle, half_axes = np.array(part[0]), np.array(part[1])
        depth = (1 - np.linalg.norm((points - middle) / half_axes, axis=-1)) * half_axes.min() * small
        share = 1 / (1 + np.exp(-depth / 1.5))
        values = values * (1 - share) + part[column] * share
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.CopyInformation(grid)
    return image


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
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_network(path, BSAFusion(Metadata(size=64)))
    return path
