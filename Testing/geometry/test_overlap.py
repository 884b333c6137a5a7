"""Volumes overlap where their boxes do, however thin, turned or bent they are."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.overlap import boxes_overlap
from Testing.phantoms import make_grid

AS_PLACED = sitk.Transform(3, sitk.sitkIdentity)


def box(size: tuple[int, int, int], spacing: float, middle: tuple[float, float, float], turn: float = 0) -> sitk.Image:
    """Return an empty volume about a middle in mm, turned about x by an angle in radians."""
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing([spacing] * 3)
    image.SetDirection((1, 0, 0, 0, np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn)))
    half = image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in size])
    image.SetOrigin(np.subtract(middle, half).tolist())
    return image


@pytest.mark.parametrize("turn", [0.0, 0.3, np.pi / 4])
def test_a_thin_slab_overlaps_wherever_it_lies_in_the_mri(turn: float) -> None:
    mri, slabs = box((256, 256, 256), 1, (0, 0, 0)), np.linspace(-120, 120, 41)
    assert all(boxes_overlap(mri, box((200, 200, 2), 1, (0, 0, at), turn), AS_PLACED) for at in slabs)
    assert all(boxes_overlap(box((200, 200, 2), 1, (0, 0, at), turn), mri, AS_PLACED) for at in slabs)


def test_slabs_that_cross_overlap() -> None:
    one, other = box((200, 200, 2), 1, (0, 0, 3), 0.1), box((200, 200, 2), 1, (0, 0, 0), np.pi / 2 - 0.2)
    assert boxes_overlap(one, other, AS_PLACED)


def test_boxes_side_by_side_do_not_overlap() -> None:
    one = box((100, 100, 100), 1, (0, 0, 0))
    for distance, overlap in ((99.9, True), (100.0, False), (100.1, False)):
        assert boxes_overlap(one, box((100, 100, 100), 1, (0, 0, distance)), AS_PLACED) is overlap
    # Both stand on an edge: their projections on the axes of the first overlap, but the boxes are apart.
    for distance, overlap in ((120, True), (122, False)):
        assert boxes_overlap(one, box((100, 100, 100), 1, (0, 0, distance), np.pi / 4), AS_PLACED) is overlap


def test_edges_that_pass_each_other_are_apart() -> None:
    """No face of either box separates them: only the axis across both edges does."""
    on_edge = box((100, 100, 100), 1, (0, 0, 0), np.pi / 4)
    crosswise = sitk.Euler3DTransform((0, 0, 0), 0, 0, np.pi / 2)
    for distance, overlap in ((141, True), (142, False)):
        crosswise.SetTranslation((0, 0, distance))
        assert boxes_overlap(on_edge, on_edge, crosswise) is overlap


@pytest.mark.parametrize("orientation", ["axis-aligned", "oblique"])
def test_a_transform_counts_from_the_fixed_to_the_moving_volume(orientation: str) -> None:
    grid = make_grid(orientation)
    away = sitk.TranslationTransform(3, (900.0, 0.0, 0.0))
    moved = sitk.Image(grid)
    moved.SetOrigin(away.TransformPoint(grid.GetOrigin()))
    assert boxes_overlap(grid, moved, away) and not boxes_overlap(moved, grid, away)


def test_a_transform_that_bends_counts_where_it_leads() -> None:
    field = np.zeros((30, 30, 30, 3))
    field[..., 2] = np.linspace(0, 60, 30)[:, None, None]  # stretches along z
    vectors = sitk.GetImageFromArray(field, isVector=True)
    vectors.SetSpacing((4.0, 4.0, 4.0))
    bent = sitk.DisplacementFieldTransform(vectors)
    fixed = box((100, 100, 100), 1, (58, 58, 58))
    assert boxes_overlap(fixed, box((100, 100, 2), 1, (58, 58, 150)), bent)
    assert not boxes_overlap(fixed, box((100, 100, 2), 1, (58, 58, 175)), bent)
