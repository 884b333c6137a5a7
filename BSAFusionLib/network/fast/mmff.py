"""The inference forms of our layout's fusions, slice by slice."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.fast.layers import Convolution, FoldedRestormer, channels_last
from BSAFusionLib.network.layers import Restormer
from BSAFusionLib.network.light_mmff import LightMMFF, halved_input, weighted_mean
from BSAFusionLib.network.mdf_fr import with_edges
from BSAFusionLib.network.mmff import MMFF, changed_maximum
from BSAFusionLib.network.sampling import warp


class FastMMFF(MMFF):
    """`MMFF`, whose maps at full resolution are those of one slice pair at a time on the CPU, to stay in its cache.

    A 1x1 convolution and an enlargement whose weights sum to 1 commute, so the enlarged maps pass their part of the
    last layer's entry before that.
    """

    def __init__(self, mmff: MMFF, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        joining, last = cast(Restormer, mmff.reconstruction[0]), cast(nn.Conv2d, mmff.reconstruction[1])
        self.blocks = nn.ModuleList(FoldedRestormer(cast(Restormer, block), dtype) for block in mmff.blocks)
        self.shallow_features, self.joining = FoldedRestormer(mmff.shallow, dtype), FoldedRestormer(joining, dtype)
        self.last = Convolution.of(last, dtype)
        coarser_width = joining.entry.in_channels - 2 * self.shallow_width
        entry = self.joining.entry
        self.of_coarser = Convolution(entry.weight[:, :coarser_width], None, dtype=dtype)
        self.of_shallow = Convolution(entry.weight[:, coarser_width:], entry.bias, dtype=dtype)

    def reconstruct(
        self, coarser: torch.Tensor, field: torch.Tensor | None, slices: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """Fuse slices at full resolution; see `MMFF.reconstruct`."""
        narrowed = self.of_coarser(channels_last(coarser)).float()
        pairs_at_once = 1 if narrowed.device.type == "cpu" else len(narrowed)
        fields = [None] * len(narrowed) if field is None else field.split(pairs_at_once)
        parts = zip(narrowed.split(pairs_at_once), fields, *(part.split(pairs_at_once) for part in slices), strict=True)
        return torch.cat([self._reconstruct(*part) for part in parts])

    def _reconstruct(
        self, narrowed: torch.Tensor, field: torch.Tensor | None, fixed: torch.Tensor, moving: torch.Tensor
    ) -> torch.Tensor:
        """Fuse some slice pairs, from maps that have passed their part of the last layer's entry."""
        height, width = fixed.shape[-2:]
        fixed_shallow, moving_shallow = self.shallow_features(with_edges(torch.cat([fixed, moving]))).chunk(2)
        if field is not None:
            moving, moving_shallow = warp(moving, field), warp(moving_shallow, field)
        enlarged = F.interpolate(narrowed, scale_factor=self.scales[-1], mode="bilinear")[..., :height, :width]
        shallow = channels_last(torch.cat([fixed_shallow, moving_shallow], dim=1))
        entered = self.of_shallow(shallow).float().add_(enlarged)
        change = self.last(self.joining.from_entered(entered)).float()
        return changed_maximum(change, fixed, moving)


class FastLightMMFF(LightMMFF):
    """`LightMMFF`, whose maps are those of one slice pair at a time on the CPU, with each GELU in its convolution."""

    def __init__(self, mmff: LightMMFF, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.blocks = nn.ModuleList(FoldedRestormer(cast(Restormer, block), dtype) for block in mmff.blocks)
        convolutions = [cast(nn.Conv2d, layer) for layer in mmff.reconstruction if isinstance(layer, nn.Conv2d)]
        activations = (*["gelu"] * (len(convolutions) - 1), "none")
        self.reconstruction = nn.Sequential(
            *(
                Convolution.of(layer, dtype, activation)
                for layer, activation in zip(convolutions, activations, strict=True)
            )
        )

    def reconstruct(self, coarser: torch.Tensor, slices: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Fuse slices at full resolution; see `LightMMFF.reconstruct`."""
        pairs_at_once = 1 if coarser.device.type == "cpu" else len(coarser)
        parts = zip(coarser.split(pairs_at_once), *(part.split(pairs_at_once) for part in slices), strict=True)
        return torch.cat([self._reconstruct(*part) for part in parts])

    def _reconstruct(self, coarser: torch.Tensor, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Fuse some slice pairs, from the last block's maps."""
        read = channels_last(halved_input(coarser, (fixed, moving)))
        return weighted_mean(F.pixel_shuffle(self.reconstruction(read).float(), 2), fixed, moving).clamp(0, 1)
