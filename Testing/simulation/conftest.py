"""A labeled head of ellipsoids and coarse scanners, so that a patient takes a fraction of a second."""

import pytest
import SimpleITK as sitk

from BSAFusionResearch.simulation.scanners import Scanner
from Testing.phantoms import labeled_head


def coarse_scanner(
    voxel_mm: float = 3.0, plane: str = "axial", resolution_mm: float = 3.0, noise: float = 0
) -> Scanner:
    """Return a scanner of large voxels, tilted a little."""
    return Scanner((voxel_mm,) * 3, plane, (4.0, -3.0, 5.0), 0.0, resolution_mm, noise, 10.0)


@pytest.fixture(scope="session")
def head() -> sitk.Image:
    return labeled_head()
