"""One field carries a fixed point to its moving point, and says truly how it stretches space."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.deformation import (
    compose,
    displacement_transform,
    jacobian_determinant,
    resample_through,
)


def field_of(grid: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    return sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )


@pytest.fixture
def affine() -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((1.1, 0.2, 0.0, -0.1, 0.9, 0.15, 0.05, 0.0, 1.2))
    transform.SetCenter((12.0, -20.0, 30.0))
    transform.SetTranslation((3.0, -2.0, 1.0))
    return transform


def test_the_determinant_of_an_affine_map_is_its_matrix_determinant_on_any_grid(grid, affine):
    determinants = sitk.GetArrayFromImage(jacobian_determinant(field_of(grid, affine)))
    expected = np.linalg.det(np.array(affine.GetMatrix()).reshape(3, 3))
    assert determinants[2:-2, 2:-2, 2:-2] == pytest.approx(expected, abs=1e-4)


def test_a_field_that_turns_space_inside_out_has_a_negative_determinant(grid):
    mirror = sitk.AffineTransform(3)
    mirror.SetMatrix((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    assert sitk.GetArrayFromImage(jacobian_determinant(field_of(grid, mirror)))[2:-2, 2:-2, 2:-2].max() < 0


def test_the_composed_field_goes_through_the_field_first_and_then_the_prealignment(grid, affine):
    shift = sitk.TranslationTransform(3, (4.0, 5.0, -6.0))
    rigid = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.3, -0.2, 0.1, (10.0, 0.0, 5.0))
    total = displacement_transform(compose(field_of(grid, shift), rigid))
    point = (15.0, -10.0, 20.0)
    assert total.TransformPoint(point) == pytest.approx(rigid.TransformPoint((19.0, -5.0, 14.0)), abs=1e-6)


def test_making_a_transform_of_a_field_leaves_the_field_as_it_was(grid, affine):
    field = field_of(grid, affine)
    displacement_transform(field)
    assert field.GetSize() == grid.GetSize()


def test_registering_keeps_the_pixel_type_and_takes_the_outside_value_beyond_the_moving_volume(grid):
    moving = sitk.Image((10, 10, 10), sitk.sitkInt16) + 7
    moving.SetOrigin((12.0, -20.0, 30.0))
    registered = resample_through(moving, field_of(grid, sitk.Transform(3, sitk.sitkIdentity)), -1000.0)
    assert registered.GetPixelID() == sitk.sitkInt16
    assert set(np.unique(sitk.GetArrayFromImage(registered))) == {-1000, 7}
