"""Both volumes as the network sees them, and the slices that it registers."""

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.network.stack import Stack
from BSAFusionLib.pipeline.intensities import Intensities, measure_intensities
from BSAFusionLib.pipeline.slicing import cut_slices, slice_grid, thin_slices
from BSAFusionLib.settings import Settings

MIN_DOWNSAMPLING = 4  # voxels a pixel, from which on saving memory is worth losing detail
MAX_SLICE_GAP_PX = 10.0  # between registered slices; the deformation is far smoother


class NetworkInput(NamedTuple):
    """Both volumes as the network sees them: float32 in [0, 1], each on its own grid, or on a coarser one."""

    fixed: sitk.Image
    moving: sitk.Image

    def stack(self, grid: sitk.Image, transform: sitk.Transform | None = None) -> Stack:
        """Cut the slices of both volumes on a grid.

        Args:
            grid: Of the slices.
            transform: Fixed point to moving point, mm, LPS; the identity by default.
        """
        return Stack(grid, cut_slices(self.fixed, grid), cut_slices(self.moving, grid, transform))

    def registration_grid(self, axis: int, size: int) -> sitk.Image:
        """Make the grid of the slices across an axis that the network registers.

        Args:
            axis: Index axis of the fixed volume.
            size: Side of the slices in pixels.
        """
        grid = slice_grid(self.fixed, "ijk"[axis], size)
        return thin_slices(grid, MAX_SLICE_GAP_PX * grid.GetSpacing()[0])


def make_network_input(
    fixed: sitk.Image, moving: sitk.Image, settings: Settings, size: int
) -> tuple[NetworkInput, Intensities, tuple[str, ...]]:
    """Convert both volumes to what the network sees.

    Args:
        fixed: The MRI.
        moving: The other volume.
        settings: The choices of this run.
        size: Side of the network's slices in pixels.

    Returns:
        The network input, how the moving volume's values became it, and warnings.
    """
    fixed_intensities, _ = measure_intensities(fixed, "mri")
    moving_intensities, warning = measure_intensities(moving, settings.modality, settings.ct_window)
    network_input = NetworkInput(
        fixed_intensities.luminance(fixed, downsampling_factors(fixed, fixed, size)),
        moving_intensities.luminance(moving, downsampling_factors(moving, fixed, size)),
    )
    return network_input, moving_intensities, (warning,) if warning else ()


def downsampling_factors(image: sitk.Image, fixed: sitk.Image, size: int) -> list[int]:
    """Return how many voxels along each index axis become one in the network input.

    Args:
        image: The volume to downsample.
        fixed: The fixed volume.
        size: Side of the network's slices in pixels.

    Returns:
        As many voxels as a pixel of the slices holds, or 1 where that is less than `MIN_DOWNSAMPLING`.
    """
    pixel_mm = min(slice_grid(fixed, axis, size).GetSpacing()[0] for axis in "ijk")
    factors = [int(pixel_mm / spacing) for spacing in image.GetSpacing()]
    return [factor if factor >= MIN_DOWNSAMPLING else 1 for factor in factors]


def input_voxels(image: sitk.Image, fixed: sitk.Image, size: int) -> float:
    """Return about how many voxels of a volume the network input has; the arguments are `downsampling_factors`'."""
    return float(image.GetNumberOfPixels() / np.prod(downsampling_factors(image, fixed, size)))
