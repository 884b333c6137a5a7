"""Smooths estimated displacements by Gaussian process regression, as a layer that can be trained."""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from BSAFusionLib.geometry.smooth_modes import cell_centers, smooth_modes, strong_products
from BSAFusionLib.network.estimate import multiply

PRIOR_SIGMA_PX = 8.0  # of the registered slice: the Gaussian that smoothed the noise of the elastic part, as published
LEVER_PX = 64.0  # distance from the center at which the linear part's standard deviation is given


class SmoothPrior(nn.Module):
    """Gaussian process regression of a displacement that is smooth noise plus a small affine motion.

    White noise smoothed by a Gaussian of `PRIOR_SIGMA_PX` has a few strong modes, `smooth_modes`, which are all that
    is solved for. The expected size of either part is learned. (Rasmussen and Williams, Gaussian Processes for Machine
    Learning, 2006, equations 2.8 and 2.11, with explicit basis functions.)
    """

    def __init__(self) -> None:
        super().__init__()
        # Logarithms of standard deviations in pixels: of the elastic part, a shift, and a linear one at the lever.
        self.elastic = nn.Parameter(torch.tensor(0.4))
        self.shift = nn.Parameter(torch.tensor(0.0))
        self.linear = nn.Parameter(torch.tensor(0.4))

    def forward(
        self, mean: torch.Tensor, precision: torch.Tensor, size: tuple[int, int], answer: tuple[int, int]
    ) -> torch.Tensor:
        """Return the posterior mean of the displacement.

        Args:
            mean: (N, 2, h, w), an estimate at each position of a grid over the slice, in pixels of the slice.
            precision: (N, 3, h, w), its inverse covariance (xx, yy, xy) in 1 / pixels^2.
            size: Height and width of the slice in pixels.
            answer: Rows and columns of the grid over the slice to answer on.

        Returns:
            (N, 2, *answer) in pixels of the slice.
        """
        grid = (mean.shape[-2], mean.shape[-1])
        modes = _modes(size, grid, mean.device, mean.dtype)
        xx, yy, xy = precision.flatten(2).unbind(1)

        def information(weights: torch.Tensor) -> torch.Tensor:
            return (modes * weights[..., None]).mT @ modes

        own = self.prior_precision(modes.shape[1]).diag()
        across = information(xy)
        rows = [
            torch.cat([information(xx) + own, across], dim=2),
            torch.cat([across, information(yy) + own], dim=2),
        ]
        weighted_x, weighted_y = multiply(precision, mean).flatten(2).unbind(1)
        coefficients = solve(torch.cat(rows, dim=1), torch.cat([weighted_x @ modes, weighted_y @ modes], dim=1))
        answer_modes = _modes(size, answer, mean.device, mean.dtype)
        smoothed = coefficients.reshape(len(mean), 2, -1) @ answer_modes.mT
        return smoothed.reshape(len(mean), 2, *answer)

    def prior_precision(self, modes: int) -> torch.Tensor:
        """Return 1 / variance that is expected of each of the modes: (modes,)."""
        deviations = torch.stack([self.shift, self.linear, self.linear, *[self.elastic] * (modes - 3)])
        return (-2 * deviations).exp()


def solve(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Solve one linear system for each matrix (N, M, M) and vector (N, M).

    On the CPU they are solved one at a time: several at once on several threads, from M of about 150 on, MKL mixes up
    the pivots and raises, hangs, or answers wrongly (PyTorch issue 142815).
    """
    if matrices.device.type == "cpu":
        pairs = zip(matrices, vectors, strict=True)
        return torch.stack([torch.linalg.solve(matrix, vector) for matrix, vector in pairs])
    answer: torch.Tensor = torch.linalg.solve(matrices, vectors)
    return answer


@lru_cache(maxsize=64)
def _modes(size: tuple[int, int], grid: tuple[int, int], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return `affine_and_elastic_modes` as a tensor, cached."""
    with torch.inference_mode(False):  # a cached tensor may be needed for a gradient later
        return torch.from_numpy(affine_and_elastic_modes(size, grid)).to(device, dtype)


def affine_and_elastic_modes(size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """Compute 1, x / `LEVER_PX`, y / `LEVER_PX` and the elastic modes, which have unit variance in all.

    Args:
        size: Height and width of the slice in pixels.
        grid: Rows and columns of a grid over the slice, at whose centers the modes are computed.

    Returns:
        (rows * columns, M), float64.
    """
    centers = [cell_centers(length, count) for length, count in zip(size, grid, strict=True)]
    down, right = (smooth_modes(length, places, PRIOR_SIGMA_PX) for length, places in zip(size, centers, strict=True))
    rows, columns = strong_products(down, right)
    elastic = (down.values[:, None, rows] * right.values[:, columns]).reshape(-1, len(rows))
    y, x = ((places - length / 2) / LEVER_PX for length, places in zip(size, centers, strict=True))
    y, x = np.meshgrid(y, x, indexing="ij")
    affine = np.stack([np.ones_like(x), x, y], axis=-1).reshape(-1, 3)
    return np.concatenate([affine, elastic], axis=1)
