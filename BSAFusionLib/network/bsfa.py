"""BSFA, bidirectional stepwise feature alignment: five forward and five reverse steps, coarse to fine."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.mdf_fr import Features, TopDown
from BSAFusionLib.network.smooth_prior import SmoothPrior
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

    def forward(self, fixed: Features, moving: Features) -> tuple[Fields, Fields, list, None]:
        """Fields of the forward and of the reverse steps; this layout has no matches and no evidence."""
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
        return forward_fields, reverse_fields, [], None


class LocalCorrelation(torch.autograd.Function):
    """Scalar products of each pixel's vector with those of the candidates around it, which lie twice as densely.

    Positions (N, C, h, w), candidates (N, 2, 2, C, h, w), the four that share a pixel by row and column, and a radius
    to (N, (2 radius)^2, h, w), offsets row by row; beyond the border are zeros. One offset at a time is multiplied and
    summed, forwards and backwards, so that no stack of products is kept for the gradient: on a CPU that takes a tenth
    of the time.
    """

    @staticmethod
    def forward(context, positions: torch.Tensor, candidates: torch.Tensor, radius: int) -> torch.Tensor:
        positions = positions.contiguous()
        padded = F.pad(candidates, [radius] * 4).contiguous()
        context.save_for_backward(positions, padded)
        context.radius = radius
        count, _, height, width = positions.shape
        correlation = positions.new_empty(count, (2 * radius) ** 2, height, width)
        products = torch.empty_like(positions[0])
        for own, around, one in zip(positions, padded, correlation, strict=True):
            for offset, part in enumerate(one):
                torch.mul(own, at_offset(around, offset, radius), out=products)
                torch.sum(products, dim=0, out=part)
        return correlation

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple:
        positions, padded = context.saved_tensors
        radius = context.radius
        positions_gradient, padded_gradient = torch.zeros_like(positions), torch.zeros_like(padded)
        for index, one in enumerate(gradient.contiguous()):
            for offset, part in enumerate(one):
                positions_gradient[index].addcmul_(at_offset(padded[index], offset, radius), part)
                at_offset(padded_gradient[index], offset, radius).addcmul_(positions[index], part)
        inner = slice(radius, -radius)
        return positions_gradient, padded_gradient[..., inner, inner], None


def at_offset(padded: torch.Tensor, offset: int, radius: int) -> torch.Tensor:
    """The view (C, h, w) of candidates (2, 2, C, h + 2 radius, w + 2 radius) that lie at the offset of that number."""
    row, column = (index - radius + 1 for index in divmod(offset, 2 * radius))
    height, width = (side - 2 * radius for side in padded.shape[-2:])
    top, left = row // 2 + radius, column // 2 + radius
    return padded[row % 2, column % 2, :, top : top + height, left : left + width]


def offsets(radius: int) -> torch.Tensor:
    """The offsets (2, (2 radius)^2) in half pixels, channel 0 along columns: -radius + 0.5 ... radius - 0.5."""
    steps = torch.arange(2 * radius) - radius + 0.5
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()])


class Match(NamedTuple):
    """Where each pixel's partner is taken to be: log-probabilities over the `offsets`."""

    pixels: torch.Tensor  # (N, (2 radius)^2, h, w), of the pixel alone
    neighbourhoods: torch.Tensor  # likewise, of all pixels around it together; at the finest level every other one


class Matcher(nn.Module):
    """Compares each pixel of A's map with candidates of B's around it, and gathers what a neighbourhood agrees on.

    The displacements are small beside the levels' pixels, so candidates lie at every half pixel. A pixel's correlation
    with them is read as a distribution over offsets. Those of a neighbourhood are multiplied, since its pixels vote on
    nearly the same displacement, and an edge knows only the one across it; a learnt prior of the offsets joins in.
    """

    width = 24

    def __init__(self, channels: int, radius: int, halves: bool):
        super().__init__()
        self.radius = radius
        self.halves = halves
        self.positions = nn.Conv2d(channels, self.width, 3, padding=1)
        self.candidates = nn.Conv2d(channels, 4 * self.width, 3, padding=1)
        # Logarithms, so that what they stand for stays above zero.
        self.sharpness = nn.Parameter(torch.tensor(2.3))
        self.agreement = nn.Parameter(torch.tensor(1.5))
        self.prior = nn.Parameter(-offsets(radius).square().sum(dim=0) / 8)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> Match:
        """Maps (N, C, h, w) of A and B, in float32 whatever the layers run in."""
        positions = unit_length(self.positions(fixed)[:, None, None].float())[:, 0, 0]
        candidates = self.candidates(moving).float().unflatten(1, (2, 2, self.width))
        correlation = LocalCorrelation.apply(positions, unit_length(candidates), self.radius)
        pixels = (correlation * self.sharpness.exp()).log_softmax(dim=1)
        gathered = F.avg_pool2d(pixels, 2) if self.halves else pixels
        gathered = mean_of_nine(gathered)
        prior = self.prior[:, None, None]
        return Match(pixels, (gathered * self.agreement.exp() + prior).log_softmax(dim=1))


def mean_of_nine(x: torch.Tensor) -> torch.Tensor:
    """Each pixel and its eight neighbours averaged, zeros around the border: `avg_pool2d`, in a tenth of its time."""
    x = F.pad(x, [1] * 4)
    rows = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
    return (rows[..., :-2, :] + rows[..., 1:-1, :] + rows[..., 2:, :]) / 9


def unit_length(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors (N, 2, 2, C, h, w) or (N, 1, 1, C, h, w) less each channel's mean over the image, scaled to length 1.

    What all pixels share says nothing about which are the same.
    """
    vectors = vectors - vectors.mean(dim=(1, 2, 4, 5), keepdim=True)
    return vectors * torch.rsqrt(vectors.square().sum(dim=3, keepdim=True) + 1e-6)


class Evidence(NamedTuple):
    """What one direction of a step tells of the displacement that is left, at every position that it answers on."""

    mean: torch.Tensor  # (N, 2, h, w), in pixels of the level
    precision: torch.Tensor  # (N, 3, h, w), inverse covariance of it: xx, yy, xy


class CorrelationStep(nn.Module):
    """One forward or reverse step of the exact layout: what a match tells of the displacement, and how surely.

    Mean and covariance of the match go, with the features, through two convolutions that mend the mean and weigh it. An
    edge so tells much across itself and little along itself.
    """

    width = 64

    def __init__(self, channels: int, radius: int, halves: bool, with_stream: bool):
        super().__init__()
        self.halves = halves  # answer on every other pixel: the field is smooth, and the layers cost a quarter
        self.register_buffer("offsets", offsets(radius) / 2, persistent=False)  # in pixels of the level
        channels_in = (2 * radius) ** 2 + 2 * channels + 3 + (self.width if with_stream else 0)
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
        # Neighbours tell nearly the same, so each counts little by itself.
        self.weight = nn.Parameter(torch.tensor(-2.5))  # a logarithm, as in the matcher

    def forward(
        self, match: Match, own: torch.Tensor, other: torch.Tensor, stream: list[torch.Tensor]
    ) -> tuple[Evidence, torch.Tensor]:
        """From A's map to B's, and the next step's stream."""
        own, other = (F.avg_pool2d(x, 2) if self.halves else x for x in (own, other))
        # Distributions, and fields that are summed over five steps, are float32 even where layers are not.
        with torch.autocast(own.device.type, enabled=False):
            probability = match.neighbourhoods.exp()
            mean = torch.einsum("nkhw,ck->nchw", probability, self.offsets)
            x, y = self.offsets
            squares = torch.einsum("nkhw,ck->nchw", probability, torch.stack([x * x, y * y, x * y]))
            covariance = squares - torch.stack([mean[:, 0] ** 2, mean[:, 1] ** 2, mean[:, 0] * mean[:, 1]], dim=1)
            variance = covariance[:, :2].sum(dim=1, keepdim=True).clamp(min=0)
        joined = [probability, own, other, mean, variance.log1p()]
        joined += [resize(stream[0], own.shape[-2:])] if stream else []
        x = self.joining(torch.cat(joined, dim=1))
        x = x + self.features(x)
        mended, weight = self.answer(x).float().split([2, 1], dim=1)
        with torch.autocast(own.device.type, enabled=False):
            return Evidence(mean + mended, (weight.clamp(-6, 6) + self.weight).exp() * inverse(covariance)), x


def inverse(covariance: torch.Tensor) -> torch.Tensor:
    """Inverse of symmetric 2 x 2 matrices (N, 3, h, w): xx, yy, xy; a little is added to the diagonal."""
    xx, yy, xy = (covariance + covariance.new_tensor([0.02, 0.02, 0.0])[:, None, None]).split(1, dim=1)
    return torch.cat([yy, xx, -xy], dim=1) / (xx * yy - xy.square())


judging_step = 2  # of the five: its match tells best where slices lie on each other, at an eighth of their resolution


class CorrelationBSFA(nn.Module):
    """The exact layout: each level's own features, warped once by the sum of the steps so far, and their correlation.

    The path-independence of equations (6) and (7) is kept: forward steps move A's features, reverse steps move B's,
    and the composed field is the difference of the two sums. The finest level is stepped on twice, since what a
    neighbourhood agrees on is sharper once it has been brought together.
    """

    levels = (0, 1, 2, 3, 3)  # of the top-down maps, coarsest first
    radii = (2, 2, 4, 4, 3)
    halves = (False, False, False, True, True)

    def __init__(self, encoder_widths: tuple[int, ...]):
        super().__init__()
        self.top_down = TopDown(encoder_widths)
        widths = [TopDown.widths[level] for level in self.levels]
        self.matchers = nn.ModuleList(map(Matcher, widths, self.radii, self.halves))

        def steps() -> nn.ModuleList:
            with_stream = [index > 0 for index in range(len(widths))]
            return nn.ModuleList(map(CorrelationStep, widths, self.radii, self.halves, with_stream))

        self.forward_steps = steps()
        self.reverse_steps = steps()
        self.priors = nn.ModuleList(SmoothPrior() for _ in widths)

    def forward(self, fixed: Features, moving: Features) -> tuple[Fields, Fields, list[Match], Evidence]:
        """Fields of the forward and of the reverse steps, the match that both of a step go by, and what the last step
        tells of the whole displacement, in pixels of the slice."""
        reverse_fields, matches, told = self._steps(fixed, moving, with_last_field=True)
        return [-field for field in reverse_fields], reverse_fields, matches, told

    def told(self, fixed: Features, moving: Features) -> Evidence:
        """What the last step tells, alone."""
        return self._steps(fixed, moving, with_last_field=False)[2]

    def agreement(self, fixed: Features, moving: Features, inside: torch.Tensor) -> torch.Tensor:
        """Mean log-probability (N,), in nats, that a pixel's partner is where the pixel itself is, over `inside`.

        As the third step's matcher has it, from maps that nothing has moved; inside: (N, 1, H, W), weights.
        """
        matcher, level = self.matchers[judging_step], self.levels[judging_step]
        match = matcher(self.top_down(fixed)[level], self.top_down(moving)[level])
        nearest = (offsets(matcher.radius).abs() < 1).all(dim=0)
        log_probability = match.pixels[:, nearest].mean(dim=1)
        weights = F.adaptive_avg_pool2d(inside, log_probability.shape[-2:])[:, 0]
        return (log_probability * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=1e-6)

    def _steps(self, fixed: Features, moving: Features, with_last_field: bool) -> tuple[Fields, list[Match], Evidence]:
        """Fields of the reverse steps, matches, and what the last step tells.

        Each direction takes half of what is left, so the forward steps' fields are those of the reverse steps with the
        other sign: A's features come half the way from the other end.
        """
        fixed_maps, moving_maps = self.top_down(fixed), self.top_down(moving)
        fixed_stream: list[torch.Tensor] = []
        moving_stream: list[torch.Tensor] = []
        reverse_fields: Fields = []
        matches = []
        summed: torch.Tensor | None = None  # the reverse fields so far, `sum_so_far` on the last one's grid
        for step, level in enumerate(self.levels):
            fixed_map, moving_map = fixed_maps[level], moving_maps[level]
            size = fixed_map.shape[-2:]
            if summed is not None:
                back_so_far = enlarged(summed, size)
                fixed_map, moving_map = warp(fixed_map, -back_so_far, EXACT), warp(moving_map, back_so_far, EXACT)
            match = self.matchers[step](fixed_map, moving_map)
            ahead, fixed_next = self.forward_steps[step](match, fixed_map, moving_map, fixed_stream)
            back, moving_next = self.reverse_steps[step](match, moving_map, fixed_map, moving_stream)
            fixed_stream, moving_stream = [fixed_next], [moving_next]
            matches.append(match)
            with torch.autocast(fixed_map.device.type, enabled=False):
                told = self._told(step, ahead, back, summed, size)
                if step == len(self.levels) - 1 and not with_last_field:
                    break
                half = self._half_of_the_rest(step, told, summed, size)
                summed = half if summed is None else back_so_far + half
            reverse_fields.append(half)
        return reverse_fields, matches, told

    def _told(
        self, step: int, ahead: Evidence, back: Evidence, summed: torch.Tensor | None, size: tuple[int, int]
    ) -> Evidence:
        """What both directions tell of the whole displacement, in pixels of the slice."""
        scale = self._scale(step)
        mean = scale * (ahead.mean + back.mean) / 2
        if summed is not None:
            mean = _whole_so_far(summed, mean.shape[-2:], scale * size[1]) + mean
        return Evidence(mean, (ahead.precision + back.precision) / (2 * scale**2))

    def _half_of_the_rest(
        self, step: int, told: Evidence, summed: torch.Tensor | None, size: tuple[int, int]
    ) -> torch.Tensor:
        """Half of what the displacement, given what is told of it, differs from the steps' sum so far."""
        scale = self._scale(step)
        rest = self.priors[step](*told, (scale * size[0], scale * size[1]), size)
        if summed is not None:
            rest = rest - _whole_so_far(summed, size, scale * size[1])
        return rest / (2 * scale)

    def _scale(self, step: int) -> int:
        """Pixels of the slice in one of the step's level."""
        return 2 ** (4 - self.levels[step])


def _whole_so_far(summed: torch.Tensor, grid: tuple[int, int], width: int) -> torch.Tensor:
    """The displacement from A to B that both directions' steps make, on a grid, in pixels of a slice of that width."""
    return 2 * enlarged(summed, grid) * (width / grid[1])


def sum_so_far(fields: Fields, size: tuple[int, int]) -> torch.Tensor:
    """One direction's sum of Up(phi_i) (N, 2, *size), equation (7), in pixels of that size; Up goes level by level."""
    total = fields[0]
    for field in fields[1:]:
        total = enlarged(total, field.shape[-2:]) + field
    return enlarged(total, size)


def enlarged(field: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A field brought to a larger grid, bilinear, in pixels of that grid."""
    return resize(field, size) * (size[-1] / field.shape[-1])
