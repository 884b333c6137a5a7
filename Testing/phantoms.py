"""Heads made by formula, and weights that nobody trained, for tests that need no patient."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.weights import save_network

MIDDLE_MM = (12.0, -20.0, 30.0)  # of the heads that `make_head` makes


def turned(degrees: float = 25.0) -> np.ndarray:
    """Return directions (columns) turned about an oblique axis."""
    transform = sitk.VersorRigid3DTransform()
    transform.SetRotation((1.0, 2.0, -1.5), np.radians(degrees))
    return np.array(transform.GetMatrix()).reshape(3, 3)


# Name: size (columns, rows, slices), spacing in mm, directions.
GRIDS = {
    "axis-aligned": ((50, 54, 40), (4.0, 4.0, 5.0), np.eye(3)),
    "oblique": ((50, 54, 40), (4.0, 4.0, 5.0), turned()),
    "left-handed": ((50, 54, 40), (4.0, 4.0, 5.0), np.diag((1.0, -1.0, 1.0))),
    "oblique, left-handed, axes changed about": ((40, 50, 54), (5.0, 4.0, 4.0), turned()[:, (2, 0, 1)] * (1, -1, -1)),
    "thick slices": ((100, 108, 15), (0.7, 0.7, 5.0), np.eye(3)),
}


def make_grid(name: str) -> sitk.Image:
    """Make an empty volume, one of GRIDS, whose middle is MIDDLE_MM."""
    return centered_grid(*GRIDS[name])


def centered_grid(size: tuple[int, ...], spacing: tuple[float, ...], directions: np.ndarray) -> sitk.Image:
    """Make an empty volume (columns, rows, slices) whose middle is MIDDLE_MM."""
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing(spacing)
    grid.SetDirection(np.ravel(directions).tolist())
    middle = grid.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in size])
    grid.SetOrigin(np.subtract(MIDDLE_MM, middle).tolist())
    return grid


def points_of(grid: sitk.Image) -> np.ndarray:
    """Return the position of every voxel relative to MIDDLE_MM, mm, LPS, (slice, row, column, 3)."""
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    return sitk.GetArrayFromImage(source) - MIDDLE_MM


# A head's parts, as ellipsoids one over the other: middle and half axes in mm; MRI, CT (HU) and PET values.
PARTS = (
    ((0, 0, 0), (70, 88, 80), 220, 60, 2),  # skin
    ((0, 0, 0), (65, 83, 75), 30, 900, 1),  # skull
    ((0, 0, 0), (60, 78, 70), 150, 35, 80),  # brain
    ((0, 5, 5), (42, 60, 50), 190, 28, 40),  # white matter
    ((-12, -10, 8), (9, 24, 14), 40, 8, 5),  # ventricles
    ((14, -6, 10), (8, 20, 12), 40, 8, 5),
    ((-35, -45, 20), (12, 10, 14), 90, 50, 100),  # on one side only
    ((20, 50, -40), (24, 16, 14), 160, 45, 90),
)


def make_head(grid: sitk.Image, modality: str) -> sitk.Image:
    """Make a phantom head as MRI, CT or PET, edges softened over a few mm (float32)."""
    column = {"mri": 2, "ct": 3, "pet": 4}[modality]
    small = min(np.array(grid.GetSize()) * grid.GetSpacing()) / 200  # the head fits the grid
    points = points_of(grid) / small
    values = np.full(points.shape[:3], -1000.0 if modality == "ct" else 0.0, np.float32)
    for part in PARTS:
        middle, half_axes = np.array(part[0]), np.array(part[1])
        depth = (1 - np.linalg.norm((points - middle) / half_axes, axis=-1)) * half_axes.min() * small
        share = 1 / (1 + np.exp(-depth / 1.5))
        values = values * (1 - share) + part[column] * share
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.CopyInformation(grid)
    return image


def coarse_head(
    modality: str = "mri",
    size: tuple[int, int, int] = (24, 26, 20),
    spacing: tuple[float, float, float] = (5.0, 5.0, 6.0),
    directions: np.ndarray | None = None,
) -> sitk.Image:
    """Make a phantom of a small head of few voxels, quick to register; MIDDLE_MM is its middle."""
    return make_head(centered_grid(size, spacing, np.eye(3) if directions is None else directions), modality)


def small_head(shift: float, slices: int = 10) -> sitk.Image:
    """Make an ellipsoid with some texture, `shift` voxels of 4 mm to the left; int16, below 1000."""
    z, y, x = np.mgrid[:slices, :48, :40]
    middle = slices / 2
    inside = ((z - middle) / middle) ** 2 + ((y - 24) / 18) ** 2 + ((x - 20 - shift) / 14) ** 2
    noise = np.random.default_rng(0).normal(0, 0.02, z.shape)
    image = sitk.GetImageFromArray(((np.clip(1 - inside, 0, 1) + (inside < 1) * (0.5 + noise)) * 600).astype(np.int16))
    image.SetSpacing((4.0, 4.0, 80 / slices))
    return image


# Center and half axes in mm, LPS, and code; later ones cover earlier ones.
LABELED_PARTS = (
    ((0, 0, 0), (75, 95, 95), 24),  # skin
    ((0, 0, 0), (71, 91, 91), 22),  # fat and muscle
    ((0, 5, 15), (68, 82, 72), 26),  # skull
    ((0, 5, 15), (62, 76, 66), 15),  # fluid
    ((0, 5, 15), (58, 72, 62), 2),  # cortex
    ((0, 5, 17), (48, 60, 50), 1),  # white matter
    ((-14, 8, 20), (7, 22, 12), 14),  # ventricles
    ((14, 8, 20), (7, 22, 12), 14),
    ((-10, 18, 8), (8, 12, 9), 5),  # thalamus
    ((10, 18, 8), (8, 12, 9), 5),
    ((-26, 0, 12), (7, 16, 10), 7),  # putamen
    ((26, 0, 12), (7, 16, 10), 7),
    ((0, 48, -28), (38, 24, 18), 4),  # cerebellum
    ((0, 22, -42), (10, 10, 26), 13),  # brain stem
    ((-30, -72, -12), (13, 13, 13), 20),  # eyes
    ((30, -72, -12), (13, 13, 13), 20),
)
LABELED_SIZE_MM = (156, 198, 171)


def labeled_head(voxel_mm: float = 3.0) -> sitk.Image:
    """Return a head of ellipsoids, cut below, as codes on an upright LPS grid around the origin."""
    grid = sitk.Image([round(size / voxel_mm) for size in LABELED_SIZE_MM], sitk.sitkUInt8)
    grid.SetSpacing([voxel_mm] * 3)
    grid.SetOrigin([-size / 2 + voxel_mm / 2 for size in (LABELED_SIZE_MM[0], LABELED_SIZE_MM[1])] + [-75.0])
    points = voxel_centers(grid)
    labels = np.zeros(points.shape[:3], np.uint8)
    for center, half_axes, code in LABELED_PARTS:
        labels[(((points - center) / half_axes) ** 2).sum(axis=-1) < 1] = code
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(grid)
    return image


def save_untrained(path: Path, **metadata: str | int) -> None:
    """Save a network of random weights, the same each time; `metadata` as of `Metadata`.

    Its slices have 64 pixels a side, if `metadata` does not say otherwise, so that a run is quick.
    """
    torch.manual_seed(0)
    save_network(path, BSAFusion(Metadata(**{"size": 64, **metadata})))
