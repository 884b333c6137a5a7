"""MMFF, multi-modal feature fusion: combines A's maps and B's warped ones from 1/16 to full resolution."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.layers import Restormer
from BSAFusionLib.network.mdf_fr import Encoded, Features, with_edges
from BSAFusionLib.network.sampling import resize, warp


class FusionBlocks(nn.Module):
    """The blocks that combine the encoder's maps, from its tokens up to half the resolution that it worked at."""

    widths: ClassVar[tuple[int, ...]] = (64, 32, 16, 12)

    def __init__(self, encoder_widths: tuple[int, ...]) -> None:
        super().__init__()
        previous = (0, *self.widths[:-1])
        self.blocks = nn.ModuleList(
            Restormer(2 * width + before, after)
            for width, before, after in zip(reversed(encoder_widths), previous, self.widths, strict=True)
        )

    def combine(self, fixed_maps: list[torch.Tensor], moving_maps: list[torch.Tensor]) -> torch.Tensor:
        """Combine aligned maps (N, C, h, w), coarsest first, to the last block's (N, 12, H, W)."""
        previous: list[torch.Tensor] = []
        for block, fixed_map, moving_map in zip(self.blocks, fixed_maps, moving_maps, strict=True):
            size = (moving_map.shape[-2], moving_map.shape[-1])
            enlarged = [resize(coarser, size) for coarser in previous]
            previous = [block(torch.cat([fixed_map, moving_map, *enlarged], dim=1))]
        return previous[0]


class MMFF(FusionBlocks):
    """Learns the difference between the fused slice and max(A, warped B), at full resolution.

    The full resolution comes in with shallow features that serve fusion alone. The larger of the two pixels is what the
    training's intensity term asks for; starting there leaves the layers to learn what structure asks beyond it.
    """

    shallow_width: ClassVar[int] = 8
    scales: ClassVar[tuple[int, ...]] = (32, 16, 8, 4)  # full-resolution pixels in a pixel of each level

    def __init__(self, encoder_widths: tuple[int, ...]) -> None:
        super().__init__(encoder_widths)
        joining, last = Restormer(2 * self.shallow_width + self.widths[-1], 12), nn.Conv2d(12, 1, 3, padding=1)
        self.shallow = Restormer(2, self.shallow_width)
        self.reconstruction = nn.Sequential(joining, last)
        start_at_zero(last)

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
        moving_maps = maps_from_tokens_up(moving)
        if field is not None:
            moving_maps = [
                warp(maps, field_at_level(field, (maps.shape[-2], maps.shape[-1]), scale))
                for maps, scale in zip(moving_maps, self.scales, strict=True)
            ]
        return self.reconstruct(self.combine(maps_from_tokens_up(fixed), moving_maps), field, slices)

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


def maps_from_tokens_up(features: Features | Encoded) -> list[torch.Tensor]:
    """Return the maps that fusion reads, coarsest first; the tokens stand for the coarsest."""
    return [features.token_map, *features.maps[-2::-1]]


def start_at_zero(last: nn.Conv2d) -> None:
    """Let a last convolution answer zero before it is trained, so that fusion begins as the larger of both pixels."""
    assert last.bias is not None
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


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
