"""The evidence of slices becomes one smooth field in space, in the right place and as certain as they are."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline.posterior import posterior_field
from BSAFusionLib.pipeline.slicing import slice_grid

sigma = (14.0, 14.0, 14.0)


def motion(points: np.ndarray) -> np.ndarray:
    """Return a smooth displacement in mm at points (..., 3), LPS."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 2 * np.stack([np.sin(y / 60), np.cos(z / 65), np.sin(x / 70 + 1)], axis=-1)


def points_of(grid: sitk.Image) -> np.ndarray:
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    return sitk.GetArrayFromImage(source)


def told(volume: sitk.Image, axis: str, precision: float, cells: int = 32) -> Evidence:
    """Make the evidence of slices that estimate the motion exactly."""
    grid = slice_grid(volume, axis)
    coarse = sitk.Image(cells, cells, grid.GetDepth(), sitk.sitkUInt8)
    side = grid.GetWidth() / cells
    coarse.SetSpacing((grid.GetSpacing()[0] * side, grid.GetSpacing()[1] * side, grid.GetSpacing()[2]))
    coarse.SetDirection(grid.GetDirection())
    coarse.SetOrigin(grid.TransformContinuousIndexToPhysicalPoint([(side - 1) / 2] * 2 + [0]))
    in_plane = np.reshape(grid.GetDirection(), (3, 3))[:, :2]
    mean = np.moveaxis(motion(points_of(coarse)) @ in_plane / grid.GetSpacing()[0], -1, 1)
    sure = np.zeros((len(mean), 3, cells, cells), np.float32)
    sure[:, :2] = precision
    return Evidence(grid, mean.astype(np.float32), sure)


def inner(values: np.ndarray) -> np.ndarray:
    """Return the values away from the border, beyond which there is no evidence."""
    margin = [max(1, count // 5) for count in values.shape[:3]]
    return values[tuple(slice(m, -m) for m in margin)]


def test_slices_of_all_axes_that_are_sure_give_the_motion_in_space(grid):
    field = posterior_field([told(grid, axis, 5.0) for axis in "ijk"], grid, sigma)
    assert field.GetSize() == grid.GetSize()
    assert field.GetDirection() == grid.GetDirection()
    errors = np.linalg.norm(inner(sitk.GetArrayFromImage(field) - motion(points_of(grid))), axis=-1)
    assert errors.mean() < 0.1  # of 2.5 mm


@pytest.mark.parametrize("axis", "ijk")
def test_slices_of_one_axis_give_the_motion_within_them_and_none_across(grid, axis):
    field = posterior_field([told(grid, axis, 5.0)], grid, sigma)
    across = np.reshape(grid.GetDirection(), (3, 3))[:, "ijk".index(axis)]
    found, expected = inner(sitk.GetArrayFromImage(field)), inner(motion(points_of(grid)))
    assert np.abs(found @ across).max() < 1e-3
    within = expected - (expected @ across)[..., None] * across
    assert np.linalg.norm(found - within, axis=-1).mean() < 0.1


def test_the_less_sure_the_slices_are_the_less_is_moved(mri):
    lengths = [
        np.linalg.norm(sitk.GetArrayFromImage(posterior_field([told(mri, "k", sure)], mri, sigma)), axis=-1).mean()
        for sure in (0.0, 0.001, 0.01, 1.0)
    ]
    assert lengths[0] == 0.0
    assert lengths == sorted(lengths)


def test_one_slice_that_is_not_looked_at_is_filled_in_from_its_neighbours(mri):
    evidence = told(mri, "k", 5.0)
    evidence.precision[20] = 0.0
    evidence.mean[20] = 100.0
    field = sitk.GetArrayFromImage(posterior_field([evidence], mri, sigma))
    expected = motion(points_of(mri))
    assert np.abs(inner(field - expected)[..., :2]).max() < 0.5


def test_on_a_coarser_grid_the_field_is_the_same(grid):
    evidence = [told(grid, axis, 5.0) for axis in "ijk"]
    coarse = posterior_field(evidence, grid, sigma, lattice_over(grid, (7.0, 7.0, 7.0)))
    assert coarse.GetNumberOfPixels() < grid.GetNumberOfPixels()
    expected = posterior_field(evidence, grid, sigma)
    found = sitk.Resample(coarse, grid, sitk.Transform(), sitk.sitkBSpline)
    assert np.abs(inner(sitk.GetArrayFromImage(found) - sitk.GetArrayFromImage(expected))).max() < 0.02
