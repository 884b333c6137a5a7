"""A small labelled head of ellipsoids and coarse scanners, so that a patient takes a fraction of a second."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionResearch.simulation.scanners import Scanner

VOXEL_MM = 3.0
# Center and half axes in mm, LPS, and code; later ones cover earlier ones.
ELLIPSOIDS = (
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
SIZE_MM = (156, 198, 171)


def labelled_head(voxel_mm: float = VOXEL_MM) -> sitk.Image:
    """Return a head of ellipsoids, cut below, as codes on an upright LPS grid around the origin."""
    grid = sitk.Image([round(size / voxel_mm) for size in SIZE_MM], sitk.sitkUInt8)
    grid.SetSpacing([voxel_mm] * 3)
    grid.SetOrigin([-size / 2 + voxel_mm / 2 for size in (SIZE_MM[0], SIZE_MM[1])] + [-75.0])
    points = voxel_centers(grid)
    labels = np.zeros(points.shape[:3], np.uint8)
    for center, half_axes, code in ELLIPSOIDS:
        labels[(((points - center) / half_axes) ** 2).sum(axis=-1) < 1] = code
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(grid)
    return image


def coarse_scanner(
    voxel_mm: float = 3.0, plane: str = "axial", resolution_mm: float = 3.0, noise: float = 0
) -> Scanner:
    """Return a scanner of large voxels, tilted a little."""
    return Scanner((voxel_mm,) * 3, plane, (4.0, -3.0, 5.0), 0.0, resolution_mm, noise, 10.0)


@pytest.fixture(scope="session")
def head() -> sitk.Image:
    return labelled_head()
