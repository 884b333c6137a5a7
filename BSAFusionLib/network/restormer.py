"""The convolutional layer that encoder and fusion are made of: channel attention and a gated feed-forward."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn


def convolution_pair(channels_in: int, channels_out: int) -> nn.Sequential:
    """1x1 then 3x3 convolution with nothing between."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1), nn.Conv2d(channels_out, channels_out, 3, padding=1))


def each_channel_normalised(x: torch.Tensor) -> torch.Tensor:
    """Every channel to mean 0 and variance 1 over the image, be it of one pixel, which `instance_norm` refuses."""
    return F.layer_norm(x, x.shape[-2:])


class MDTA(nn.Module):
    """Multi-Dconv head transposed attention: channels attend to channels (Zamir et al., Restormer, CVPR 2022).

    The published form takes one softmax over all C * C unscaled products, which saturates; with `normalised` queries
    and keys have unit length over the image and each output channel has its own softmax, as in Restormer.
    """

    def __init__(self, channels: int, normalised: bool):
        super().__init__()
        self.query = convolution_pair(channels, channels)
        self.key = convolution_pair(channels, channels)
        self.value = convolution_pair(channels, channels)
        self.projection = nn.Conv2d(channels, channels, 1)
        self.temperature = nn.Parameter(torch.ones(1)) if normalised else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = each_channel_normalised(x)
        query, key, value = (
            rearrange(branch(normed), "n c h w -> n c (h w)") for branch in (self.query, self.key, self.value)
        )
        if self.temperature is None:
            products = key @ query.transpose(1, 2)
            attention = products.flatten(1).softmax(dim=-1).view_as(products)
        else:
            products = F.normalize(key, dim=-1) @ F.normalize(query, dim=-1).transpose(1, 2)
            attention = (products * self.temperature).softmax(dim=1)
        mixed = attention.transpose(1, 2) @ value
        return x + self.projection(rearrange(mixed, "n c (h w) -> n c h w", h=x.shape[-2]))


class GDFN(nn.Module):
    """Gated-Dconv feed-forward network: one branch gates the other."""

    def __init__(self, channels: int, expansion: int):
        super().__init__()
        self.gate = convolution_pair(channels, expansion * channels)
        self.content = convolution_pair(channels, expansion * channels)
        self.projection = nn.Conv2d(expansion * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = each_channel_normalised(x)
        return x + self.projection(F.gelu(self.gate(normed)) * self.content(normed))


class Restormer(nn.Module):
    """(N, channels_in, H, W) to (N, channels_out, H, W): 1x1 convolution, MDTA, GDFN (method, section 2)."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int = 4, normalised: bool = False):
        super().__init__()
        self.entry = nn.Conv2d(channels_in, channels_out, 1)
        self.mdta = MDTA(channels_out, normalised)
        self.gdfn = GDFN(channels_out, expansion)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gdfn(self.mdta(self.entry(x)))
