"""Transforms the other way: points come back exactly, images nearly so."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.fields import fade_to_zero
from BSAFusionLib.geometry.inverse import carry_points, carry_points_back, invert


@pytest.fixture(scope="module")
def transform() -> sitk.CompositeTransform:
    """A smooth displacement of at most 8 mm on an oblique grid, then a rigid motion, as a result's is."""
    random = np.random.default_rng(0)
    vectors = np.stack([gaussian_filter(random.standard_normal((30, 32, 30)), 4) for _ in range(3)], axis=-1)
    field = sitk.GetImageFromArray(8 * vectors / np.linalg.norm(vectors, axis=-1).max(), isVector=True)
    field.SetSpacing([5, 5, 6])
    turned = sitk.Euler3DTransform()
    turned.SetRotation(0.1, -0.2, 0.3)
    field.SetDirection(turned.GetMatrix())
    field.SetOrigin([-60, -70, -80])
    rigid = sitk.Euler3DTransform()
    rigid.SetRotation(0.3, 0.2, 0.9)
    rigid.SetTranslation([10, -20, 5])
    return sitk.CompositeTransform([rigid, sitk.DisplacementFieldTransform(fade_to_zero(field))])


def test_points_come_back_to_where_they_were(transform: sitk.CompositeTransform) -> None:
    points = np.random.default_rng(1).uniform(-90, 90, (300, 3))
    found, missing = carry_points_back(transform, carry_points(transform, points))
    assert np.abs(found - points).max() < 1e-3
    assert missing.max() < 1e-4


def test_points_without_an_inverse_are_reported() -> None:
    flat = sitk.AffineTransform([1, 0, 0, 0, 1, 0, 0, 0, 1e-300], [0, 0, 0])
    _, missing = carry_points_back(flat, np.array([[1.0, 2.0, 30.0]]))
    assert missing[0] > 1


def test_an_inverted_transform_carries_back(transform: sitk.CompositeTransform) -> None:
    points = np.random.default_rng(2).uniform(-60, 60, (300, 3))
    back = carry_points(invert(transform), carry_points(transform, points))
    errors = np.linalg.norm(back - points, axis=1)
    assert errors.max() < 0.25  # the inverse is interpolated on a grid of 5 mm
    assert errors.mean() < 0.03


def test_a_part_without_an_inverse_is_named() -> None:
    with pytest.raises(FusionError, match="BSplineTransform"):
        invert(sitk.BSplineTransform(3))
