"""BSFA, bidirectional stepwise feature alignment: five forward and five reverse steps, coarse to fine."""

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.estimate import Estimate, invert
from BSAFusionLib.network.matching import Match, Matcher, Moments, offsets
from BSAFusionLib.network.mdf_fr import Features, TopDown
from BSAFusionLib.network.sampling import enlarge, resize, warp
from BSAFusionLib.network.smooth_prior import SmoothPrior

Fields = list[torch.Tensor]  # a field (N, 2, h, w) a step, in pixels of its own level, coarsest first

# Index of the step whose match judges alignment: it does so best, at an eighth of the slices' resolution.
AGREEMENT_STEP = 2
COVARIANCE_FLOOR_PX2 = 0.02  # added to a match's variances, so that the precision stays finite


class Steps(NamedTuple):
    """The results of all steps.

    Attributes:
        forward_fields: phi_A, fields that move A's features.
        reverse_fields: phi_B, fields that move B's features.
        matches: One a pair of steps; none in the published layout.
        evidence: The last step's estimate of the whole displacement, before smoothing, in pixels of the registered
            slices; none in the published layout.
    """

    forward_fields: Fields
    reverse_fields: Fields
    matches: tuple[Match, ...] = ()
    evidence: Estimate | None = None


def sum_of_fields(fields: Fields, size: tuple[int, int]) -> torch.Tensor:
    """Sum one direction's fields, equation (7), enlarging the sum level by level.

    Args:
        fields: In pixels of their levels, coarsest first.
        size: Height and width of the result.

    Returns:
        (N, 2, *size) in pixels of that size.
    """
    total = fields[0]
    for field in fields[1:]:
        total = enlarge(total, image_size(field)) + field
    return enlarge(total, size)


def image_size(maps: torch.Tensor) -> tuple[int, int]:
    """Return the height and width of maps (..., H, W)."""
    return maps.shape[-2], maps.shape[-1]


class CorrelationStep(nn.Module):
    """One forward or reverse step: estimates the remaining displacement from a match.

    Mean and covariance of the match go, with the features, through two convolutions that correct the mean and weigh
    it. An edge is so precise across itself and imprecise along itself.
    """

    width = 64

    def __init__(self, channels: int, radius: int, with_stream: bool) -> None:
        super().__init__()
        channels_in = (2 * radius) ** 2 + 2 * channels + 3 + (self.width if with_stream else 0)
        self.joining = nn.Sequential(
            nn.Conv2d(channels_in, self.width, 1),
            nn.ReLU(),
            nn.Conv2d(self.width, self.width, 3, padding=1),
            nn.ReLU(),
        )
        self.features: nn.Module = nn.Sequential(nn.Conv2d(self.width, self.width, 3, padding=1), nn.ReLU())
        answer = nn.Conv2d(self.width, 3, 3, padding=1)
        # Starting as the plain mean keeps the first updates about matching, not about undoing a random field.
        nn.init.normal_(answer.weight, std=1e-3)
        assert answer.bias is not None
        nn.init.zeros_(answer.bias)
        self.answer: nn.Module = answer
        # Neighbors estimate nearly the same, so each counts little by itself.
        self.weight = nn.Parameter(torch.tensor(-2.5))  # a logarithm, as in the matcher

    def forward(
        self, moments: Moments, own: torch.Tensor, other: torch.Tensor, stream: torch.Tensor | None
    ) -> tuple[Estimate, torch.Tensor]:
        """Estimate the displacement from A's map to B's.

        Args:
            moments: Of the match between both maps.
            own: (N, C, h, w), the map that this direction moves, with the pixels of the match.
            other: (N, C, h, w).
            stream: (N, 64, h', w') from this direction's step before; None in the first step.

        Returns:
            The estimate in pixels of the level, and the stream for the next step.
        """
        probability, mean, covariance = moments
        variance = covariance[:, :2].sum(dim=1, keepdim=True).clamp(min=0)
        inputs = [probability, own, other, mean, variance.log1p()]
        inputs += [] if stream is None else [resize(stream, image_size(own))]
        features = self.join(inputs)
        features = features + self.features(features)
        correction, weight = self.answer(features).float().split([2, 1], dim=1)
        # Fields that are summed over five steps are float32 even where layers are not.
        with torch.autocast(own.device.type, enabled=False):
            floor = covariance.new_tensor([COVARIANCE_FLOOR_PX2, COVARIANCE_FLOOR_PX2, 0.0])[:, None, None]
            precision = (weight.clamp(-6, 6) + self.weight).exp() * invert(covariance + floor)
            return Estimate(mean + correction, precision), features

    def join(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Join maps (N, C, h, w) to (N, 64, h, w)."""
        joined: torch.Tensor = self.joining(torch.cat(inputs, dim=1))
        return joined


class BSFA(nn.Module):
    """Five pairs of steps: each warps its level's features once by the sum so far, and matches them.

    The path-independence of equations (6) and (7) is kept: forward steps move A's features, reverse steps move B's,
    and the composed field is the difference of the two sums. The finest level is stepped on twice, since a neighborhood
    agrees more sharply once it has been aligned.
    """

    levels: ClassVar[tuple[int, ...]] = (0, 1, 2, 3, 3)  # of the top-down maps, coarsest first
    radii: ClassVar[tuple[int, ...]] = (2, 2, 4, 4, 3)
    halves: ClassVar[tuple[bool, ...]] = (False, False, False, True, True)

    def __init__(self, encoder_widths: tuple[int, ...]) -> None:
        super().__init__()
        self.top_down = TopDown(encoder_widths)
        widths = [TopDown.widths[level] for level in self.levels]
        self.matchers = nn.ModuleList(map(Matcher, widths, self.radii, self.halves))

        def steps() -> nn.ModuleList:
            with_stream = [index > 0 for index in range(len(widths))]
            return nn.ModuleList(map(CorrelationStep, widths, self.radii, with_stream))

        self.forward_steps = steps()
        self.reverse_steps = steps()
        self.priors = nn.ModuleList(SmoothPrior() for _ in widths)

    def forward(self, fixed: Features, moving: Features) -> Steps:
        """Estimate the fields of all steps, their matches, and the last step's evidence."""
        reverse_fields, matches, evidence = self._run_steps(fixed, moving, with_last_field=True)
        return Steps([-field for field in reverse_fields], reverse_fields, tuple(matches), evidence)

    def evidence(self, fixed: Features, moving: Features) -> Estimate:
        """Return the last step's evidence alone, without smoothing it to a field."""
        return self._run_steps(fixed, moving, with_last_field=False)[2]

    def agreement(self, fixed: Features, moving: Features, weights: torch.Tensor) -> torch.Tensor:
        """Return the mean log-probability, in nats, that each pixel's partner is where the pixel is.

        It is read from the match of step `AGREEMENT_STEP`, on maps that nothing has moved.

        Args:
            fixed: Features of N slices.
            moving: Features of N slices.
            weights: (N, 1, H, W) of the mean over the image.

        Returns:
            (N,).
        """
        matcher, level = self.matchers[AGREEMENT_STEP], self.levels[AGREEMENT_STEP]
        match = matcher(self.top_down(fixed)[level], self.top_down(moving)[level])
        nearest = (offsets(self.radii[AGREEMENT_STEP]).abs() < 1).all(dim=0)
        log_probability = match.pixels[:, nearest].mean(dim=1)
        weights = F.adaptive_avg_pool2d(weights, log_probability.shape[-2:])[:, 0]
        total: torch.Tensor = (log_probability * weights).sum(dim=(1, 2))
        return total / weights.sum(dim=(1, 2)).clamp(min=1e-6)

    def _run_steps(
        self, fixed: Features, moving: Features, with_last_field: bool
    ) -> tuple[Fields, list[Match], Estimate]:
        """Return the fields of the reverse steps, the matches and the last step's evidence.

        Each direction takes half of the remaining displacement, so the forward steps' fields are those of the reverse
        steps with the other sign: A's features meet B's half-way.
        """
        fixed_maps, moving_maps = self.top_down(fixed), self.top_down(moving)
        streams: tuple[torch.Tensor | None, torch.Tensor | None] = None, None
        reverse_fields: Fields = []
        matches = []
        total: torch.Tensor | None = None  # sum of the reverse fields so far, on the last one's grid
        for step, level in enumerate(self.levels):
            fixed_map, moving_map = fixed_maps[level], moving_maps[level]
            size = image_size(fixed_map)
            if total is not None:
                total_here = enlarge(total, size)
                fixed_map, moving_map = warp(fixed_map, -total_here), warp(moving_map, total_here)
            match = self.matchers[step](fixed_map, moving_map)
            if self.halves[step]:  # the field is smooth, and an answer at every other pixel costs a quarter
                fixed_map, moving_map = F.avg_pool2d(fixed_map, 2), F.avg_pool2d(moving_map, 2)
            with torch.autocast(fixed_map.device.type, enabled=False):
                moments = match.moments(self.radii[step])
            ahead, fixed_stream = self.forward_steps[step](moments, fixed_map, moving_map, streams[0])
            back, moving_stream = self.reverse_steps[step](moments, moving_map, fixed_map, streams[1])
            streams = fixed_stream, moving_stream
            matches.append(match)
            with torch.autocast(fixed_map.device.type, enabled=False):
                evidence = self._whole_displacement(step, (ahead, back), total, size)
                if step == len(self.levels) - 1 and not with_last_field:
                    break
                half = self._half_of_the_rest(step, evidence, total, size)
                total = half if total is None else total_here + half
            reverse_fields.append(half)
        return reverse_fields, matches, evidence

    def _whole_displacement(
        self, step: int, estimates: tuple[Estimate, Estimate], total: torch.Tensor | None, size: tuple[int, int]
    ) -> Estimate:
        """Combine both directions' estimates with the fields so far, in pixels of the slice."""
        scale = self._scale(step)
        ahead, back = estimates
        mean = scale * (ahead.mean + back.mean) / 2
        if total is not None:
            mean = _displacement_so_far(total, image_size(mean), scale * size[1]) + mean
        return Estimate(mean, (ahead.precision + back.precision) / (2 * scale**2))

    def _half_of_the_rest(
        self, step: int, evidence: Estimate, total: torch.Tensor | None, size: tuple[int, int]
    ) -> torch.Tensor:
        """Smooth the evidence and return half of the displacement that remains, in pixels of the level."""
        scale = self._scale(step)
        rest: torch.Tensor = self.priors[step](*evidence, (scale * size[0], scale * size[1]), size)
        if total is not None:
            rest = rest - _displacement_so_far(total, size, scale * size[1])
        return rest / (2 * scale)

    def _scale(self, step: int) -> int:
        """Return how many pixels of the slice one pixel of the step's level spans."""
        return int(2 ** (4 - self.levels[step]))


def _displacement_so_far(total: torch.Tensor, grid: tuple[int, int], width: int) -> torch.Tensor:
    """Return the displacement from A to B of both directions' steps, on a grid, in pixels of a slice of that width."""
    return 2 * enlarge(total, grid) * (width / grid[1])
