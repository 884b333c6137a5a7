"""Samples images and feature maps at displaced positions, and brings fields from one grid to another."""

import torch
import torch.nn.functional as F

from BSAFusionLib.network.metadata import SIDE_STEP_PX


def warp(image: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Sample an image at x + field(x): bilinear, with positions clamped to the border.

    Args:
        image: (N, C, H, W).
        field: (N, 2, H, W), displacements in pixels; channel 0 along columns, channel 1 along rows.

    Returns:
        (N, C, H, W) in the type and the memory format of `image`.
    """
    grid = sampling_grid(field)
    sampled = F.grid_sample(image.to(grid.dtype), grid, mode="bilinear", padding_mode="border", align_corners=True)
    last = image.is_contiguous(memory_format=torch.channels_last)
    return sampled.to(image.dtype, memory_format=torch.channels_last if last else torch.preserve_format)


def sampling_grid(field: torch.Tensor) -> torch.Tensor:
    """Return the positions x + field(x) as `grid_sample` takes them, -1 and 1 at the centers of the border pixels.

    Args:
        field: (N, 2, H, W), displacements in pixels; channel 0 along columns.

    Returns:
        (N, H, W, 2) in float32 at least: half precision cannot tell the pixels of a row apart.
    """
    height, width = field.shape[-2:]
    dtype = torch.promote_types(field.dtype, torch.float32)
    columns = torch.arange(width, device=field.device, dtype=dtype)
    rows = torch.arange(height, device=field.device, dtype=dtype)
    x = (columns + field[:, 0]) * (2 / max(width - 1, 1)) - 1
    y = (rows[:, None] + field[:, 1]) * (2 / max(height - 1, 1)) - 1
    return torch.stack([x, y], dim=-1)


def resize(image: torch.Tensor, size: tuple[int, int], align_corners: bool = False) -> torch.Tensor:
    """Resize (N, C, h, w) to (N, C, *size) bilinearly, without scaling the values.

    A field therefore stays in the pixels of the grid that it came on; `enlarge` scales it.
    """
    if image.shape[-2:] == tuple(size):
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=align_corners)


def double(image: torch.Tensor, align_corners: bool) -> torch.Tensor:
    """Resize (N, C, h, w) to twice its height and width, bilinearly."""
    return resize(image, (2 * image.shape[-2], 2 * image.shape[-1]), align_corners)


def enlarge(field: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring a field (N, 2, h, w) to a larger grid (N, 2, *size), bilinearly, in pixels of that grid."""
    return resize(field, size) * (size[-1] / field.shape[-1])


def halve(slices: torch.Tensor) -> torch.Tensor:
    """Downsample slices (N, 1, H, W) by two and extend them to sides that are multiples of 16.

    The extension repeats the last row and column.
    """
    small = F.avg_pool2d(slices, 2)
    return F.pad(small, [0, -small.shape[-1] % SIDE_STEP_PX, 0, -small.shape[-2] % SIDE_STEP_PX], mode="replicate")
