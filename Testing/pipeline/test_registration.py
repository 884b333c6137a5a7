"""Slices are registered twice: a few first, then all from where those lead, and both displacements count."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import field_from_transform
from BSAFusionLib.geometry.grids import directions, grid_of_size, voxel_centers
from BSAFusionLib.network.stack import Evidence, Stack
from BSAFusionLib.pipeline.network_input import NetworkInput
from BSAFusionLib.pipeline.registration import register_few, register_from
from BSAFusionLib.pipeline.slicing import slice_grid
from Testing.network.stacks import random_stack

SIDE_PX = 64
PER_MM = 0.004  # by which intensities rise along the columns
INITIAL = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.0, 0.0, (4.0, -3.0, 2.0))


class RampReader:
    """Stands in for a runner: reads how far two ramps along the columns lie apart, and nothing along the rows."""

    def __init__(self) -> None:
        self.stacks: list[Stack] = []

    def register(self, stacks: list[Stack], mirrored: bool = False) -> list[Evidence]:
        self.stacks = stacks
        return [self._read(stack) for stack in stacks]

    def _read(self, stack: Stack) -> Evidence:
        apart = (stack.fixed - stack.moving) / PER_MM / stack.grid.GetSpacing()[0]
        cells = apart.reshape(len(apart), SIDE_PX // 8, 8, SIDE_PX // 8, 8).mean(axis=(2, 4))
        mean = np.stack([cells, np.zeros_like(cells)], axis=1)
        return Evidence(stack.grid, mean, np.ones((len(mean), 3, *mean.shape[2:]), np.float32))


def ramp(grid: sitk.Image, along: np.ndarray, shift: np.ndarray) -> sitk.Image:
    """Make a volume whose value at a point is 0.5 and rises along a direction, as seen from shifted points."""
    values = 0.5 + PER_MM * ((voxel_centers(grid) + shift - voxel_centers(grid).mean(axis=(0, 1, 2))) @ along)
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.CopyInformation(grid)
    return image


@pytest.mark.parametrize("displacement", [np.zeros(3), np.array((3.0, 2.0, -4.0))], ids=["nothing", "much"])
@pytest.mark.parametrize("axis", ["i", "j", "k"])
def test_the_evidence_of_the_second_round_is_of_the_whole_displacement(grid, axis, displacement):
    fixed_grid = grid_of_size(grid, np.array((40, 44, 36)))
    slices = slice_grid(fixed_grid, axis, SIDE_PX)
    columns, rows = directions(slices)[:, 0], directions(slices)[:, 1]
    true = np.array((1.0, -2.5, 1.5))
    moving = ramp(grid_of_size(grid, np.array((60, 60, 60))), columns, np.zeros(3))
    shift = np.array(INITIAL.GetTranslation()) + true
    middle = voxel_centers(moving).mean(axis=(0, 1, 2)) - voxel_centers(fixed_grid).mean(axis=(0, 1, 2))
    fixed = ramp(fixed_grid, columns, shift - middle)
    field = field_from_transform(sitk.TranslationTransform(3, displacement.tolist()), fixed_grid)
    reader = RampReader()
    stack = NetworkInput(fixed, moving).stack(slices, INITIAL)
    (evidence,) = register_from(reader, [stack], moving, field, INITIAL)
    np.testing.assert_array_equal(reader.stacks[0].fixed, stack.fixed)
    pixel_mm = slices.GetSpacing()[0]
    margin = len(evidence.mean) // 4  # further out, the moving volume ends
    inner = evidence.mean[margin:-margin, :, 2:-2, 2:-2]
    assert inner[:, 0] == pytest.approx(true @ columns / pixel_mm, abs=1e-3)
    assert inner[:, 1] == pytest.approx(displacement @ rows / pixel_mm, abs=1e-3)


def test_a_displacement_that_leads_out_of_the_moving_volume_is_not_followed(grid):
    volume = ramp(grid, directions(grid)[:, 0], np.zeros(3))
    slices = slice_grid(grid, "k", SIDE_PX)
    stack = NetworkInput(volume, volume).stack(slices)
    field = field_from_transform(sitk.TranslationTransform(3, (900.0, 0.0, 0.0)), grid)
    reader = RampReader()
    (evidence,) = register_from(reader, [stack], volume, field, sitk.Transform())
    assert reader.stacks[0] is stack
    assert np.abs(evidence.mean).max() == 0


@pytest.mark.parametrize(("count", "kept"), [(1, [0]), (2, [0]), (3, [1]), (5, [0, 3]), (6, [1, 4]), (7, [0, 3, 6])])
def test_of_a_few_slices_those_are_registered_first_that_leave_as_many_at_both_ends(count, kept):
    stack = random_stack(count, SIDE_PX, SIDE_PX)
    reader = RampReader()
    register_few(reader, [stack])
    (few,) = reader.stacks
    np.testing.assert_array_equal(few.moving, stack.moving[kept])
    for place, number in enumerate(kept):
        found = few.grid.TransformIndexToPhysicalPoint((0, 0, place))
        assert found == pytest.approx(stack.grid.TransformIndexToPhysicalPoint((0, 0, number)))


def test_a_stack_of_which_a_few_slices_show_nothing_is_registered_whole():
    stack = random_stack(3, SIDE_PX, SIDE_PX)
    stack.fixed[1] = 0
    reader = RampReader()
    register_few(reader, [stack])
    assert reader.stacks[0] is stack
