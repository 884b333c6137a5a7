"""Matches each pixel of one feature map with the half pixels around it in the other."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class LocalCorrelation(torch.autograd.Function):
    """Scalar products of each pixel's vector with those of the candidates around it.

    One offset at a time is multiplied and summed, forward and backward, so that no stack of products is kept for the
    gradient: on a CPU that takes a tenth of the time.
    """

    @staticmethod
    def forward(context: Any, positions: torch.Tensor, candidates: torch.Tensor, radius: int) -> torch.Tensor:
        """Correlate positions with candidates, which lie twice as densely.

        Args:
            context: PyTorch's, for the gradient.
            positions: (N, C, h, w).
            candidates: (N, 2, 2, C, h, w), the four that share a pixel by row and column; zero beyond the border.
            radius: Reach in pixels.

        Returns:
            (N, (2 radius)^2, h, w), in the order of `offsets`.
        """
        positions = positions.contiguous()
        padded = F.pad(candidates, [radius] * 4).contiguous()
        context.save_for_backward(positions, padded)
        context.radius = radius
        count, _, height, width = positions.shape
        correlation = positions.new_empty(count, (2 * radius) ** 2, height, width)
        products = torch.empty_like(positions[0])
        for own, around, planes in zip(positions, padded, correlation, strict=True):
            for offset, plane in enumerate(planes):
                torch.mul(own, view_at_offset(around, offset, radius), out=products)
                torch.sum(products, dim=0, out=plane)
        return correlation

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return the gradients of positions and candidates."""
        positions, padded = context.saved_tensors
        radius = context.radius
        positions_gradient, padded_gradient = torch.zeros_like(positions), torch.zeros_like(padded)
        for index, planes in enumerate(gradient.contiguous()):
            for offset, plane in enumerate(planes):
                positions_gradient[index].addcmul_(view_at_offset(padded[index], offset, radius), plane)
                view_at_offset(padded_gradient[index], offset, radius).addcmul_(positions[index], plane)
        inner = slice(radius, -radius)
        return positions_gradient, padded_gradient[..., inner, inner], None


def view_at_offset(padded: torch.Tensor, offset: int, radius: int) -> torch.Tensor:
    """Return the candidates at one of the `offsets`, as a view.

    Args:
        padded: Candidates (2, 2, C, h + 2 radius, w + 2 radius).
        offset: Index into `offsets`.
        radius: Reach in pixels.

    Returns:
        (C, h, w).
    """
    row, column = (index - radius + 1 for index in divmod(offset, 2 * radius))
    height, width = (side - 2 * radius for side in padded.shape[-2:])
    top, left = row // 2 + radius, column // 2 + radius
    return padded[row % 2, column % 2, :, top : top + height, left : left + width]


def offsets(radius: int) -> torch.Tensor:
    """Return the offsets (2, (2 radius)^2) in half pixels, row by row; channel 0 along columns.

    Along each axis they run from -radius + 0.5 to radius - 0.5.
    """
    steps = torch.arange(2 * radius) - radius + 0.5
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()])


class Moments(NamedTuple):
    """What a match says of the displacement, in float32.

    Attributes:
        probability: (N, (2 radius)^2, h, w), of each of the `offsets`.
        mean: (N, 2, h, w), in pixels of the level; channel 0 along columns.
        covariance: (N, 3, h, w), as xx, yy, xy.
    """

    probability: torch.Tensor
    mean: torch.Tensor
    covariance: torch.Tensor


class Match(NamedTuple):
    """Log-probabilities over the `offsets` of where each pixel's partner is.

    Attributes:
        pixels: (N, (2 radius)^2, h, w), from the pixel alone.
        neighborhoods: The same, from all pixels around it together; at the finest level at every other pixel.
    """

    pixels: torch.Tensor
    neighborhoods: torch.Tensor

    def moments(self, radius: int) -> Moments:
        """Compute the mean and covariance of the offsets, by the votes of the neighborhoods."""
        probability = self.neighborhoods.exp()
        x, y = offsets(radius).to(probability) / 2  # in pixels of the level
        sums = torch.einsum("nkhw,ck->nchw", probability, torch.stack([x, y, x * x, y * y, x * y]))
        mean, squares = sums.split([2, 3], dim=1)
        products = torch.stack([mean[:, 0] ** 2, mean[:, 1] ** 2, mean[:, 0] * mean[:, 1]], dim=1)
        return Moments(probability, mean, squares - products)


class Matcher(nn.Module):
    """Compares each pixel of A's map with candidates around it in B's, and gathers the votes of its neighborhood.

    The displacements are small beside the levels' pixels, so candidates lie at every half pixel. A pixel's correlation
    with them is read as a distribution over offsets. Those of a neighborhood are multiplied, since its pixels vote on
    nearly the same displacement, and an edge knows only the one across it. A learned prior of the offsets is added.
    """

    width = 24

    def __init__(self, channels: int, radius: int, halves: bool) -> None:
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
        """Match maps of A and B, both (N, C, h, w), in float32 whatever the layers run in."""
        positions = to_unit_length(self.positions(fixed)[:, None, None].float())[:, 0, 0]
        candidates = self.candidates(moving).float().unflatten(1, (2, 2, self.width))
        correlate: Callable[..., torch.Tensor] = LocalCorrelation.apply
        correlation = correlate(positions, to_unit_length(candidates), self.radius)
        pixels = (correlation * self.sharpness.exp()).log_softmax(dim=1)
        gathered = F.avg_pool2d(pixels, 2) if self.halves else pixels
        votes = mean_of_nine(gathered) * self.agreement.exp()
        return Match(pixels, (votes + self.prior[:, None, None]).log_softmax(dim=1))


def mean_of_nine(maps: torch.Tensor) -> torch.Tensor:
    """Average each pixel of (N, C, h, w) with its eight neighbors, with zeros around the border.

    It equals `avg_pool2d` of 3 x 3 pixels, in a tenth of its time.
    """
    maps = F.pad(maps, [1] * 4)
    rows = maps[..., :-2] + maps[..., 1:-1] + maps[..., 2:]
    return (rows[..., :-2, :] + rows[..., 1:-1, :] + rows[..., 2:, :]) / 9


def to_unit_length(vectors: torch.Tensor) -> torch.Tensor:
    """Subtract each channel's mean over the image and scale the vectors to length 1.

    What all pixels share does not help to tell them apart.

    Args:
        vectors: (N, 2, 2, C, h, w) or (N, 1, 1, C, h, w).

    Returns:
        The same shape.
    """
    vectors = vectors - vectors.mean(dim=(1, 2, 4, 5), keepdim=True)
    return vectors * torch.rsqrt(vectors.square().sum(dim=3, keepdim=True) + 1e-6)
