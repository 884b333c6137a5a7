"""BSFA in the published layout: every step reads features that come up from the transferred tokens, equation (6)."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.bsfa import Fields, Steps
from BSAFusionLib.network.mdf_fr import Features
from BSAFusionLib.network.published.layers import warp_as_published
from BSAFusionLib.network.sampling import double, resize

STEP_SCALES = (16, 8, 4, 2, 1)  # full-resolution pixels in a pixel of each step's level


def sum_of_steps(fields: Fields, size: tuple[int, int]) -> torch.Tensor:
    """Sum one direction's steps as published: s_i Up(phi_i), equation (7).

    Args:
        fields: A field a step, in pixels of its level, coarsest first.
        size: Height and width of the slices.

    Returns:
        (N, 2, *size) in pixels of the slices.
    """
    scaled = (resize(field, size, True) * scale for field, scale in zip(fields, STEP_SCALES, strict=True))
    return sum(scaled, start=torch.zeros((), dtype=fields[0].dtype, device=fields[0].device))


class CrossAttention(nn.Module):
    """Computes a * softmax over positions of (a * b) + p, with a and b convolved from the two inputs p and q."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.own = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        self.other = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())

    def forward(self, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """Attend from maps p to maps q, both (N, C, h, w)."""
        own, other = self.own(p), self.other(q)
        weights = (own * other).flatten(2).softmax(dim=-1).view_as(own)
        attended: torch.Tensor = own * weights + p
        return attended


class RegistrationLayer(nn.Module):
    """One forward (FRL) or reverse (RRL) step: estimates a field in (-1, 1) pixels of its level."""

    def __init__(self, channels: int, channels_next: int) -> None:
        super().__init__()
        self.joining = nn.Sequential(nn.Conv2d(2 * channels, channels, 1), nn.LeakyReLU())
        self.cross_attention = CrossAttention(channels)
        self.features = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        self.field = nn.Conv2d(channels, 2, 3, padding=1)
        self.next = nn.Conv2d(channels, channels_next, 1)

    def forward(self, stream: torch.Tensor, both: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate the step's field and the next step's stream.

        Args:
            stream: (N, C, h, w), this direction's own stream.
            both: (N, 2C, h, w), the maps of both slices.

        Returns:
            The field (N, 2, h, w) and the stream (N, channels_next, 2h, 2w).
        """
        joined = self.joining(both)
        features = self.cross_attention(stream, joined) + self.cross_attention(joined, stream)
        features = features + self.features(features)
        return torch.tanh(self.field(features)), F.leaky_relu(self.next(double(features, align_corners=True)))


class Upsampler(nn.Module):
    """Up of equation (6): brings warped features one level finer."""

    def __init__(self, channels: int, channels_next: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, channels_next, 1)
        self.convolution = nn.Conv2d(channels_next, channels_next, 3, padding=1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Upsample maps (N, C, h, w) to (N, channels_next, 2h, 2w)."""
        maps = self.convolution(self.narrow(double(maps, align_corners=True)))
        return F.leaky_relu(F.instance_norm(maps))


class PublishedBSFA(nn.Module):
    """Five forward and five reverse steps on the transferred features."""

    widths: ClassVar[tuple[int, ...]] = (256, 64, 32, 16, 8, 1)

    def __init__(self) -> None:
        super().__init__()
        pairs = list(zip(self.widths[:-1], self.widths[1:], strict=True))
        self.forward_steps = nn.ModuleList(RegistrationLayer(*pair) for pair in pairs)
        self.reverse_steps = nn.ModuleList(RegistrationLayer(*pair) for pair in pairs)
        self.upsamplers = nn.ModuleList(Upsampler(*pair) for pair in pairs[:-1])

    def forward(self, fixed: Features, moving: Features) -> Steps:
        """Estimate the fields of all steps; this layout has neither matches nor evidence."""
        fixed_map, moving_map = fixed.transferred, moving.transferred
        fixed_stream, moving_stream = fixed_map, moving_map
        forward_fields, reverse_fields = [], []
        for level, (forward_step, reverse_step) in enumerate(zip(self.forward_steps, self.reverse_steps, strict=True)):
            both = torch.cat([fixed_map, moving_map], dim=1)
            forward_field, fixed_stream = forward_step(fixed_stream, both)
            reverse_field, moving_stream = reverse_step(moving_stream, both)
            forward_fields.append(forward_field)
            reverse_fields.append(reverse_field)
            if level < len(self.upsamplers):
                fixed_map = self.upsamplers[level](warp_as_published(fixed_map, forward_field))
                moving_map = self.upsamplers[level](warp_as_published(moving_map, reverse_field))
        return Steps(forward_fields, reverse_fields)
