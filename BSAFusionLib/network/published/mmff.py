"""MMFF in the published layout: every level's maps come up from the tokens."""

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.mdf_fr import Encoded, Features
from BSAFusionLib.network.published.bsfa import STEP_SCALES
from BSAFusionLib.network.published.layers import PublishedRestormer, warp_as_published, warp_at_level
from BSAFusionLib.network.sampling import double


class LevelChange(nn.Module):
    """Doubles the size and reduces the channels, with one convolution for both token maps and another for the fused."""

    def __init__(self, channels: int, channels_fused: int, channels_next: int) -> None:
        super().__init__()
        self.tokens = nn.Conv2d(channels, channels_next, 1)
        self.fused = nn.Conv2d(channels_fused, channels_next, 1)

    def forward(self, *maps: torch.Tensor) -> list[torch.Tensor]:
        """Bring the fixed, the moving and the fused map, each (N, C, h, w), to the next level."""
        convolutions = (self.tokens, self.tokens, self.fused)
        return [
            F.relu(convolution(double(level_map, align_corners=False)))
            for convolution, level_map in zip(convolutions, maps, strict=True)
        ]


class PublishedMMFF(nn.Module):
    """Fuses the maps of both slices from 1/16 to full resolution.

    Its sampling is the published one throughout: the network's recorded values show so.
    """

    def __init__(self) -> None:
        super().__init__()
        shapes = ((512, 64), (192, 32), (96, 16), (48, 12))
        self.blocks = nn.ModuleList(PublishedRestormer(*shape) for shape in shapes)
        self.changes = nn.ModuleList([LevelChange(256, 64, 64), LevelChange(64, 32, 32), LevelChange(32, 16, 16)])
        self.reconstruction = nn.Sequential(PublishedRestormer(28, 12), PublishedRestormer(12, 1), nn.Sigmoid())

    def forward(self, fixed: Features | Encoded, moving: Features | Encoded, field: torch.Tensor) -> torch.Tensor:
        """Fuse slices from their features and the field (N, 2, H, W) between them, to (N, 1, H, W)."""
        fixed_map, moving_map = fixed.token_map, moving.token_map
        previous: list[torch.Tensor] = []
        for level, block in enumerate(self.blocks):
            warped = warp_at_level(moving_map, field, STEP_SCALES[level])
            fused = block(torch.cat([fixed_map, warped, *previous], dim=1))
            if level < len(self.changes):
                fixed_map, moving_map, fused = self.changes[level](fixed_map, moving_map, fused)
                previous = [fused]
        last = double(fused, align_corners=False)
        fixed_shallow, moving_shallow = fixed.maps[0], moving.maps[0]
        warped = warp_as_published(moving_shallow, field)
        reconstructed: torch.Tensor = self.reconstruction(torch.cat([last, fixed_shallow, warped], dim=1))
        return reconstructed
