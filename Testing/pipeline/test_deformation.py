"""One field carries a fixed point to its moving point, and says truly how it stretches space."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import (
    compose_field,
    displacement_transform,
    field_from_transform,
    jacobian_determinant,
    limit_length,
    remove_global_scaling,
    resample_through,
)


@pytest.fixture
def affine() -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((1.1, 0.2, 0.0, -0.1, 0.9, 0.15, 0.05, 0.0, 1.2))
    transform.SetCenter((12.0, -20.0, 30.0))
    transform.SetTranslation((3.0, -2.0, 1.0))
    return transform


def test_the_determinant_of_an_affine_map_is_its_matrix_determinant_on_any_grid(grid, affine):
    determinants = sitk.GetArrayFromImage(jacobian_determinant(field_from_transform(affine, grid)))
    expected = np.linalg.det(np.array(affine.GetMatrix()).reshape(3, 3))
    assert determinants[2:-2, 2:-2, 2:-2] == pytest.approx(expected, abs=1e-4)


def test_a_field_that_turns_space_inside_out_has_a_negative_determinant(grid):
    mirror = sitk.AffineTransform(3)
    mirror.SetMatrix((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    assert sitk.GetArrayFromImage(jacobian_determinant(field_from_transform(mirror, grid)))[2:-2, 2:-2, 2:-2].max() < 0


def test_the_composed_field_goes_through_the_field_first_and_then_the_prealignment(grid, affine):
    shift = sitk.TranslationTransform(3, (4.0, 5.0, -6.0))
    rigid = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.3, -0.2, 0.1, (10.0, 0.0, 5.0))
    total = displacement_transform(compose_field(field_from_transform(shift, grid), rigid))
    point = (15.0, -10.0, 20.0)
    assert total.TransformPoint(point) == pytest.approx(rigid.TransformPoint((19.0, -5.0, 14.0)), abs=1e-6)


def test_a_field_loses_its_growth_about_the_head_and_keeps_its_turn_and_shift(grid, affine):
    inside = np.zeros(grid.GetSize()[::-1], bool)
    inside[tuple(slice(count // 4, 3 * count // 4) for count in inside.shape)] = True
    turn = ((0.01, -0.02, 0.015, 1.0), (2.0, 1.0, -3.0), (12.0, -20.0, 30.0))
    turned, grown = sitk.VersorRigid3DTransform(*turn), sitk.Similarity3DTransform(1.05, *turn)
    kept = remove_global_scaling(field_from_transform(grown, grid), inside, np.eye(3))
    expected = sitk.GetArrayFromImage(field_from_transform(turned, grid))
    assert np.abs(sitk.GetArrayFromImage(kept) - expected)[inside].max() < 0.4  # it grew by 5 %, which makes up to 4 mm


def test_vectors_too_long_are_cut_and_the_others_left_alone(grid, affine):
    field = field_from_transform(affine, grid)
    vectors = sitk.GetArrayFromImage(field)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    longest = float(np.median(lengths))
    cut, found = limit_length(field, longest)
    kept = sitk.GetArrayFromImage(cut)
    assert found == pytest.approx(lengths.max())
    np.testing.assert_allclose(kept[lengths[..., 0] < longest], vectors[lengths[..., 0] < longest])
    np.testing.assert_allclose(kept * np.maximum(lengths, longest), vectors * longest, rtol=1e-9)
    assert limit_length(field, found)[0] is field


def test_with_evidence_in_two_directions_the_third_does_not_move(grid, affine):
    inside = np.ones(grid.GetSize()[::-1], bool)
    axes = np.reshape(grid.GetDirection(), (3, 3))
    points = sitk.GetArrayFromImage(
        sitk.PhysicalPointSource(
            sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), axes.ravel()
        )
    )
    seen = axes[:, :2]
    field = sitk.GetImageFromArray(0.03 * (points - points[inside].mean(axis=0)) @ seen @ seen.T, isVector=True)
    field.CopyInformation(grid)
    assert np.abs(sitk.GetArrayFromImage(remove_global_scaling(field, inside, seen))).max() < 1e-9


def test_making_a_transform_of_a_field_leaves_the_field_as_it_was(grid, affine):
    field = field_from_transform(affine, grid)
    displacement_transform(field)
    assert field.GetSize() == grid.GetSize()


def test_registering_keeps_the_pixel_type_and_takes_the_lowest_value_beyond_the_moving_volume(grid):
    moving = sitk.Image((10, 10, 10), sitk.sitkInt16) + 7
    moving[:, :, 0] = -1000
    moving.SetOrigin((12.0, -20.0, 29.0))
    registered = resample_through(moving, grid, sitk.Transform(3, sitk.sitkIdentity))
    assert registered.GetPixelID() == sitk.sitkInt16
    assert set(np.unique(sitk.GetArrayFromImage(registered))) == {-1000, 7}


@pytest.mark.parametrize("interpolator", [sitk.sitkLinear, sitk.sitkBSpline])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
def test_integers_are_rounded_and_not_cut_off(kind, interpolator):
    """Counts as low as a SPECT's, of which a bias of half a unit would be a quarter, and values below zero."""
    lowest = 0 if np.issubdtype(kind, np.unsignedinteger) else -4
    values = np.random.default_rng(0).poisson(2, (70, 14, 16)) + lowest
    volume = sitk.GetImageFromArray(values.astype(kind))
    shift = sitk.TranslationTransform(3, (0.41, 0.33, 0.57))
    registered = resample_through(volume, volume, shift, interpolator)
    exact = sitk.Resample(volume, volume, shift, interpolator, float(lowest), sitk.sitkFloat64)
    expected = np.clip(np.rint(sitk.GetArrayFromImage(exact)), np.iinfo(kind).min, None)
    assert registered.GetPixelID() == volume.GetPixelID()
    assert registered.GetSpacing() == volume.GetSpacing() and registered.GetOrigin() == volume.GetOrigin()
    assert (sitk.GetArrayFromImage(registered) == expected).mean() > 0.999  # but for rounding in float32


def test_what_a_spline_overshoots_is_clipped_to_the_type():
    values = np.zeros((9, 9, 9), np.uint8)
    values[:, :, 4:] = 255
    volume = sitk.GetImageFromArray(values)
    registered = resample_through(volume, volume, sitk.TranslationTransform(3, (0.3, 0.0, 0.0)), sitk.sitkBSpline)
    along = sitk.GetArrayFromImage(registered)[4, 4]
    assert along[:3].max() < 30 and along[5:8].min() > 225


def test_the_largest_integers_of_64_bits_stay():
    volume = sitk.GetImageFromArray(np.full((6, 6, 6), np.iinfo(np.int64).max))
    assert sitk.GetArrayFromImage(resample_through(volume, volume, sitk.Transform())).min() > 9e18


def test_colors_are_rounded_and_stay_colors():
    colors = np.random.default_rng(0).integers(0, 3, (8, 9, 10, 3)).astype(np.uint8)
    volume = sitk.GetImageFromArray(colors, isVector=True)
    shift = sitk.TranslationTransform(3, (0.41, 0.33, 0.57))
    registered = resample_through(volume, volume, shift)
    exact = sitk.GetArrayFromImage(sitk.Resample(volume, volume, shift, sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64))
    assert registered.GetPixelID() == sitk.sitkVectorUInt8
    assert (sitk.GetArrayFromImage(registered) == np.rint(exact)).mean() > 0.999
