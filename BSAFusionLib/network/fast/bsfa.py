"""The inference forms of our layout's matcher and steps, channels last."""

from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from BSAFusionLib.network.bsfa import CorrelationStep
from BSAFusionLib.network.fast.layers import FloatConvolution
from BSAFusionLib.network.matching import Match, Matcher, mean_of_nine

TILE = 4  # pixels along a side; of a tile's products with all candidates around it, up to a third is used
POSITIONS_AT_ONCE = 2**13  # pixels of the maps, so that their products fit a CPU's cache


class FastMatcher(nn.Module):
    """A `Matcher` that correlates all pixels of a tile at once; the arrays between are (N, h, w, C)."""

    def __init__(self, layer: Matcher, dtype: torch.dtype) -> None:
        super().__init__()
        self.radius, self.halves = layer.radius, layer.halves
        self.positions = FloatConvolution.of(layer.positions, dtype)
        self.candidates = FloatConvolution.of(layer.candidates, dtype)
        self.sharpness, self.agreement, self.prior = layer.sharpness, layer.agreement, layer.prior

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> Match:
        """Match maps of A and B, both (N, C, h, w); see `Matcher.forward`."""
        positions = to_unit_length(rearrange(self.positions(fixed), "n c h w -> n h w 1 c"))[..., 0, :]
        candidates = to_unit_length(rearrange(self.candidates(moving), "n (four c) h w -> n h w four c", four=4))
        positions *= self.sharpness.exp()
        on_cpu = positions.device.type == "cpu"
        pairs_at_once = max(1, POSITIONS_AT_ONCE // positions[0, ..., 0].numel()) if on_cpu else len(positions)
        pairs = zip(positions.split(pairs_at_once), candidates.split(pairs_at_once), strict=True)
        correlation = torch.cat([correlate(*pair, self.radius) for pair in pairs])
        pixels = rearrange(correlation.log_softmax(dim=-1), "n h w k -> n k h w")
        gathered = F.avg_pool2d(pixels, 2) if self.halves else pixels
        votes = rearrange(mean_of_nine(gathered), "n k h w -> n h w k").mul_(self.agreement.exp()).add_(self.prior)
        return Match(pixels, rearrange(votes.log_softmax(dim=-1), "n h w k -> n k h w"))


def to_unit_length(vectors: torch.Tensor) -> torch.Tensor:
    """Do what `matching.to_unit_length` does to vectors (N, h, w, of a pixel, C), in place."""
    vectors -= vectors.mean(dim=(1, 2, 3), keepdim=True)
    vectors *= torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).square_().add_(1e-6).rsqrt_()
    return vectors


def correlate(positions: torch.Tensor, candidates: torch.Tensor, radius: int) -> torch.Tensor:
    """Do what `LocalCorrelation` does.

    Args:
        positions: (N, h, w, C).
        candidates: (N, h, w, 4, C), the four that share a pixel, row by row.
        radius: Reach in pixels.

    Returns:
        (N, h, w, (2 radius)^2), in the order of `offsets`.
    """
    count, height, width, channels = positions.shape
    below, beside = -height % TILE, -width % TILE
    own = rearrange(F.pad(positions, [0, 0, 0, beside, 0, below]), "n (i y) (j x) c -> n i j (y x) c", y=TILE, x=TILE)
    # All candidates by half pixels; the first pixel reaches `radius` - 1 of them to the left of its own first one.
    sides = (2 * side + 2 * radius - 2 for side in (height + below, width + beside))
    dense = candidates.new_zeros(count, *sides, channels)
    inside = dense[:, radius - 1 :, radius - 1 :][:, : 2 * height, : 2 * width]
    inside.unflatten(1, (height, 2)).unflatten(3, (width, 2)).copy_(
        rearrange(candidates, "n h w (y x) c -> n h y w x c", y=2)
    )
    side = 2 * (TILE - 1) + 2 * radius
    around = dense.unfold(1, side, 2 * TILE).unfold(2, side, 2 * TILE)  # (N, i, j, C, side, side)
    products = own @ rearrange(around, "n i j c y x -> n i j (y x) c").mT
    products = products.unflatten(-2, (TILE, TILE)).unflatten(-1, (side, side))
    # Of the products of the tile's pixel (y, x), those with the candidates from (2 y, 2 x) on.
    *tiles, y, x, row, column = products.stride()
    reached = products.as_strided(
        (*products.shape[:5], 2 * radius, 2 * radius), (*tiles, y + 2 * row, x + 2 * column, row, column)
    )
    correlation: torch.Tensor = rearrange(reached, "n i j y x row column -> n (i y) (j x) (row column)")
    return correlation[:, :height, :width]


class FastCorrelationStep(CorrelationStep):
    """A `CorrelationStep` with each ReLU in its convolution."""

    def __init__(self, layer: CorrelationStep, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.joining = nn.Sequential(*(FloatConvolution.of(layer.joining[n], dtype, "relu") for n in (0, 2)))
        self.features = FloatConvolution.of(cast(nn.Sequential, layer.features)[0], dtype, "relu")
        self.answer = FloatConvolution.of(layer.answer, dtype)
        self.weight = layer.weight

    def join(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Join maps (N, C, h, w) to (N, 64, h, w), or to (1, 64, h, w) where all of them come to nothing.

        Units that are zero everywhere are the same for every pair, so what follows is computed once for all. Most steps
        of the shipped weights are like that.
        """
        rows = len(inputs[0])
        # `torch.cat` along the channels takes three times as long where these come last.
        beside = [rearrange(each.expand(rows, -1, -1, -1), "n c h w -> n h w c").contiguous() for each in inputs]
        joined: torch.Tensor = self.joining(rearrange(torch.cat(beside, dim=-1), "n h w c -> n c h w"))
        return joined if joined.any() else joined[:1]
