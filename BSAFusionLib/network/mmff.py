"""MMFF, multi-modal feature fusion: combines A's maps and B's warped ones from 1/16 to full resolution."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.layers import Restormer
from BSAFusionLib.network.mdf_fr import Encoded, Features, with_edges
from BSAFusionLib.network.sampling import resize, warp


class MMFF(nn.Module):
    """Learns the difference between the fused slice and max(A, warped B).

    The blocks read the encoder's maps, from its tokens up to half the resolution that it worked at; the full resolution
    comes in with shallow features that serve fusion alone. The larger of the two pixels is what the training's
    intensity term asks for; starting there leaves the layers to learn what structure asks beyond it.
    """

    shallow_width: ClassVar[int] = 8
    scales: ClassVar[tuple[int, ...]] = (32, 16, 8, 4)  # full-resolution pixels in a pixel of each level

    def __init__(self, encoder_widths: tuple[int, ...]) -> None:
        super().__init__()
        widths = tuple(reversed(encoder_widths))
        fused_widths = (64, 32, 16, 12)
        previous = (0, *fused_widths[:-1])
        self.blocks = nn.ModuleList(
            Restormer(2 * width + before, after)
            for width, before, after in zip(widths, previous, fused_widths, strict=True)
        )
        self.shallow = Restormer(2, self.shallow_width)
        joining, last = Restormer(2 * self.shallow_width + fused_widths[-1], 12), nn.Conv2d(12, 1, 3, padding=1)
        self.reconstruction = nn.Sequential(joining, last)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(
        self,
        fixed: Features | Encoded,
        moving: Features | Encoded,
        field: torch.Tensor | None,
        slices: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Fuse slices from their features.

        Args:
            fixed: Of the halved fixed slices.
            moving: Of the halved moving slices.
            field: (N, 2, H, W), fixed to moving, in pixels; None where the slices are aligned.
            slices: The fixed and the moving slices at full resolution, (N, 1, H, W) in [0, 1].

        Returns:
            (N, 1, H, W) in [0, 1].
        """
        fixed_maps = [fixed.token_map, *fixed.maps[-2::-1]]
        moving_maps = [moving.token_map, *moving.maps[-2::-1]]
        previous: list[torch.Tensor] = []
        for block, fixed_map, moving_map, scale in zip(self.blocks, fixed_maps, moving_maps, self.scales, strict=True):
            size = (moving_map.shape[-2], moving_map.shape[-1])
            if field is not None:
                moving_map = warp(moving_map, field_at_level(field, size, scale))
            enlarged = [resize(coarser, size) for coarser in previous]
            previous = [block(torch.cat([fixed_map, moving_map, *enlarged], dim=1))]
        return self.reconstruct(previous[0], field, slices)

    def reconstruct(
        self, coarser: torch.Tensor, field: torch.Tensor | None, slices: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """Fuse slices at full resolution.

        Args:
            coarser: The last block's maps (N, C, h, w), at a quarter of the resolution.
            field: As in `forward`.
            slices: As in `forward`.
        """
        fixed_slices, moving_slices = slices
        height, width = fixed_slices.shape[-2:]
        fixed_shallow, moving_shallow = self.shallow(with_edges(torch.cat([fixed_slices, moving_slices]))).chunk(2)
        if field is not None:
            moving_slices, moving_shallow = warp(moving_slices, field), warp(moving_shallow, field)
        last = F.interpolate(coarser, scale_factor=self.scales[-1], mode="bilinear")[..., :height, :width]
        change: torch.Tensor = self.reconstruction(torch.cat([last, fixed_shallow, moving_shallow], dim=1))
        return changed_maximum(change, fixed_slices, moving_slices)


def changed_maximum(change: torch.Tensor, fixed: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
    """Change the logit of the larger of both pixels, all (N, 1, H, W)."""
    return torch.sigmoid(change + torch.maximum(fixed, registered).clamp(1e-3, 1 - 1e-3).logit())


def field_at_level(field: torch.Tensor, size: tuple[int, int], scale: int) -> torch.Tensor:
    """Average a field (N, 2, H, W) on a level's grid, in that level's pixels.

    The level may reach beyond the slices to the right and below; there the field's border is repeated.

    Args:
        field: In pixels of the slices.
        size: Height and width of the level.
        scale: Pixels of the slices in a pixel of the level.

    Returns:
        (N, 2, *size).
    """
    beyond = [0, size[1] * scale - field.shape[-1], 0, size[0] * scale - field.shape[-2]]
    return F.avg_pool2d(F.pad(field, beyond, mode="replicate"), scale) / scale
