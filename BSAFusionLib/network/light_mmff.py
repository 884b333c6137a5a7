"""MMFF whose last layers work at half the resolution; it takes a sixth of the time of the deep one."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.mdf_fr import Encoded, Features
from BSAFusionLib.network.mmff import FusionBlocks, maps_from_tokens_up, start_at_zero

STEEPNESS = 4.0  # of the weight before training; steeper, bright bone gives no gradient to learn from


class LightMMFF(FusionBlocks):
    """Learns the weight of each pixel of aligned slices, and what is added to their weighted mean.

    The encoder reads slices of a quarter of the resolution, since it gives what surrounds a pixel. The pixels
    themselves come in at half the resolution, each square of 2 x 2 as channels (space to depth; Shi et al., CVPR 2016),
    so nothing of them is lost.
    """

    width: ClassVar[int] = 32

    def __init__(self, encoder_widths: tuple[int, ...]) -> None:
        super().__init__(encoder_widths)
        last = nn.Conv2d(self.width, 8, 3, padding=1)
        self.reconstruction = nn.Sequential(
            nn.Conv2d(8 + self.widths[-1], self.width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(self.width, self.width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(self.width, self.width, 3, padding=1),
            nn.GELU(),
            last,
        )
        start_at_zero(last)

    def forward(
        self, fixed: Features | Encoded, moving: Features | Encoded, slices: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """Fuse aligned slices.

        Args:
            fixed: Features of the fixed slices, halved twice.
            moving: Of the moving slices, likewise.
            slices: The fixed and the moving slices at full resolution, (N, 1, H, W) in [0, 1].

        Returns:
            (N, 1, H, W) in [0, 1]; while training also beyond, where a clamped pixel could not be learned.
        """
        return self.reconstruct(self.combine(maps_from_tokens_up(fixed), maps_from_tokens_up(moving)), slices)

    def reconstruct(self, coarser: torch.Tensor, slices: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Fuse slices at full resolution.

        Args:
            coarser: The last block's maps (N, C, h, w), at an eighth of the resolution.
            slices: As in `forward`.
        """
        fused = weighted_mean(F.pixel_shuffle(self.reconstruction(halved_input(coarser, slices)), 2), *slices)
        return fused if self.training else fused.clamp(0, 1)


def weighted_mean(answer: torch.Tensor, fixed: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
    """Weigh slices (N, 1, H, W) by the logit of the fixed one's weight, and add to their mean; answer (N, 2, H, W)."""
    logit, added = answer.chunk(2, dim=1)
    weight = torch.sigmoid(STEEPNESS * (fixed - registered) + logit)
    return torch.lerp(registered, fixed, weight) + added


def halved_input(coarser: torch.Tensor, slices: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Stack slices (N, 1, H, W), 2 x 2 pixels as channels, and maps of an eighth of their resolution enlarged.

    Returns:
        (N, 8 + C, H / 2, W / 2).
    """
    pixels = F.pixel_unshuffle(torch.cat(slices, dim=1), 2)
    height, width = pixels.shape[-2:]
    enlarged = F.interpolate(coarser, scale_factor=4, mode="bilinear")[..., :height, :width]
    return torch.cat([pixels, enlarged.to(pixels.dtype)], dim=1)
