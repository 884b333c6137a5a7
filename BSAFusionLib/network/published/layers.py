"""The published forms of sampling, Restormer layers and Transformer blocks, oversights included."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.layers import ChannelAttention, Restormer, TransformerBlock
from BSAFusionLib.network.sampling import resize, sampling_grid


def warp_as_published(image: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Sample an image at x + field(x) as the released checkpoints were trained to.

    Positions are normalized as if corners were aligned but read as if they were not, and it is zero outside. A zero
    field therefore zooms slightly about the center (method, section 3).

    Args:
        image: (N, C, H, W).
        field: (N, 2, H, W), displacements in pixels; channel 0 along columns.

    Returns:
        (N, C, H, W) in the type of `image`.
    """
    grid = sampling_grid(field)
    sampled = F.grid_sample(image.to(grid.dtype), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.to(image.dtype)


def warp_at_level(level_map: torch.Tensor, field: torch.Tensor, scale: int) -> torch.Tensor:
    """Sample a level's map (N, C, H/scale, W/scale) through the full-resolution field (N, 2, H, W)."""
    return warp_as_published(level_map, resize(field, (level_map.shape[-2], level_map.shape[-1])) / scale)


class PublishedMDTA(ChannelAttention):
    """MDTA with one softmax over all C * C unscaled products, which saturates."""

    def weights(self, key: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """Return the attention (N, C, C) of keys and queries (N, C, H * W)."""
        products = key @ query.transpose(1, 2)
        return products.flatten(1).softmax(dim=-1).view_as(products)


class PublishedRestormer(Restormer):
    """A Restormer layer with the published attention and expansion."""

    attention_type: ClassVar[type[ChannelAttention]] = PublishedMDTA
    expansion: ClassVar[int] = 4


class PublishedTransformerBlock(TransformerBlock):
    """A Transformer block with the released checkpoints' unused norm, so that they load and save whole."""

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout)
        self.unused_norm = nn.LayerNorm(width)
