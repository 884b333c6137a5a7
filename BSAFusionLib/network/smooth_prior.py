"""What is known of a displacement before any pixel is matched, and what it becomes by what the pixels tell."""

from functools import lru_cache

import torch
from torch import nn

sigma = 8.0  # pixels of the registered slice: the Gaussian that smoothed the noise of the elastic part, as published
kept = 5e-3  # modes that vary less than this share of the strongest are left out


class SmoothPrior(nn.Module):
    """Gaussian process regression of a displacement that is smooth noise plus a small affine motion.

    White noise smoothed by a Gaussian of `sigma` has the covariance exp(-d^2 / (4 sigma^2)); its few strong modes
    (Karhunen-Loeve) are all that is solved for. How large either part is expected to be is learnt. (Rasmussen and
    Williams, Gaussian Processes for Machine Learning, 2006, equations 2.8 and 2.11, with explicit basis functions.)
    """

    def __init__(self):
        super().__init__()
        # Logarithms of standard deviations in pixels: of the elastic part, a shift, and a linear one at 64 pixels.
        self.elastic = nn.Parameter(torch.tensor(0.4))
        self.shift = nn.Parameter(torch.tensor(0.0))
        self.linear = nn.Parameter(torch.tensor(0.4))

    def forward(
        self, mean: torch.Tensor, precision: torch.Tensor, size: tuple[int, int], answer: tuple[int, int]
    ) -> torch.Tensor:
        """The posterior mean of the displacement.

        Args:
            mean: (N, 2, h, w), what each position of a grid over the slice tells, in pixels of the slice.
            precision: (N, 3, h, w), inverse covariance of that (xx, yy, xy), in 1 / pixels^2.
            size: H, W of the slice.
            answer: rows and columns of the grid over the slice to answer on.

        Returns:
            (N, 2, *answer) in pixels of the slice.
        """
        modes = _modes(tuple(size), tuple(mean.shape[-2:]), mean.device, mean.dtype)
        x, y = mean.flatten(2).unbind(1)
        xx, yy, xy = precision.flatten(2).unbind(1)

        def information(weights: torch.Tensor) -> torch.Tensor:
            return (modes * weights[..., None]).mT @ modes

        own = self.own_precision(modes.shape[1]).diag()
        across = information(xy)
        matrix = torch.cat(
            [
                torch.cat([information(xx) + own, across], dim=2),
                torch.cat([across, information(yy) + own], dim=2),
            ],
            dim=1,
        )
        told = torch.cat([(xx * x + xy * y) @ modes, (xy * x + yy * y) @ modes], dim=1)
        coefficients = solved(matrix, told).unflatten(1, (2, -1))
        answering = _modes(tuple(size), tuple(answer), mean.device, mean.dtype)
        return (coefficients @ answering.mT).unflatten(2, answer)

    def own_precision(self, modes: int) -> torch.Tensor:
        """What is expected of each of so many modes beforehand: 1 / variance (modes)."""
        deviations = torch.stack([self.shift, self.linear, self.linear, *[self.elastic] * (modes - 3)])
        return (-2 * deviations).exp()


def solved(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """What each matrix (N, M, M) turns into its vector (N, M).

    On the CPU one at a time: of several at once on several threads, from M of about 150 on, MKL mixes up the pivots and
    raises, hangs, or answers wrongly (PyTorch issue 142815).
    """
    if matrices.device.type == "cpu":
        return torch.stack([torch.linalg.solve(*each) for each in zip(matrices, vectors, strict=True)])
    return torch.linalg.solve(matrices, vectors)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept may be needed for a gradient later
def _modes(size: tuple[int, int], grid: tuple[int, int], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """`_exact_modes` as they are calculated with."""
    return _exact_modes(size, grid).to(device, dtype)


def _exact_modes(size: tuple[int, int], grid: tuple[int, int]) -> torch.Tensor:
    """1, x / 64, y / 64, then elastic modes of unit variance in all, at the centres of a grid: (h * w, M), float64."""
    (down, down_strength), (right, right_strength) = (_modes_along(*side) for side in zip(size, grid, strict=True))
    strengths = down_strength[:, None] * right_strength
    rows, columns = (strengths > kept * strengths.max()).nonzero(as_tuple=True)
    elastic = (down[:, None, rows] * right[:, columns]).flatten(0, 1)
    y, x = (_centres(length, count) - (length - 1) / 2 for length, count in zip(size, grid, strict=True))
    y, x = torch.meshgrid(y / 64, x / 64, indexing="ij")
    return torch.cat([torch.stack([torch.ones_like(x), x, y], dim=-1).flatten(0, 1), elastic], dim=1)


def _modes_along(length: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Modes along one axis at `count` centres, (count, K), and their strengths (K); Nystroem's method on a lattice."""
    lattice = _centres(length, -(-length // 4))
    strengths, vectors = torch.linalg.eigh(_covariance(lattice, lattice))
    strong = strengths > kept * strengths[-1]
    strengths, vectors = strengths[strong], vectors[:, strong]
    return _covariance(_centres(length, count), lattice) @ vectors * strengths.rsqrt(), strengths


def _covariance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.exp(-(((a[:, None] - b) / (2 * sigma)) ** 2))


def _centres(length: int, count: int) -> torch.Tensor:
    """Where the centres of `count` equal parts of a row of `length` pixels lie, in pixels, float64."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (length / count) - 0.5
