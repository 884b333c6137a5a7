"""The network that tells, for every voxel of a coarse volume, where in a standard head it lies."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (24, 48, 64, 64)  # channels at 12, 24, 48 and 96 mm
INPUT_CHANNELS = 3
COORDINATE_UNIT_MM = 100.0  # the network answers in decimeters, which are near 1
LOG_SPREAD_LIMITS = (-6.0, 2.0)  # of decimeters: 0.25 mm to 739 mm


@dataclass(frozen=True)
class Prediction:
    """What the network says of each cell of 2 x 2 x 2 voxels.

    Attributes:
        brain_logit: (N, D, H, W), log odds that the cell is brain.
        coordinate: (N, 3, D, H, W), its (x, y, z) in the standard head, mm LPS.
        log_spread: (N, D, H, W), natural logarithm of the spread b in mm; the expected error is 3 b.
    """

    brain_logit: torch.Tensor
    coordinate: torch.Tensor
    log_spread: torch.Tensor


class ResidualBlock(nn.Module):
    """Adds two normalized convolutions to the input."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(8, width)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (N, C, D, H, W) of the same shape."""
        inner = self.conv1(F.gelu(self.norm1(features)))
        return features + self.conv2(F.gelu(self.norm2(inner)))


class HeadNetwork(nn.Module):
    """A small U-net on cells of 2 x 2 x 2 voxels.

    After Gopinath et al., Registration by Regression, 2024: coordinates are regressed voxel by voxel, and the pose is
    fitted to them afterwards.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        self.stem = nn.Conv3d(INPUT_CHANNELS, widths[0], 2, stride=2)
        self.down_blocks = nn.ModuleList(ResidualBlock(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv3d(a, b, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in pairwise(widths))
        self.up_blocks = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.last_norm = nn.GroupNorm(8, widths[0])
        self.last = nn.Conv3d(widths[0], 5, 1)

    def forward(self, channels: torch.Tensor) -> Prediction:
        """Predict standard coordinates from the input channels.

        Args:
            channels: (N, 3, D, H, W) as `channels_of` makes them; D, H and W even, at least 16.

        Returns:
            The prediction for cells of two voxels a side, (D/2, H/2, W/2).
        """
        features = self.stem(channels)
        skips = []
        for block, down in zip(self.down_blocks, self.down, strict=False):
            features = block(features)
            skips.append(features)
            features = down(F.avg_pool3d(features, 2, ceil_mode=True))
        features = self.down_blocks[-1](features)
        for up, block in reversed(list(zip(self.up, self.up_blocks, strict=True))):
            skip = skips.pop()
            features = block(skip + doubled(up(features), skip.shape[2:]))
        answer = self.last(F.gelu(self.last_norm(features)))
        return Prediction(
            brain_logit=answer[:, 0],
            coordinate=answer[:, 1:4] * COORDINATE_UNIT_MM,
            log_spread=answer[:, 4].clamp(*LOG_SPREAD_LIMITS) + torch.tensor(COORDINATE_UNIT_MM).log().to(answer),
        )


def doubled(features: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Repeat every cell twice along each axis, cropped to `shape` (D, H, W)."""
    for axis, length in zip((2, 3, 4), shape, strict=True):
        features = features.repeat_interleave(2, axis).narrow(axis, 0, length)
    return features
