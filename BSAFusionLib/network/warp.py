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
    # Half precision cannot tell the pixels of a row apart, so positions are float32 at the least.
    exact = torch.promote_types(field.dtype, torch.float32)
    columns = torch.arange(width, device=image.device, dtype=exact)
    rows = torch.arange(height, device=image.device, dtype=exact)
    x = (columns + field[:, 0]) * (2 / max(width - 1, 1)) - 1
    y = (rows[:, None] + field[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([x, y], dim=-1)
    aligned, outside = (False, "zeros") if convention == PUBLISHED else (True, "border")
    sampled = F.grid_sample(image.to(exact), grid, mode="bilinear", padding_mode=outside, align_corners=aligned)
    return sampled.to(image.dtype)


def resize(image: torch.Tensor, size: tuple[int, int], align_corners: bool = False) -> torch.Tensor:
    """Bilinear resize of (N, C, h, w) to (N, C, *size); values are not scaled, so a field stays in its own pixels."""
    if image.shape[-2:] == tuple(size):
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=align_corners)
