"""A volume becomes slices like the training slices, and what the network says of them comes back to the right place."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.deformation import resample_through
from BSAFusionLib.network.inference import warp_slices
from BSAFusionLib.slices import cut, field_in_space, slice_axis, slice_grid, stacked

left, back, up = np.eye(3)
axes = ("i", "j", "k")


def directions(image: sitk.Image) -> np.ndarray:
    return np.array(image.GetDirection()).reshape(3, 3)


@pytest.mark.parametrize("axis", axes)
def test_the_networks_field_moves_a_volume_as_warping_the_slices_does(grid, axis, head):
    volume = head(grid, "pet")
    slices_grid = slice_grid(volume, axis, 96)
    slices = cut(volume, slices_grid)
    rows, columns = np.mgrid[:96, :96] / 96 * 2 * np.pi
    field = np.empty((len(slices), 2, 96, 96), np.float32)
    field[:, 0] = 3 * np.sin(rows) + 2
    field[:, 1] = 2 * np.cos(columns) - 3

    warped_slices = stacked(warp_slices(slices[:, None], field)[:, 0], slices_grid, volume)
    warped_volume = resample_through(volume, field_in_space(field, slices_grid, volume), 0.0)
    standing = stacked(slices, slices_grid, volume)

    def arrays(*images):
        return (sitk.GetArrayFromImage(image)[2:-2, 2:-2, 2:-2] for image in images)

    by_slices, by_volume, unmoved = arrays(warped_slices, warped_volume, standing)
    moved = np.abs(by_slices - unmoved).mean()
    assert moved > 2  # of 100: the field does something
    # The slices are interpolated twice more than the volume is, which softens edges but moves nothing.
    assert np.abs(by_slices - by_volume).mean() < 0.2 * moved
    assert np.corrcoef(by_slices.ravel(), by_volume.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("axis", axes)
def test_slices_run_as_the_training_slices_do(grid, axis):
    right, down, across = directions(slice_grid(grid, axis)).T
    if np.abs(across).argmax() == 2:
        assert down @ back > 0.7 and right @ left > 0.7
    else:
        assert down @ -up > 0.7
        assert right @ (back if np.abs(across).argmax() == 0 else left) > 0.7


def test_slices_are_cut_from_bottom_to_top_unless_told_otherwise(grid):
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
    disc = cut(ball, slices_grid)[grid.GetSize()[axes.index(axis)] // 2] > 0.5
    height, width = np.any(disc, axis=1).sum(), np.any(disc, axis=0).sum()
    pixel = slices_grid.GetSpacing()[0]
    assert height * pixel == pytest.approx(1.9 * reach, rel=0.1)
    assert width * pixel == pytest.approx(1.9 * reach, rel=0.1)


def test_slices_put_back_are_the_volume_again(grid, head):
    volume = head(grid, "mri")
    slices_grid = slice_grid(volume, size=256)
    back_again = sitk.GetArrayFromImage(stacked(cut(volume, slices_grid), slices_grid, volume))
    # Interpolated twice, on pixels that are at most as large as the voxels or nearly so.
    assert np.abs(back_again - sitk.GetArrayFromImage(volume)).mean() < 2.5  # of 220
