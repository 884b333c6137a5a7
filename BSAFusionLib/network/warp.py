"""Sampling an image or a map at displaced positions, under either convention."""

import torch
import torch.nn.functional as F

PUBLISHED = "published"
EXACT = "exact"
CONVENTIONS = (PUBLISHED, EXACT)


def warp(image: torch.Tensor, field: torch.Tensor, convention: str = EXACT) -> torch.Tensor:
    """Sample `image` (N, C, H, W) at x + field(x); `field` is (N, 2, H, W) in pixels, channel 0 along columns.

    `exact` is bilinear with coordinates clamped to the border. `published` is what the released checkpoints were
    trained with inside the registration network: positions normalised as if corners were aligned but read as if they
    were not, zeros outside, so that a zero field zooms slightly about the centre (method, section 3).
    """
    height, width = image.shape[-2:]
    columns = torch.arange(width, device=image.device, dtype=field.dtype)
    rows = torch.arange(height, device=image.device, dtype=field.dtype)
    x = (columns + field[:, 0]) * (2 / max(width - 1, 1)) - 1
    y = (rows[:, None] + field[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([x, y], dim=-1).to(image.dtype)
    if convention == PUBLISHED:
        return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def resize(image: torch.Tensor, size: tuple[int, int], align_corners: bool = False) -> torch.Tensor:
    """Bilinear resize of (N, C, h, w) to (N, C, *size); values are not scaled, so a field stays in its own pixels."""
    if image.shape[-2:] == tuple(size):
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=align_corners)
