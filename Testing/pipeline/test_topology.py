"""The network's part of a deformation folds nowhere, and ends without a jump."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import (
    compose_field,
    compose_transform,
    displacement_transform,
    fade_to_zero,
    jacobian_determinant,
)
from BSAFusionLib.geometry.folds import DETERMINANT_FLOOR, determinant_bounds, remove_folds
from BSAFusionLib.geometry.grids import crop_to_grid
from Testing.phantoms import points_of

quarter = sitk.Euler3DTransform((12.0, -20.0, 30.0), 0.0, 0.2, np.pi / 2, (5.0, 0.0, -8.0))


def bump(grid: sitk.Image, height: float) -> sitk.Image:
    """Make a field (mm) that is largest in the middle of a grid and 2 mm in one direction far from it."""
    width = 6 * max(grid.GetSpacing())
    share = np.exp(-np.square(points_of(grid) / width).sum(axis=-1))[..., None]
    vectors = share * np.array((1.0, -0.5, 0.7)) / 1.32 * height * width + (0.0, 2.0, 0.0)
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(grid)
    return field


def determinants_at(field: sitk.Image, indices: np.ndarray) -> np.ndarray:
    """Return the determinant of x + u(x) at continuous indices (point, 3); u is interpolated linearly, as in ITK."""
    transform = displacement_transform(field)
    points = np.array([field.TransformContinuousIndexToPhysicalPoint(index) for index in indices.tolist()])
    columns = [
        [np.subtract(transform.TransformPoint(p + step), transform.TransformPoint(p - step)) for p in points]
        for step in 1e-3 * np.eye(3)
    ]
    return np.linalg.det(np.moveaxis(columns, 0, -1)) / 2e-3**3


def places_within_cells(field: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Random cells (place, 3) and a continuous index within each."""
    random = np.random.default_rng(0)
    cells = random.integers(0, np.array(field.GetSize()) - 1, (1000, 3))
    return cells, cells + random.uniform(0.05, 0.95, cells.shape)


def test_the_bound_of_a_cell_lies_below_the_determinant_at_every_point_of_it(grid):
    field = bump(grid, 1.6)
    cells, indices = places_within_cells(field)
    bounds = determinant_bounds(field, least=0.99)[tuple(cells.T[::-1])]
    true = determinants_at(field, indices)
    assert (bounds <= true + 1e-6).all()
    assert bounds.min() < 0
    assert np.median(true - bounds) < 0.2  # and not far below


def test_a_field_that_folds_is_damped_where_it_folds_and_there_alone(grid):
    field = fade_to_zero(bump(grid, 1.6))
    damped, change = remove_folds(field)
    before, after = (sitk.GetArrayFromImage(jacobian_determinant(image)) for image in (field, damped))
    assert before.min() < 0 < DETERMINANT_FLOOR - 1e-5 <= after.min()
    assert determinant_bounds(damped).min() >= DETERMINANT_FLOOR
    assert determinants_at(damped, places_within_cells(damped)[1]).min() >= DETERMINANT_FLOOR - 1e-6
    moved = np.linalg.norm(sitk.GetArrayFromImage(damped) - sitk.GetArrayFromImage(field), axis=-1)
    assert moved.max() == pytest.approx(change)
    assert change > 0
    assert np.mean(moved > 0.01) < 0.5
    folds = before <= DETERMINANT_FLOOR
    assert moved[folds].mean() > 3 * moved[~folds].mean()


def test_a_field_that_does_not_fold_is_left_as_it_is(grid):
    field = fade_to_zero(bump(grid, 0.3))
    damped, change = remove_folds(field)
    assert damped is field
    assert change == 0


def test_a_field_of_noise_is_damped_too():
    noise = sitk.GetImageFromArray(np.random.default_rng(0).normal(0, 5, (8, 9, 10, 3)), isVector=True)
    assert determinant_bounds(remove_folds(fade_to_zero(noise))[0]).min() >= DETERMINANT_FLOOR


def test_the_total_transform_folds_nowhere_either_however_it_is_turned(grid):
    damped, _ = remove_folds(fade_to_zero(bump(grid, 1.6)))
    assert (
        sitk.GetArrayFromImage(crop_to_grid(jacobian_determinant(compose_field(damped, quarter)), grid)).min()
        >= DETERMINANT_FLOOR - 1e-4
    )


def test_beyond_its_margin_the_deformation_is_the_initial_transform_alone_and_never_jumps(grid):
    field = bump(grid, 0.3)
    faded = fade_to_zero(field)
    inner = crop_to_grid(faded, grid)
    assert inner.IsSameImageGeometryAs(grid)
    assert np.array_equal(sitk.GetArrayFromImage(inner), sitk.GetArrayFromImage(field))

    total = compose_transform(faded, quarter)
    middle = np.array(grid.GetSize()) / 2
    way = [
        grid.TransformContinuousIndexToPhysicalPoint(p)
        for p in (middle + np.linspace(0, 80, 4001)[:, None] * (1, 0, 0))
    ]
    added = np.array([np.subtract(total.TransformPoint(p), quarter.TransformPoint(p)) for p in way])
    assert np.linalg.norm(added[0]) > 1
    assert not added[-1].any()
    one_step = np.linalg.norm(np.subtract(way[1], way[0]))
    assert np.linalg.norm(np.diff(added, axis=0), axis=-1).max() < one_step
