"""MMFF, multi-modal feature fusion: A's maps and B's warped ones joined from 1/16 to full resolution."""

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.bsfa import STEP_SCALES, double
from BSAFusionLib.network.mdf_fr import Encoded, Features, with_edges
from BSAFusionLib.network.restormer import Restormer
from BSAFusionLib.network.warp import PUBLISHED, resize, warp

Seen = Features | Encoded


def warp_at_level(level_map: torch.Tensor, field: torch.Tensor, scale: int) -> torch.Tensor:
    """A level's map (N, C, H/scale, W/scale) sampled through the full-resolution field (N, 2, H, W)."""
    return warp(level_map, resize(field, level_map.shape[-2:]) / scale, PUBLISHED)


class LevelChange(nn.Module):
    """Twice the size, fewer channels: one convolution for both token maps, another for the fused feature."""

    def __init__(self, channels: int, channels_fused: int, channels_next: int):
        super().__init__()
        self.tokens = nn.Conv2d(channels, channels_next, 1)
        self.fused = nn.Conv2d(channels_fused, channels_next, 1)

    def forward(self, *maps: torch.Tensor) -> list[torch.Tensor]:
        """Fixed, moving and fused map, each (N, C, h, w), to the next level."""
        convolutions = (self.tokens, self.tokens, self.fused)
        return [
            F.relu(convolution(double(m, align_corners=False)))
            for convolution, m in zip(convolutions, maps, strict=True)
        ]


class MMFF(nn.Module):
    """The published layout: every level's maps come up from the tokens.

    Its sampling is the published one throughout: the network's recorded values show so.
    """

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Restormer(512, 64), Restormer(192, 32), Restormer(96, 16), Restormer(48, 12)])
        self.changes = nn.ModuleList([LevelChange(256, 64, 64), LevelChange(64, 32, 32), LevelChange(32, 16, 16)])
        self.reconstruction = nn.Sequential(Restormer(28, 12), Restormer(12, 1), nn.Sigmoid())

    def forward(self, fixed: Seen, moving: Seen, field: torch.Tensor, _slices: tuple) -> torch.Tensor:
        fixed_map, moving_map = fixed.token_map, moving.token_map
        previous: list[torch.Tensor] = []
        for level, block in enumerate(self.blocks):
            warped = warp_at_level(moving_map, field, STEP_SCALES[level])
            fused = block(torch.cat([fixed_map, warped, *previous], dim=1))
            if level < len(self.changes):
                fixed_map, moving_map, fused = self.changes[level](fixed_map, moving_map, fused)
                previous = [fused]
        last = double(fused, align_corners=False)
        warped = warp(moving.shallow, field, PUBLISHED)
        return self.reconstruction(torch.cat([last, fixed.shallow, warped], dim=1))


class PyramidMMFF(nn.Module):
    """The exact layout: every level has maps of its own, and what is learnt is the difference to max(A, B').

    The blocks read the encoder's maps, from its tokens up to half the resolution that it worked at; the whole
    resolution comes in with shallow features that serve fusion alone. The larger of the two pixels is what the
    training's intensity term asks for; starting there leaves the layers to learn what structure asks beyond it.
    """

    shallow_width = 8
    scales = (32, 16, 8, 4)  # side of each level's pixels in those of the whole slice

    def __init__(self, encoder_widths: tuple[int, ...]):
        super().__init__()
        widths = tuple(reversed(encoder_widths))
        fused_widths = (64, 32, 16, 12)
        previous = (0, *fused_widths[:-1])
        self.blocks = nn.ModuleList(
            Restormer(2 * width + before, after, expansion=2, normalised=True)
            for width, before, after in zip(widths, previous, fused_widths, strict=True)
        )
        self.shallow = Restormer(2, self.shallow_width, expansion=2, normalised=True)
        self.reconstruction = nn.Sequential(
            Restormer(2 * self.shallow_width + fused_widths[-1], 12, expansion=2, normalised=True),
            nn.Conv2d(12, 1, 3, padding=1),
        )
        nn.init.zeros_(self.reconstruction[-1].weight)
        nn.init.zeros_(self.reconstruction[-1].bias)

    def forward(self, fixed: Seen, moving: Seen, field: torch.Tensor, slices: tuple) -> torch.Tensor:
        """Features of the halved slices, the field and the slices of whole size to the fused slices (N, 1, H, W)."""
        fixed_slices, moving_slices = slices
        size = fixed_slices.shape[-2:]
        fixed_maps = [fixed.token_map, *fixed.maps[-2::-1]]
        moving_maps = [moving.token_map, *moving.maps[-2::-1]]
        fused: list[torch.Tensor] = []
        for block, fixed_map, moving_map, scale in zip(self.blocks, fixed_maps, moving_maps, self.scales, strict=True):
            at_level = cover(field, moving_map.shape[-2:], scale)
            raised = [resize(previous, fixed_map.shape[-2:]) for previous in fused]
            fused = [block(torch.cat([fixed_map, warp(moving_map, at_level), *raised], dim=1))]
        shallow = self.shallow(with_edges(torch.cat([fixed_slices, moving_slices])))
        fixed_shallow, moving_shallow = shallow.chunk(2)
        last = F.interpolate(fused[0], scale_factor=self.scales[-1], mode="bilinear")[..., : size[0], : size[1]]
        change = self.reconstruction(torch.cat([last, fixed_shallow, warp(moving_shallow, field)], dim=1))
        larger = torch.maximum(fixed_slices, warp(moving_slices, field))
        return torch.sigmoid(change + larger.clamp(1e-3, 1 - 1e-3).logit())


def cover(field: torch.Tensor, size: tuple[int, int], scale: int) -> torch.Tensor:
    """The slices' field (N, 2, H, W) on a level's grid, which may reach beyond the slices to the right and below."""
    beyond = [0, size[1] * scale - field.shape[-1], 0, size[0] * scale - field.shape[-2]]
    return F.avg_pool2d(F.pad(field, beyond, mode="replicate"), scale) / scale
