"""The inference form of the published layout's registration and fusion, channels last throughout."""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.bsfa import Steps
from BSAFusionLib.network.fast.layers import Convolution, FoldedRestormer, channels_last
from BSAFusionLib.network.layers import Restormer
from BSAFusionLib.network.mdf_fr import Encoded, Features
from BSAFusionLib.network.published.bsfa import (
    STEP_SCALES,
    CrossAttention,
    PublishedBSFA,
    RegistrationLayer,
    Upsampler,
)
from BSAFusionLib.network.published.layers import warp_as_published, warp_at_level
from BSAFusionLib.network.published.mmff import LevelChange, PublishedMMFF
from BSAFusionLib.network.sampling import double


class FastCrossAttention(nn.Module):
    """Adds up both ways of a `CrossAttention`: from p to q and from q to p.

    p's "own" convolution lies beside its "other", and q's the other way round, so that both ways are one pass. The
    softmax is written out, since PyTorch's is slow where channels come last.
    """

    def __init__(self, layer: CrossAttention, dtype: torch.dtype) -> None:
        super().__init__()

        def beside(first: nn.Module, second: nn.Module) -> Convolution:
            weight, bias = (torch.cat([getattr(first, name), getattr(second, name)]) for name in ("weight", "bias"))
            return Convolution(weight, bias, "relu", dtype)

        own, other = layer.own[0], layer.other[0]
        self.own_and_other, self.other_and_own = beside(own, other), beside(other, own)

    def forward(self, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """Attend between maps p and q, both (N, C, h, w), both ways."""
        of_p, of_q = self.own_and_other(p).float(), self.other_and_own(q).float()
        scores = of_p * of_q
        powers = scores.sub_(reduce_image(torch.amax, scores)).exp_()
        weights = powers.div_(reduce_image(torch.sum, powers))
        weights_of_p, weights_of_q = weights.chunk(2, dim=1)
        own_of_p, own_of_q = of_p.chunk(2, dim=1)[0], of_q.chunk(2, dim=1)[1]
        attended: torch.Tensor = (weights_of_p * own_of_p).addcmul_(weights_of_q, own_of_q).add_(p).add_(q)
        return attended


def reduce_image(reduction: Callable[[torch.Tensor, int], torch.Tensor], maps: torch.Tensor) -> torch.Tensor:
    """Reduce each channel of maps (N, C, H, W) over the image, to (N, C, 1, 1).

    Whole rows are reduced first, which lie in one piece where channels come last; reducing the image at once takes up
    to ten times as long.
    """
    rows = maps.permute(0, 2, 3, 1).flatten(2)
    return reduction(reduction(rows, 1).unflatten(1, (-1, maps.shape[1])), 1)[:, :, None, None]


class FastRegistrationLayer(nn.Module):
    """A `RegistrationLayer`; the last step leads to no other, so it makes no stream."""

    def __init__(self, layer: RegistrationLayer, is_last: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.joining = Convolution.of(layer.joining[0], dtype, "leaky_relu")
        self.cross_attention = FastCrossAttention(layer.cross_attention, dtype)
        self.features = Convolution.of(layer.features[0], dtype, "relu")
        self.field = Convolution.of(layer.field, dtype, "tanh")
        self.next = None if is_last else Convolution.of(layer.next, dtype)

    def forward(self, stream: torch.Tensor, both: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Estimate the step's field and the next step's stream; see `RegistrationLayer.forward`."""
        joined = self.joining(both)
        features = self.cross_attention(stream, joined)
        features += self.features(features)
        field = self.field(features).float().contiguous()  # two channels are enlarged faster so
        if self.next is None:
            return field, None
        # A 1x1 convolution and an enlargement whose weights sum to 1 commute; the smaller map is the cheaper.
        return field, F.leaky_relu_(double(self.next(features), align_corners=True))


class WarpAndUpsample(nn.Module):
    """The warp before an `Upsampler` and the upsampler itself, with the channels narrowed first of all.

    Without its bias, a 1x1 convolution commutes with the warp, too, which takes zeros from outside; a bias before
    normalization does nothing.
    """

    def __init__(self, layer: Upsampler, dtype: torch.dtype) -> None:
        super().__init__()
        self.narrow = Convolution(layer.narrow.weight, None, dtype=dtype)
        assert layer.narrow.bias is not None
        self.bias = layer.narrow.bias
        self.convolution = Convolution(layer.convolution.weight, None, dtype=dtype)

    def forward(self, maps: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        """Warp maps (N, C, h, w) through a field (N, 2, h, w) and upsample them to (N, channels_next, 2h, 2w)."""
        maps = channels_last(warp_as_published(self.narrow(maps), field)) + self.bias[:, None, None]
        maps = self.convolution(double(maps, align_corners=True)).float()
        centered = maps.sub_(reduce_image(torch.mean, maps))
        return F.leaky_relu_(centered.mul_((reduce_image(torch.mean, centered.square()) + 1e-5).rsqrt()))


class FastPublishedBSFA(nn.Module):
    """`PublishedBSFA`, with both slices' features as one batch."""

    def __init__(self, bsfa: PublishedBSFA, dtype: torch.dtype) -> None:
        super().__init__()
        last = len(bsfa.forward_steps) - 1

        def steps(layers: nn.ModuleList) -> nn.ModuleList:
            return nn.ModuleList(
                FastRegistrationLayer(cast(RegistrationLayer, layer), index == last, dtype)
                for index, layer in enumerate(layers)
            )

        self.dtype = dtype
        self.forward_steps, self.reverse_steps = steps(bsfa.forward_steps), steps(bsfa.reverse_steps)
        self.upsamplers = nn.ModuleList(WarpAndUpsample(cast(Upsampler, layer), dtype) for layer in bsfa.upsamplers)

    def forward(self, fixed: Features, moving: Features) -> Steps:
        """Estimate the fields of all steps; see `PublishedBSFA.forward`."""
        maps = channels_last(torch.cat([fixed.transferred, moving.transferred]))
        fixed_stream, moving_stream = maps.chunk(2)
        forward_fields, reverse_fields = [], []
        for level, (forward_step, reverse_step) in enumerate(zip(self.forward_steps, self.reverse_steps, strict=True)):
            both = torch.cat(maps.to(self.dtype).chunk(2), dim=1)
            forward_field, fixed_stream = forward_step(fixed_stream, both)
            reverse_field, moving_stream = reverse_step(moving_stream, both)
            forward_fields.append(forward_field)
            reverse_fields.append(reverse_field)
            if level < len(self.upsamplers):
                maps = self.upsamplers[level](maps, torch.cat([forward_field, reverse_field]))
        return Steps(forward_fields, reverse_fields)


class FastLevelChange(nn.Module):
    """A `LevelChange`, with its convolutions before the enlargement."""

    def __init__(self, layer: LevelChange, dtype: torch.dtype) -> None:
        super().__init__()
        self.tokens, self.fused = Convolution.of(layer.tokens, dtype), Convolution.of(layer.fused, dtype)

    def forward(self, both: torch.Tensor, fused: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring the token maps of both slices, as one batch, and the fused map to the next level."""
        return _change_level(self.tokens, both), _change_level(self.fused, fused)


def _change_level(convolution: Convolution, maps: torch.Tensor) -> torch.Tensor:
    return F.relu_(double(convolution(maps).float(), align_corners=False))


class FastPublishedMMFF(nn.Module):
    """`PublishedMMFF`, with both slices' maps as one batch."""

    def __init__(self, mmff: PublishedMMFF, dtype: torch.dtype) -> None:
        super().__init__()
        blocks = [cast(Restormer, block) for block in mmff.blocks]
        first, second = (cast(Restormer, mmff.reconstruction[index]) for index in (0, 1))
        self.blocks = nn.ModuleList(FoldedRestormer(block, dtype) for block in blocks)
        self.changes = nn.ModuleList(FastLevelChange(cast(LevelChange, change), dtype) for change in mmff.changes)
        self.joining, self.final = FoldedRestormer(first, dtype), FoldedRestormer(second, dtype)
        # What is enlarged passes its part of the entry before that.
        enlarged_channels = blocks[-1].entry.out_channels
        entry = self.joining.entry
        self.enlarged = Convolution(entry.weight[:, :enlarged_channels], None, dtype=dtype)
        self.shallow = Convolution(entry.weight[:, enlarged_channels:], entry.bias, dtype=dtype)

    def forward(self, fixed: Features | Encoded, moving: Features | Encoded, field: torch.Tensor) -> torch.Tensor:
        """Fuse slices; see `PublishedMMFF.forward`."""
        maps = channels_last(torch.cat([fixed.token_map, moving.token_map]))
        previous: list[torch.Tensor] = []
        for level, block in enumerate(self.blocks):
            fixed_map, moving_map = maps.chunk(2)
            warped = channels_last(warp_at_level(moving_map, field, STEP_SCALES[level]))
            fused = block(torch.cat([fixed_map, warped, *previous], dim=1))
            if level < len(self.changes):
                maps, enlarged = self.changes[level](maps, fused)
                previous = [enlarged]
        fixed_shallow, moving_shallow = fixed.maps[0], moving.maps[0]
        shallow = torch.cat([fixed_shallow, channels_last(warp_as_published(moving_shallow, field))], dim=1)
        entered = self.shallow(shallow).float() + double(self.enlarged(fused).float(), align_corners=False)
        return torch.sigmoid(self.final(self.joining.from_entered(entered)))
