"""Cut a volume into slices that look like the training slices, and put slices back into a volume."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions, resample_on_grid
from BSAFusionLib.network.metadata import SIDE_STEP_PX

_LEFT, _BACK, _DOWN = np.array((1, 0, 0)), np.array((0, 1, 0)), np.array((0, 0, -1))  # LPS
# Where rows and columns run to, by the direction across the slices: x, y or z.
_ROWS_AND_COLUMNS = (_DOWN, _BACK), (_DOWN, _LEFT), (_BACK, _LEFT)
ROUNDING = 1e-6  # of a step, by which a length may seem too long


def slice_axis(fixed: sitk.Image, axis: str = "auto") -> int:
    """Return the index axis to cut slices across.

    Args:
        fixed: The fixed volume.
        axis: "i", "j" or "k"; "auto" is the one closest to superior-inferior.
    """
    if axis != "auto":
        return "ijk".index(axis)
    return int(np.abs(directions(fixed)[2]).argmax())


def other_axes(axis: int) -> list[int]:
    """Return the two index axes beside one."""
    return [other for other in range(3) if other != axis]


def slice_grid(fixed: sitk.Image, axis: str = "auto", size: int = 256) -> sitk.Image:
    """Make the grid of the network's slices.

    Pixels are square in mm and just large enough for a whole slice; slice n lies exactly in the fixed volume's slice n.
    Rows and columns run as in the training slices, as nearly as the fixed volume's own axes allow: axial rows to the
    back and columns to the left, sagittal and coronal rows downwards.

    Args:
        fixed: The fixed volume.
        axis: As `slice_axis` takes it.
        size: Side of the slices in pixels.

    Returns:
        An empty image of `size` x `size` pixels by as many slices as the fixed volume has.
    """
    across = slice_axis(fixed, axis)
    axes = directions(fixed)
    row_target, column_target = _ROWS_AND_COLUMNS[int(np.abs(axes[:, across]).argmax())]
    first, second = other_axes(across)
    row, column = max(
        ((first, second), (second, first)),
        key=lambda pair: abs(row_target @ axes[:, pair[0]]) + abs(column_target @ axes[:, pair[1]]),
    )
    down = axes[:, row] * (1 if row_target @ axes[:, row] >= 0 else -1)
    right = axes[:, column] * (1 if column_target @ axes[:, column] >= 0 else -1)

    spacing, count = np.array(fixed.GetSpacing()), np.array(fixed.GetSize())
    pixel_mm = float((spacing * count)[[row, column]].max() / size)
    middle = (count - 1) / 2
    middle[across] = 0
    center = np.array(fixed.TransformContinuousIndexToPhysicalPoint(middle.tolist()))

    grid = sitk.Image(size, size, int(count[across]), sitk.sitkUInt8)
    grid.SetSpacing((pixel_mm, pixel_mm, float(spacing[across])))
    grid.SetDirection(np.stack([right, down, axes[:, across]], axis=1).ravel().tolist())
    grid.SetOrigin((center - (right + down) * pixel_mm * (size - 1) / 2).tolist())
    return grid


def sufficient_size(fixed: sitk.Image, across: int, largest: int) -> int:
    """Return the side in pixels of slices that are as fine as the fixed volume.

    Args:
        fixed: The fixed volume.
        across: The index axis across the slices.
        largest: The largest side.

    Returns:
        A multiple of `SIDE_STEP_PX`, at most `largest`.
    """
    extents, spacings = np.multiply(fixed.GetSize(), fixed.GetSpacing()), fixed.GetSpacing()
    in_plane = other_axes(across)
    needed = max(extents[in_plane]) / min(spacings[axis] for axis in in_plane)
    return min(largest, int(_whole_steps(needed)))


def without_padding(grid: sitk.Image, fixed: sitk.Image) -> sitk.Image:
    """Keep of a grid of slices the rows and columns that the fixed volume reaches.

    Args:
        grid: Of `slice_grid`, its sides multiples of `SIDE_STEP_PX`.
        fixed: The fixed volume.

    Returns:
        The grid, with sides that are multiples of `SIDE_STEP_PX`.
    """
    extents = np.multiply(fixed.GetSize(), fixed.GetSpacing())
    along = np.abs(directions(fixed).T @ directions(grid)[:, :2]).argmax(axis=0)  # the fixed axes of columns and rows
    sides = _whole_steps(extents[along] / grid.GetSpacing()[0])
    left, top = ((np.array(grid.GetSize()[:2]) - sides) // 2).clip(0).tolist()
    width, height = grid.GetWidth(), grid.GetHeight()
    narrow: sitk.Image = grid[left : width - left, top : height - top, :]
    return narrow


def _whole_steps(lengths: np.ndarray) -> np.ndarray:
    """Return the next larger multiples of `SIDE_STEP_PX`."""
    sides: np.ndarray = SIDE_STEP_PX * np.ceil(lengths / SIDE_STEP_PX - ROUNDING).astype(int)
    return sides


def thin_slices(grid: sitk.Image, max_gap: float) -> sitk.Image:
    """Keep every n-th slice of a grid, leaving equal margins at both ends.

    Args:
        grid: Slices across its third axis.
        max_gap: Largest distance between slices, in mm; every slice is kept where they are farther apart.
    """
    step = max(1, int(max_gap // grid.GetSpacing()[2]))
    first = (grid.GetDepth() - 1) % step // 2
    thin: sitk.Image = grid[:, :, first::step]
    return thin


def cut_slices(image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None) -> np.ndarray:
    """Cut the slices of a scalar volume on a grid.

    Args:
        image: The volume.
        grid: Of the slices.
        transform: Grid point to point of `image`, mm, LPS; the identity by default.

    Returns:
        float32 (slice, row, column); 0 outside the volume.
    """
    slices: np.ndarray = sitk.GetArrayFromImage(resample_on_grid(image, grid, transform))
    return slices


def volume_from_slices(slices: np.ndarray, grid: sitk.Image, fixed: sitk.Image) -> sitk.Image:
    """Put slices back into a volume.

    Args:
        slices: (slice, row, column).
        grid: Of the slices.
        fixed: The volume's grid.

    Returns:
        float32 on the fixed volume's grid; 0 outside the slices.
    """
    image = sitk.GetImageFromArray(slices)
    image.CopyInformation(grid)
    return sitk.Resample(image, fixed, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)


def resample_mask(mask: sitk.Image, grid: sitk.Image) -> np.ndarray:
    """Return which voxels of a grid (slice, row, column) lie in a mask."""
    inside: np.ndarray = sitk.GetArrayFromImage(sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor))
    return inside > 0
