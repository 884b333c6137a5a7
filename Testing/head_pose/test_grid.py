"""Volumes of any geometry come onto the network's grid where they lie in space."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from BSAFusionLib.head_pose.grid import MAX_VOXELS, SPACING_MM, head_grid, reduce, upright_grid

CENTER = np.array([12.0, -30.0, 45.0])  # mm LPS


def blob(spacing: list[float], direction: np.ndarray, half_mm: float = 100.0, sigma: float = 25.0) -> sitk.Image:
    """A Gaussian around CENTER, on a grid of that spacing and direction."""
    size = np.round(2 * half_mm / np.array(spacing)).astype(int)
    image = sitk.Image(size.tolist(), sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    axes = direction * spacing
    image.SetOrigin((CENTER + np.array([3, -4, 5]) - axes @ ((size - 1) / 2)).tolist())
    k, j, i = np.mgrid[: size[2], : size[1], : size[0]]
    points = np.stack([i, j, k], -1) @ axes.T + image.GetOrigin()
    filled = sitk.GetImageFromArray(np.exp(-((points - CENTER) ** 2).sum(-1) / (2 * sigma**2)).astype(np.float32))
    filled.CopyInformation(image)
    return filled


GEOMETRIES = {
    "isotropic": ([2.0, 2.0, 2.0], np.eye(3)),
    "anisotropic": ([0.9, 0.9, 7.0], np.eye(3)),
    "turned axes": ([3.0, 2.0, 1.5], np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    "oblique": ([2.0, 3.0, 4.0], Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_blob_is_found_where_it_lies_in_space(name: str) -> None:
    grid = upright_grid(reduce(blob(*GEOMETRIES[name])))
    assert all(length % 2 == 0 for length in grid.values.shape)
    d, h, w = (length // 2 for length in grid.values.shape)
    cells = grid.values.reshape(d, 2, h, 2, w, 2).mean((1, 3, 5))
    middle = (grid.cell_centers() * cells).sum((1, 2, 3)) / cells.sum()
    np.testing.assert_allclose(middle, CENTER, atol=0.4)
    assert grid.cell_ml == pytest.approx((2 * SPACING_MM) ** 3 / 1000)


def test_a_heads_own_grid_is_centered_on_it_and_turned_with_it() -> None:
    rotation = Rotation.from_euler("xyz", [10, 100, -20], degrees=True).as_matrix()
    grid = head_grid(reduce(blob([2.0, 2.0, 2.0], np.eye(3))), rotation, 1.1, CENTER)
    np.testing.assert_allclose(grid.cell_centers().mean((1, 2, 3)), CENTER, atol=1e-6)
    np.testing.assert_allclose(grid.axes, rotation * 1.1 * SPACING_MM)
    k, j, i = (length // 2 for length in grid.values.shape)
    assert grid.values[k - 1 : k + 1, j - 1 : j + 1, i - 1 : i + 1].min() > 0.9


def test_values_that_are_not_finite_do_not_spread() -> None:
    image = blob([4.0, 4.0, 4.0], np.eye(3))
    values = sitk.GetArrayFromImage(image)
    values[0, 0, 0], values[3, 3, 3] = np.nan, np.inf
    spoiled = sitk.GetImageFromArray(values)
    spoiled.CopyInformation(image)
    grid = upright_grid(reduce(spoiled))
    assert np.isfinite(grid.values).all()
    assert grid.values.max() < 1.1


def test_an_endless_volume_is_cut_to_what_can_be_looked_at() -> None:
    image = sitk.Image(4, 4, 4, sitk.sitkFloat32)
    image.SetSpacing((900, 900, 900))
    assert upright_grid(reduce(image)).values.size <= MAX_VOXELS


@pytest.mark.parametrize("kind", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt32, sitk.sitkFloat64])
def test_every_scalar_type_is_taken(kind: int) -> None:
    image = sitk.Cast(blob([4.0, 4.0, 4.0], np.eye(3)) * 200, kind)
    assert upright_grid(reduce(image)).values.max() > 100
