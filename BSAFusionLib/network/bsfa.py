"""BSFA, bidirectional stepwise feature alignment: five forward and five reverse steps, coarse to fine."""

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.mdf_fr import Features
from BSAFusionLib.network.warp import EXACT, PUBLISHED, resize, warp

STEP_SCALES = (16, 8, 4, 2, 1)
Fields = list[torch.Tensor]  # a field (N, 2, h, w) a step, in pixels of its own level, coarsest first


def compose(forward_fields: Fields, reverse_fields: Fields, size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    """The composed deformation phi (N, 2, H, W) in pixels, equation (7): B sampled at x + phi(x) lies on A."""
    return sum_of_steps(reverse_fields, size, align_corners) - sum_of_steps(forward_fields, size, align_corners)


def sum_of_steps(fields: Fields, size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    """One direction's sum of s_i Up(phi_i), (N, 2, *size) in pixels of that size."""
    return sum(resize(field, size, align_corners) * scale for field, scale in zip(fields, STEP_SCALES, strict=True))


def double(x: torch.Tensor, align_corners: bool) -> torch.Tensor:
    """Twice the height and width, bilinear."""
    return resize(x, (2 * x.shape[-2], 2 * x.shape[-1]), align_corners)


class CrossAttention(nn.Module):
    """a * softmax over positions of (a * b) + p, with a and b convolved from the two inputs p and q."""

    def __init__(self, channels: int):
        super().__init__()
        self.own = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        self.other = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())

    def forward(self, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        own, other = self.own(p), self.other(q)
        weights = (own * other).flatten(2).softmax(dim=-1).view_as(own)
        return own * weights + p


class RegistrationLayer(nn.Module):
    """One forward (FRL) or reverse (RRL) step of the published layout: a field in (-1, 1) pixels of its level."""

    def __init__(self, channels: int, channels_next: int):
        super().__init__()
        self.joining = nn.Sequential(nn.Conv2d(2 * channels, channels, 1), nn.LeakyReLU())
        self.cross_attention = CrossAttention(channels)
        self.features = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        self.field = nn.Conv2d(channels, 2, 3, padding=1)
        self.next = nn.Conv2d(channels, channels_next, 1)

    def forward(self, stream: torch.Tensor, both: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The step's own stream (N, C, h, w) and both maps (N, 2C, h, w) to its field and the next step's stream."""
        joined = self.joining(both)
        x = self.cross_attention(stream, joined) + self.cross_attention(joined, stream)
        x = x + self.features(x)
        return torch.tanh(self.field(x)), F.leaky_relu(self.next(double(x, align_corners=True)))


class Upsampler(nn.Module):
    """Up of equation (6): warped features one level finer."""

    def __init__(self, channels: int, channels_next: int):
        super().__init__()
        self.narrow = nn.Conv2d(channels, channels_next, 1)
        self.convolution = nn.Conv2d(channels_next, channels_next, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.convolution(self.narrow(double(x, align_corners=True)))
        return F.leaky_relu(F.instance_norm(x))


class BSFA(nn.Module):
    """The published layout: every step reads features that came up from the transferred tokens, equation (6)."""

    widths = (256, 64, 32, 16, 8, 1)

    def __init__(self):
        super().__init__()
        pairs = list(zip(self.widths[:-1], self.widths[1:], strict=True))
        self.forward_steps = nn.ModuleList(RegistrationLayer(*pair) for pair in pairs)
        self.reverse_steps = nn.ModuleList(RegistrationLayer(*pair) for pair in pairs)
        self.upsamplers = nn.ModuleList(Upsampler(*pair) for pair in pairs[:-1])

    def forward(self, fixed: Features, moving: Features) -> tuple[Fields, Fields]:
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
                fixed_map = self.upsamplers[level](warp(fixed_map, forward_field, PUBLISHED))
                moving_map = self.upsamplers[level](warp(moving_map, reverse_field, PUBLISHED))
        return forward_fields, reverse_fields


def local_correlation(fixed: torch.Tensor, moving: torch.Tensor, radius: int) -> torch.Tensor:
    """Cosine similarity of each pixel of `fixed` with its neighbours in `moving`: (N, (2 radius + 1)^2, h, w)."""
    fixed, moving = F.normalize(fixed, dim=1), F.normalize(moving, dim=1)
    height, width = fixed.shape[-2:]
    padded = F.pad(moving, [radius] * 4)
    offsets = range(2 * radius + 1)
    return torch.stack(
        [
            (fixed * padded[..., row : row + height, column : column + width]).sum(dim=1)
            for row in offsets
            for column in offsets
        ],
        dim=1,
    )


class CorrelationStep(nn.Module):
    """One forward or reverse step of the exact layout: it sees how the streams correlate around each pixel."""

    def __init__(self, channels: int, channels_next: int, radius: int, with_stream: bool):
        super().__init__()
        channels_in = (2 * radius + 1) ** 2 + (3 if with_stream else 2) * channels
        self.joining = nn.Sequential(nn.Conv2d(channels_in, channels, 3, padding=1), nn.LeakyReLU())
        self.features = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU())
        self.field = nn.Conv2d(channels, 2, 3, padding=1)
        self.next = nn.Conv2d(channels, channels_next, 1) if channels_next else None
        # Starting near the identity keeps the first updates about direction, not about undoing a random field.
        nn.init.normal_(self.field.weight, std=1e-3)
        nn.init.zeros_(self.field.bias)

    def forward(self, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = self.joining(torch.cat(inputs, dim=1))
        x = x + self.features(x)
        stream = F.leaky_relu(self.next(double(x, align_corners=False))) if self.next else None
        # Fields are summed over five levels: in float32 even where the layers run in half precision.
        return torch.tanh(self.field(x).float()), stream


class CorrelationBSFA(nn.Module):
    """The exact layout: each level's own features, warped once by the sum of the steps so far, and their correlation.

    The path-independence of equations (6) and (7) is kept: forward steps move A's features, reverse steps move B's,
    and the composed field is the difference of the two sums.
    """

    radii = (3, 3, 3, 2, 1)

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        following = (*widths[1:], 0)

        def steps() -> nn.ModuleList:
            return nn.ModuleList(
                CorrelationStep(width, width_next, radius, with_stream=level > 0)
                for level, (width, width_next, radius) in enumerate(zip(widths, following, self.radii, strict=True))
            )

        self.forward_steps = steps()
        self.reverse_steps = steps()

    def forward(self, fixed: Features, moving: Features) -> tuple[Fields, Fields]:
        fixed_maps = [fixed.transferred, *reversed(fixed.maps)]
        moving_maps = [moving.transferred, *reversed(moving.maps)]
        fixed_streams: list[torch.Tensor] = []
        moving_streams: list[torch.Tensor] = []
        forward_fields: Fields = []
        reverse_fields: Fields = []
        forward_sum = reverse_sum = None
        for level, radius in enumerate(self.radii):
            fixed_map, moving_map = fixed_maps[level], moving_maps[level]
            if level > 0:
                forward_sum = 2 * double(forward_sum, align_corners=False)
                reverse_sum = 2 * double(reverse_sum, align_corners=False)
                fixed_map = warp(fixed_map, forward_sum, EXACT)
                moving_map = warp(moving_map, reverse_sum, EXACT)
            correlation = local_correlation(fixed_map, moving_map, radius)
            forward_field, fixed_stream = self.forward_steps[level](
                [correlation, fixed_map, moving_map, *fixed_streams]
            )
            reverse_field, moving_stream = self.reverse_steps[level](
                [correlation, moving_map, fixed_map, *moving_streams]
            )
            fixed_streams, moving_streams = [fixed_stream], [moving_stream]
            forward_fields.append(forward_field)
            reverse_fields.append(reverse_field)
            forward_sum = forward_field if forward_sum is None else forward_sum + forward_field
            reverse_sum = reverse_field if reverse_sum is None else reverse_sum + reverse_field
        return forward_fields, reverse_fields
