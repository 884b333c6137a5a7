"""Means and precisions of displacements, as tensors: what the network's steps and mirrored passes combine."""

from typing import NamedTuple

import torch


class Estimate(NamedTuple):
    """An estimated displacement at every position of a grid over the slices.

    Attributes:
        mean: (N, 2, h, w) in pixels; channel 0 along columns.
        precision: (N, 3, h, w), its inverse covariance (xx, yy, xy) in 1 / pixels^2.
    """

    mean: torch.Tensor
    precision: torch.Tensor


def invert(matrices: torch.Tensor) -> torch.Tensor:
    """Invert symmetric 2 x 2 matrices (N, 3, h, w), given and returned as xx, yy, xy."""
    xx, yy, xy = (matrices[:, n : n + 1] for n in range(3))
    return torch.cat([yy, xx, -xy], dim=1) / (xx * yy - xy.square())


def multiply(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Multiply symmetric 2 x 2 matrices (N, 3, h, w), as xx, yy, xy, with vectors (N, 2, h, w)."""
    (xx, yy, xy), (x, y) = matrices.unbind(1), vectors.unbind(1)
    return torch.stack([xx * x + xy * y, xy * x + yy * y], dim=1)


def combine_mirrored(straight: Estimate, mirrored: Estimate) -> Estimate:
    """Combine the estimates from slices and from their mirror images.

    The mirrored pass adds little that is new, so the precisions are averaged, not added.

    Args:
        straight: From the slices.
        mirrored: From the slices flipped along columns, in that frame.

    Returns:
        The estimate in the frame of the slices.
    """
    signs = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0], device=straight.mean.device)[:, None, None]
    mean = mirrored.mean.flip(-1) * signs[:2]
    precision = mirrored.precision.flip(-1) * signs[2:]
    total = (straight.precision + precision) / 2
    weighted_mean = (multiply(straight.precision, straight.mean) + multiply(precision, mean)) / 2
    return Estimate(multiply(invert(total), weighted_mean), total)
