"""The fixed volume as a stack of slices that look like the training slices."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions, resample_on_grid

# Where rows and columns run to, by the direction across the slices (LPS: x to the left, y to the back, z up).
_left, _back, _down = np.array((1, 0, 0)), np.array((0, 1, 0)), np.array((0, 0, -1))
_sagittal, _coronal, _axial = (_down, _back), (_down, _left), (_back, _left)


def slice_axis(fixed: sitk.Image, axis: str = "auto") -> int:
    """The index axis to cut across: "i", "j", "k", or for "auto" the one closest to superior-inferior."""
    if axis != "auto":
        return "ijk".index(axis)
    return int(np.abs(directions(fixed)[2]).argmax())


def slice_grid(fixed: sitk.Image, axis: str = "auto", size: int = 256) -> sitk.Image:
    """The grid of the network's slices: an empty image of `size` x `size` pixels by as many slices as `fixed` has.

    Pixels are square in mm and just large enough for a whole slice; slice n lies exactly in the fixed volume's slice n.
    Rows and columns run as in the training slices, as nearly as the fixed volume's own axes allow: axial rows to the
    back and columns to the left, sagittal and coronal rows downwards.
    """
    across = slice_axis(fixed, axis)
    axes = directions(fixed)
    towards_row, towards_column = (_sagittal, _coronal, _axial)[int(np.abs(axes[:, across]).argmax())]
    first, second = (other for other in range(3) if other != across)
    row, column = max(
        ((first, second), (second, first)),
        key=lambda pair: abs(towards_row @ axes[:, pair[0]]) + abs(towards_column @ axes[:, pair[1]]),
    )
    down = axes[:, row] * (1 if towards_row @ axes[:, row] >= 0 else -1)
    right = axes[:, column] * (1 if towards_column @ axes[:, column] >= 0 else -1)

    spacing, count = np.array(fixed.GetSpacing()), np.array(fixed.GetSize())
    pixel = float((spacing * count)[[row, column]].max() / size)
    middle = (count - 1) / 2
    middle[across] = 0
    centre = np.array(fixed.TransformContinuousIndexToPhysicalPoint(middle.tolist()))

    grid = sitk.Image(size, size, int(count[across]), sitk.sitkUInt8)
    grid.SetSpacing((pixel, pixel, float(spacing[across])))
    grid.SetDirection(np.stack([right, down, axes[:, across]], axis=1).ravel().tolist())
    grid.SetOrigin((centre - (right + down) * pixel * (size - 1) / 2).tolist())
    return grid


def fine_enough(fixed: sitk.Image, across: int, most: int) -> int:
    """The side in pixels, a multiple of 16 and `most` at most, of slices that are as fine as the fixed volume is."""
    extents, spacings = np.multiply(fixed.GetSize(), fixed.GetSpacing()), fixed.GetSpacing()
    within = [axis for axis in range(3) if axis != across]
    needed = max(extents[within]) / min(spacings[axis] for axis in within)
    return min(most, 16 * int(np.ceil(round(needed, 6) / 16)))


def thinned(grid: sitk.Image, most_apart: float) -> sitk.Image:
    """Every n-th slice of a grid, as far apart as `most_apart` mm allows, starting so that the ends are left alike."""
    step = max(1, int(most_apart // grid.GetSpacing()[2]))
    first = (grid.GetDepth() - 1) % step // 2
    return grid[:, :, first::step]


def cut(image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None) -> np.ndarray:
    """The slices of a scalar volume on a grid, as `resample_on_grid`, float32 (slice, row, column)."""
    return sitk.GetArrayFromImage(resample_on_grid(image, grid, transform))


def stacked(slices: np.ndarray, grid: sitk.Image, fixed: sitk.Image) -> sitk.Image:
    """Slices (slice, row, column) on a grid, as a volume on the fixed volume's grid (float32)."""
    image = sitk.GetImageFromArray(slices)
    image.CopyInformation(grid)
    return sitk.Resample(image, fixed, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
