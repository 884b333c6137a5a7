"""A volume is cut into slices like the training slices, and slices return to their place in it."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.pipeline.slicing import (
    cut_slices,
    slice_axis,
    slice_grid,
    sufficient_size,
    thin_slices,
    volume_from_slices,
    without_padding,
)

left, back, up = np.eye(3)
axes = ("i", "j", "k")


def directions(image: sitk.Image) -> np.ndarray:
    return np.array(image.GetDirection()).reshape(3, 3)


@pytest.mark.parametrize("axis", axes)
def test_slices_run_as_the_training_slices_do(grid, axis):
    right, down, across = directions(slice_grid(grid, axis)).T
    if np.abs(across).argmax() == 2:
        assert down @ back > 0.7
        assert right @ left > 0.7
    else:
        assert down @ -up > 0.7
        assert right @ (back if np.abs(across).argmax() == 0 else left) > 0.7


def test_slices_are_cut_from_bottom_to_top_by_default(grid):
    axis = slice_axis(grid)
    assert np.abs(directions(grid)[:, axis] @ up) == np.abs(directions(grid)[2]).max()
    assert [slice_axis(grid, name) for name in axes] == [0, 1, 2]


@pytest.mark.parametrize("axis", axes)
def test_a_slice_of_the_network_lies_in_the_same_slice_of_the_volume(grid, axis):
    slices = slice_grid(grid, axis, 64)
    across = axes.index(axis)
    assert slices.GetSize()[2] == grid.GetSize()[across]
    for number in (0, slices.GetSize()[2] - 1):
        point = slices.TransformIndexToPhysicalPoint((10, 40, number))
        assert grid.TransformPhysicalPointToContinuousIndex(point)[across] == pytest.approx(number, abs=1e-6)


@pytest.mark.parametrize("axis", axes)
def test_what_is_round_in_space_is_round_in_a_slice_whatever_the_voxels(grid, axis):
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat32, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    reach = 0.3 * min(np.array(grid.GetSize()) * grid.GetSpacing())
    radius = np.linalg.norm(sitk.GetArrayFromImage(source) - (12.0, -20.0, 30.0), axis=-1)
    ball = sitk.GetImageFromArray(np.clip((reach - radius) / (0.1 * reach), 0, 1).astype(np.float32))
    ball.CopyInformation(grid)
    slices_grid = slice_grid(grid, axis, 128)
    disc = cut_slices(ball, slices_grid)[grid.GetSize()[axes.index(axis)] // 2] > 0.5
    height, width = np.any(disc, axis=1).sum(), np.any(disc, axis=0).sum()
    pixel = slices_grid.GetSpacing()[0]
    assert height * pixel == pytest.approx(1.9 * reach, rel=0.1)
    assert width * pixel == pytest.approx(1.9 * reach, rel=0.1)


def test_slices_put_back_are_the_volume_again(grid, head):
    volume = head(grid, "mri")
    slices_grid = slice_grid(volume, size=256)
    back_again = sitk.GetArrayFromImage(volume_from_slices(cut_slices(volume, slices_grid), slices_grid, volume))
    # Interpolated twice, on pixels that are at most as large as the voxels or nearly so.
    assert np.abs(back_again - sitk.GetArrayFromImage(volume)).mean() < 2.5  # of 220


@pytest.mark.parametrize(("max_gap", "step"), [(1.0, 1), (9.9, 1), (10.0, 2), (16.0, 3)])
def test_thinned_slices_are_some_of_the_slices_with_as_many_left_out_at_either_end(max_gap, step):
    slices = sitk.Image(8, 8, 15, sitk.sitkUInt8)
    slices.SetSpacing((1.0, 1.0, 5.0))
    thin = thin_slices(slices, max_gap)
    assert thin.GetSpacing()[2] == 5.0 * step
    first = slices.TransformPhysicalPointToIndex(thin.GetOrigin())[2]
    last = first + step * (thin.GetDepth() - 1)
    assert abs(first - (14 - last)) <= 1
    assert last <= 14


@pytest.mark.parametrize("axis", axes)
def test_slices_need_no_more_pixels_than_the_volume_has_voxels(grid, axis):
    across = axes.index(axis)
    side = sufficient_size(grid, across, 256)
    in_plane = [spacing for n, spacing in enumerate(grid.GetSpacing()) if n != across]
    assert side % 16 == 0
    assert slice_grid(grid, axis, side).GetSpacing()[0] <= min(in_plane)
    assert slice_grid(grid, axis, side - 16).GetSpacing()[0] > min(in_plane)
    assert sufficient_size(grid, across, 48) == 48


@pytest.mark.parametrize("axis", axes)
@pytest.mark.parametrize("side", [48, 64, 256])
def test_without_padding_slices_still_hold_the_whole_volume(grid, axis, side):
    whole = slice_grid(grid, axis, side)
    narrow = without_padding(whole, grid)
    assert narrow.GetSpacing() == whole.GetSpacing()
    assert narrow.GetSize()[2] == whole.GetSize()[2]
    assert all(count % 16 == 0 for count in narrow.GetSize()[:2])
    extents = np.multiply(grid.GetSize(), grid.GetSpacing())
    in_plane = sorted(extent for n, extent in enumerate(extents) if n != axes.index(axis))
    held = sorted(np.multiply(narrow.GetSize(), narrow.GetSpacing())[:2])
    for extent, length in zip(in_plane, held, strict=True):
        assert extent - 1e-6 <= length < extent + 16 * whole.GetSpacing()[0] + 1e-6
    middles = [
        image.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in image.GetSize()])
        for image in (whole, narrow)
    ]
    assert middles[0] == pytest.approx(middles[1])


def test_a_lattice_spans_the_volume_as_coarsely_as_it_may_and_never_finer_than_the_voxels(grid):
    lattice = lattice_over(grid, (9.0, 9.0, 3.0))
    assert all(
        spacing <= max(most, own) + 1e-9
        for spacing, most, own in zip(lattice.GetSpacing(), (9.0, 9.0, 3.0), grid.GetSpacing(), strict=True)
    )
    last = lattice.TransformIndexToPhysicalPoint([count - 1 for count in lattice.GetSize()])
    assert lattice.GetOrigin() == grid.GetOrigin()
    assert last == pytest.approx(grid.TransformIndexToPhysicalPoint([count - 1 for count in grid.GetSize()]))
    assert lattice_over(grid, (0.1, 0.1, 0.1)).IsSameImageGeometryAs(grid)
