"""The layers of the network: Restormer layers for feature maps, Transformer blocks for tokens."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn


def convolution_pair(channels_in: int, channels_out: int) -> nn.Sequential:
    """Make a 1x1 convolution followed by a 3x3 convolution, with no activation between them."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1), nn.Conv2d(channels_out, channels_out, 3, padding=1))


def convolution_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Make a 3x3 convolution, normalization over the image in groups of eight channels, and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.GroupNorm(channels_out // 8, channels_out), nn.ReLU()
    )


def normalize_channels(maps: torch.Tensor) -> torch.Tensor:
    """Scale every channel of (N, C, H, W) to mean 0 and variance 1 over the image.

    `instance_norm` does the same, but rejects maps of one pixel.
    """
    return F.layer_norm(maps, maps.shape[-2:])


class ChannelAttention(nn.Module):
    """Multi-Dconv head transposed attention, MDTA: channels attend to channels.

    Subclasses decide how the products of keys and queries become weights (Zamir et al., Restormer, CVPR 2022).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = convolution_pair(channels, channels)
        self.key = convolution_pair(channels, channels)
        self.value = convolution_pair(channels, channels)
        self.projection = nn.Conv2d(channels, channels, 1)

    def weights(self, key: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """Return the attention (N, C, C), one key channel a row, of keys and queries (N, C, H * W)."""
        raise NotImplementedError

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Add the attended channels to maps (N, C, H, W)."""
        normalized = normalize_channels(maps)
        query, key, value = (
            rearrange(branch(normalized), "n c h w -> n c (h w)") for branch in (self.query, self.key, self.value)
        )
        mixed = self.weights(key, query).transpose(1, 2) @ value
        attended: torch.Tensor = self.projection(rearrange(mixed, "n c (h w) -> n c h w", h=maps.shape[-2]))
        return maps + attended


class MDTA(ChannelAttention):
    """MDTA as in Restormer: keys and queries of unit length, and a softmax for each output channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.temperature = nn.Parameter(torch.ones(1))

    def weights(self, key: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """Return the attention (N, C, C) of keys and queries (N, C, H * W)."""
        products = F.normalize(key, dim=-1) @ F.normalize(query, dim=-1).transpose(1, 2)
        return (products * self.temperature).softmax(dim=1)


class GDFN(nn.Module):
    """Gated-Dconv feed-forward network: one branch gates the other."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.gate = convolution_pair(channels, expansion * channels)
        self.content = convolution_pair(channels, expansion * channels)
        self.projection = nn.Conv2d(expansion * channels, channels, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Add the gated content to maps (N, C, H, W)."""
        normalized = normalize_channels(maps)
        gated: torch.Tensor = self.projection(F.gelu(self.gate(normalized)) * self.content(normalized))
        return maps + gated


class Restormer(nn.Module):
    """A Restormer layer: 1x1 convolution, MDTA, GDFN (method, section 2)."""

    attention_type: ClassVar[type[ChannelAttention]] = MDTA
    expansion: ClassVar[int] = 2

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(channels_in, channels_out, 1)
        self.mdta = self.attention_type(channels_out)
        self.gdfn = GDFN(channels_out, self.expansion)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Transform maps (N, channels_in, H, W) to (N, channels_out, H, W)."""
        transformed: torch.Tensor = self.gdfn(self.mdta(self.entry(maps)))
        return transformed


class Attention(nn.Module):
    """Self-attention over tokens (N, T, width), with dropout in training only."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what tokens (N, T, width) gather from one another, in the same shape."""
        query, key, value = rearrange(self.qkv(tokens), "n t (three h d) -> three n h t d", three=3, h=self.heads)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        projected: torch.Tensor = self.projection(rearrange(mixed, "n h t d -> n t (h d)"))
        return projected


class TransformerBlock(nn.Module):
    """Attention and a multilayer perceptron, each added to its input; both share one norm, as in the released code."""

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Transform tokens (N, T, width)."""
        tokens = tokens + self.attention(self.norm(tokens))
        transformed: torch.Tensor = self.mlp(self.norm(tokens))
        return tokens + transformed


def transformer_layers(block: type[TransformerBlock], width: int, dropout: float = 0.0) -> nn.Sequential:
    """Make two Transformer blocks in a row."""
    return nn.Sequential(*(block(width, dropout=dropout) for _ in range(2)))
