"""BSFA, bidirectional stepwise feature alignment: five forward and five reverse steps, coarse to fine."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.mdf_fr import Features, TopDown
from BSAFusionLib.network.warp import EXACT, PUBLISHED, resize, warp

STEP_SCALES = (16, 8, 4, 2, 1)
Fields = list[torch.Tensor]  # a field (N, 2, h, w) a step, in pixels of its own level, coarsest first


def sum_of_steps(fields: Fields, size: tuple[int, int]) -> torch.Tensor:
    """One direction's sum of s_i Up(phi_i) as published, equation (7): (N, 2, *size) in pixels of that size."""
    return sum(resize(field, size, True) * scale for field, scale in zip(fields, STEP_SCALES, strict=True))


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

    def forward(self, fixed: Features, moving: Features) -> tuple[Fields, Fields, list]:
        """Fields of the forward and of the reverse steps; there are no matches in this layout."""
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
        return forward_fields, reverse_fields, []


class LocalCorrelation(torch.autograd.Function):
    """Scalar products of each pixel's vector in `fixed` with those around it in `moving`.

    (N, C, h, w) twice and a radius to (N, (2 radius + 1)^2, h, w), offsets row by row; beyond the border are zeros.
    One offset at a time is multiplied and summed, forwards and backwards, so that no stack of products is kept for the
    gradient: on a CPU that takes a tenth of the time.
    """

    @staticmethod
    def forward(context, fixed: torch.Tensor, moving: torch.Tensor, radius: int) -> torch.Tensor:
        fixed = fixed.contiguous()
        padded = F.pad(moving, [radius] * 4).contiguous()
        context.save_for_backward(fixed, padded)
        context.radius = radius
        count, channels, height, width = fixed.shape
        correlation = fixed.new_empty(count, (2 * radius + 1) ** 2, height, width)
        products = torch.empty_like(fixed[0])
        for fixed_map, moving_map, one in zip(fixed, padded, correlation, strict=True):
            for offset, part in enumerate(one):
                torch.mul(fixed_map, shifted(moving_map, offset, radius), out=products)
                torch.sum(products, dim=0, out=part)
        return correlation

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple:
        fixed, padded = context.saved_tensors
        radius = context.radius
        fixed_gradient, padded_gradient = torch.zeros_like(fixed), torch.zeros_like(padded)
        for index, one in enumerate(gradient.contiguous()):
            for offset, part in enumerate(one):
                fixed_gradient[index].addcmul_(shifted(padded[index], offset, radius), part)
                shifted(padded_gradient[index], offset, radius).addcmul_(fixed[index], part)
        inner = slice(radius, -radius)
        return fixed_gradient, padded_gradient[..., inner, inner], None


def shifted(padded: torch.Tensor, offset: int, radius: int) -> torch.Tensor:
    """The view (..., h, w) of a map padded by `radius`, as it lies at the offset of that number."""
    row, column = divmod(offset, 2 * radius + 1)
    height, width = (side - 2 * radius for side in padded.shape[-2:])
    return padded[..., row : row + height, column : column + width]


def local_correlation(fixed: torch.Tensor, moving: torch.Tensor, radius: int) -> torch.Tensor:
    """Correlation coefficient over the channels of each pixel of `fixed` with those around it in `moving`.

    Each channel's mean over the image is taken off first: what all pixels share says nothing about which are the same.
    """

    def unit(x: torch.Tensor) -> torch.Tensor:
        x = x.float()
        x = x - x.mean(dim=(2, 3), keepdim=True)
        return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + 1e-6)

    return LocalCorrelation.apply(unit(fixed), unit(moving), radius)


def reversed_correlation(correlation: torch.Tensor, radius: int) -> torch.Tensor:
    """The correlation of `moving` with what lies around it in `fixed`: the same products, found at other places."""
    planes = F.pad(correlation, [radius] * 4).unbind(dim=1)  # unbound once: indexing each would cost a gradient each
    return torch.stack([shifted(plane, offset, radius) for offset, plane in enumerate(reversed(planes))], dim=1)


class Match(NamedTuple):
    """Where a step takes each pixel's partner to be: log-probabilities over the offsets, row by row."""

    pixels: torch.Tensor  # (N, (2 radius + 1)^2, h, w), of the pixel alone
    neighbourhoods: torch.Tensor  # likewise, of all pixels around it together; at the finest level every other one


class CorrelationStep(nn.Module):
    """One forward or reverse step of the exact layout: match, gather the evidence, smooth it by how sure it is.

    Each pixel's correlation is read as a distribution over offsets; those of a neighbourhood are multiplied, since
    they vote on nearly the same displacement, and an edge knows only the one across it; a learnt prior of the offsets
    joins in. Mean and variance of the product go, with the features, through two convolutions that mend the mean and
    weigh it. A normalised convolution with a near and a far Gaussian, and a pull towards no displacement, then fills in
    what no edge tells: the displacements are known to be smooth.
    """

    width = 64

    def __init__(self, channels: int, radius: int, sigma: float, halves: bool, with_stream: bool):
        super().__init__()
        self.halves = halves  # answer on every other pixel: the field is smooth, and the layers cost a quarter
        self.sigma = sigma  # of the near Gaussian, in pixels of the answer; the far one's is four times that
        offset = torch.arange(-radius, radius + 1, dtype=torch.float32)
        rows, columns = torch.meshgrid(offset, offset, indexing="ij")
        self.register_buffer("offsets", torch.stack([columns.flatten(), rows.flatten()]), persistent=False)
        # Logarithms, so that what they stand for stays above zero.
        self.sharpness = nn.Parameter(torch.tensor(2.3))
        self.agreement = nn.Parameter(torch.tensor(1.5))
        self.offset_prior = nn.Parameter(-self.offsets.square().sum(dim=0) / 2)
        self.far = nn.Parameter(torch.tensor(-2.0))
        self.pull = nn.Parameter(torch.tensor(-3.0))
        channels_in = (2 * radius + 1) ** 2 + 2 * channels + 3 + (self.width if with_stream else 0)
        self.joining = nn.Sequential(
            nn.Conv2d(channels_in, self.width, 1),
            nn.ReLU(),
            nn.Conv2d(self.width, self.width, 3, padding=1),
            nn.ReLU(),
        )
        self.features = nn.Sequential(nn.Conv2d(self.width, self.width, 3, padding=1), nn.ReLU())
        self.answer = nn.Conv2d(self.width, 3, 3, padding=1)
        # Starting as the plain mean keeps the first updates about matching, not about undoing a random field.
        nn.init.normal_(self.answer.weight, std=1e-3)
        nn.init.zeros_(self.answer.bias)

    def forward(
        self, correlation: torch.Tensor, own: torch.Tensor, other: torch.Tensor, stream: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, Match]:
        """The step's field (N, 2, h, w) in pixels of its level, its stream for the next step, and its match."""
        own, other = (F.avg_pool2d(x, 2) if self.halves else x for x in (own, other))
        # Distributions, and fields that are summed over five steps, are float32 even where layers are not.
        with torch.autocast(correlation.device.type, enabled=False):
            match = self.match(correlation.float())
            probability = match.neighbourhoods.exp()
            mean = torch.einsum("nkhw,ck->nchw", probability, self.offsets)
            square = torch.einsum("nkhw,k->nhw", probability, self.offsets.square().sum(dim=0))[:, None]
            variance = (square - mean.square().sum(dim=1, keepdim=True)).clamp(min=0)
        joined = [probability, own, other, mean, variance.log1p()]
        joined += [resize(stream[0], own.shape[-2:])] if stream else []
        x = self.joining(torch.cat(joined, dim=1))
        x = x + self.features(x)
        mended, weight = self.answer(x).float().split([2, 1], dim=1)
        with torch.autocast(correlation.device.type, enabled=False):
            # Half of the way each: the other direction's step goes the other half.
            field = self.smooth(0.5 * (mean + mended), weight.clamp(-6, 6).exp() / (variance + 0.1))
        return (double(field, align_corners=False) if self.halves else field), x, match

    def match(self, correlation: torch.Tensor) -> Match:
        """What the correlation (N, (2 radius + 1)^2, h, w) says of each pixel, and of its surroundings."""
        pixels = (correlation * self.sharpness.exp()).log_softmax(dim=1)
        gathered = F.avg_pool2d(pixels, 2) if self.halves else pixels
        gathered = F.avg_pool2d(gathered, 3, stride=1, padding=1)
        prior = self.offset_prior[:, None, None]
        return Match(pixels, (gathered * self.agreement.exp() + prior).log_softmax(dim=1))

    def smooth(self, field: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Normalised convolution (Knutsson and Westin, CVPR 1993) of a field (N, 2, h, w), weights (N, 1, h, w)."""
        weighted = torch.cat([field * weight, weight], dim=1)
        sums = gaussian(weighted, self.sigma) + self.far.exp() * gaussian(weighted, 4 * self.sigma)
        return sums[:, :2] / (sums[:, 2:] + self.pull.exp())


def gaussian(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian smoothing of (N, C, h, w), sigma in pixels, cut at two sigma, zeros beyond the border."""
    reach = math.ceil(2 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(image.dtype).expand(image.shape[1], 1, -1)
    image = F.conv2d(image, kernel[:, :, None], padding=(0, reach), groups=len(kernel))
    return F.conv2d(image, kernel[..., None], padding=(reach, 0), groups=len(kernel))


class CorrelationBSFA(nn.Module):
    """The exact layout: each level's own features, warped once by the sum of the steps so far, and their correlation.

    The path-independence of equations (6) and (7) is kept: forward steps move A's features, reverse steps move B's,
    and the composed field is the difference of the two sums. The finest level is stepped on twice, since what a
    neighbourhood agrees on is sharper once it has been brought together.
    """

    levels = (0, 1, 2, 3, 3)  # of the matched maps, coarsest first
    radii = (1, 2, 3, 3, 2)
    sigmas = (0.7, 0.8, 1.5, 1.5, 1.5)
    halves = (False, False, False, True, True)

    def __init__(self, encoder_widths: tuple[int, ...]):
        super().__init__()
        self.top_down = TopDown(encoder_widths)

        def steps() -> nn.ModuleList:
            return nn.ModuleList(
                CorrelationStep(TopDown.widths[level], radius, sigma, halves, with_stream=index > 0)
                for index, (level, radius, sigma, halves) in enumerate(
                    zip(self.levels, self.radii, self.sigmas, self.halves, strict=True)
                )
            )

        self.forward_steps = steps()
        self.reverse_steps = steps()

    def forward(self, fixed: Features, moving: Features) -> tuple[Fields, Fields, list[tuple[Match, Match]]]:
        """Fields of the forward and of the reverse steps, and the matches of both (reverse, forward) a step."""
        fixed_maps, moving_maps = self.top_down(fixed), self.top_down(moving)
        fixed_stream: list[torch.Tensor] = []
        moving_stream: list[torch.Tensor] = []
        forward_fields: Fields = []
        reverse_fields: Fields = []
        matches = []
        for step, (level, radius) in enumerate(zip(self.levels, self.radii, strict=True)):
            fixed_map, moving_map = fixed_maps[level], moving_maps[level]
            if step > 0:
                size = fixed_map.shape[-2:]
                fixed_map = warp(fixed_map, sum_so_far(forward_fields, size), EXACT)
                moving_map = warp(moving_map, sum_so_far(reverse_fields, size), EXACT)
            correlation = local_correlation(fixed_map, moving_map, radius)
            reverse_field, moving_next, reverse_match = self.reverse_steps[step](
                correlation, moving_map, fixed_map, moving_stream
            )
            forward_field, fixed_next, forward_match = self.forward_steps[step](
                reversed_correlation(correlation, radius), fixed_map, moving_map, fixed_stream
            )
            fixed_stream, moving_stream = [fixed_next], [moving_next]
            forward_fields.append(forward_field)
            reverse_fields.append(reverse_field)
            matches.append((reverse_match, forward_match))
        return forward_fields, reverse_fields, matches


def sum_so_far(fields: Fields, size: tuple[int, int]) -> torch.Tensor:
    """One direction's sum of Up(phi_i) (N, 2, *size), equation (7), in pixels of that size; Up goes level by level."""
    total = fields[0]
    for field in fields[1:]:
        total = enlarged(total, field.shape[-2:]) + field
    return enlarged(total, size)


def enlarged(field: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A field brought to a larger grid, bilinear, in pixels of that grid."""
    return resize(field, size) * (size[-1] / field.shape[-1])
