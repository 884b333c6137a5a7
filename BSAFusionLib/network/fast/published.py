"""The published layout's registration and fusion as the inference form runs them, channels last throughout."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.bsfa import BSFA, STEP_SCALES, CrossAttention, Fields, RegistrationLayer, Upsampler, double
from BSAFusionLib.network.fast.layers import Convolution, FoldedRestormer, channels_last
from BSAFusionLib.network.mdf_fr import Features
from BSAFusionLib.network.mmff import MMFF, LevelChange, Seen, warp_at_level
from BSAFusionLib.network.warp import PUBLISHED, warp


def like(layer: nn.Conv2d, dtype: torch.dtype, activation: str = "none") -> Convolution:
    return Convolution(layer.weight, layer.bias, activation, dtype)


class LeanCrossAttention(nn.Module):
    """What both ways of a `CrossAttention` add up to, a of p with b of q and a of q with b of p.

    p's a lies beside its b, and q's the other way round, so that both ways are one pass. The softmax is written out:
    PyTorch's is slow where channels come last.
    """

    def __init__(self, layer: CrossAttention, dtype: torch.dtype):
        super().__init__()

        def beside(first: nn.Conv2d, second: nn.Conv2d) -> Convolution:
            weight, bias = (torch.cat([getattr(first, name), getattr(second, name)]) for name in ("weight", "bias"))
            return Convolution(weight, bias, "relu", dtype)

        own, other = layer.own[0], layer.other[0]
        self.own_and_other, self.other_and_own = beside(own, other), beside(other, own)

    def forward(self, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        of_p, of_q = self.own_and_other(p).float(), self.other_and_own(q).float()
        scores = of_p * of_q
        powers = scores.sub_(over_image(torch.amax, scores)).exp_()
        shares = powers.div_(over_image(torch.sum, powers))
        (of_first, of_second), (first, _), (_, second) = (each.chunk(2, dim=1) for each in (shares, of_p, of_q))
        return (of_first * first).addcmul_(of_second, second).add_(p).add_(q)


def over_image(reduced: Callable[[torch.Tensor, int], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Each channel's sum, mean or largest value (N, C, 1, 1): along whole rows first, which lie in one piece where
    channels come last; over the image at once it takes up to ten times as long."""
    rows = x.permute(0, 2, 3, 1).flatten(2)
    return reduced(reduced(rows, 1).unflatten(1, (-1, x.shape[1])), 1)[:, :, None, None]


class LeanStep(nn.Module):
    """A `RegistrationLayer`; the last step leads to no other, so its stream is not made."""

    def __init__(self, layer: RegistrationLayer, is_last: bool, dtype: torch.dtype):
        super().__init__()
        self.joining = like(layer.joining[0], dtype, "leaky_relu")
        self.cross_attention = LeanCrossAttention(layer.cross_attention, dtype)
        self.features = like(layer.features[0], dtype, "relu")
        self.field = like(layer.field, dtype, "tanh")
        self.next = None if is_last else like(layer.next, dtype)

    def forward(self, stream: torch.Tensor, both: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        joined = self.joining(both)
        x = self.cross_attention(stream, joined)
        x += self.features(x)
        field = self.field(x).float().contiguous()  # two channels are enlarged faster so
        # A convolution of 1x1 and an enlargement whose weights sum to 1 commute; the smaller map is the cheaper.
        return field, None if self.next is None else F.leaky_relu_(double(self.next(x), align_corners=True))


class LeanUpsampler(nn.Module):
    """The warp before an `Upsampler` and it itself, narrowed first of all.

    Without its bias a convolution of 1x1 commutes with the warp, too, which takes zeros from outside; a bias before
    normalisation does nothing.
    """

    def __init__(self, layer: Upsampler, dtype: torch.dtype):
        super().__init__()
        self.narrow = Convolution(layer.narrow.weight, None, dtype=dtype)
        self.bias = layer.narrow.bias
        self.convolution = Convolution(layer.convolution.weight, None, dtype=dtype)

    def forward(self, x: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        x = channels_last(warp(self.narrow(x), field, PUBLISHED)) + self.bias[:, None, None]
        x = self.convolution(double(x, align_corners=True)).float()
        centred = x.sub_(over_image(torch.mean, x))
        return F.leaky_relu_(centred.mul_((over_image(torch.mean, centred.square()) + 1e-5).rsqrt()))


class LeanBSFA(nn.Module):
    """`BSFA`, both slices' features as one batch."""

    def __init__(self, bsfa: BSFA, dtype: torch.dtype):
        super().__init__()
        last = len(bsfa.forward_steps) - 1

        def steps(layers: nn.ModuleList) -> nn.ModuleList:
            return nn.ModuleList(LeanStep(layer, index == last, dtype) for index, layer in enumerate(layers))

        self.dtype = dtype
        self.forward_steps, self.reverse_steps = steps(bsfa.forward_steps), steps(bsfa.reverse_steps)
        self.upsamplers = nn.ModuleList(LeanUpsampler(layer, dtype) for layer in bsfa.upsamplers)

    def forward(self, fixed: Features, moving: Features) -> tuple[Fields, Fields, list, None]:
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
        return forward_fields, reverse_fields, [], None


class LeanLevelChange(nn.Module):
    """A `LevelChange`, its convolutions before the enlargement."""

    def __init__(self, layer: LevelChange, dtype: torch.dtype):
        super().__init__()
        self.tokens, self.fused = like(layer.tokens, dtype), like(layer.fused, dtype)

    def forward(self, both: torch.Tensor, fused: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(
            F.relu_(double(convolution(x).float(), align_corners=False))
            for convolution, x in ((self.tokens, both), (self.fused, fused))
        )


class LeanMMFF(nn.Module):
    """`MMFF`, both slices' maps as one batch."""

    def __init__(self, mmff: MMFF, dtype: torch.dtype):
        super().__init__()
        self.blocks = nn.ModuleList(FoldedRestormer(block, dtype) for block in mmff.blocks)
        self.changes = nn.ModuleList(LeanLevelChange(change, dtype) for change in mmff.changes)
        first, second, _ = mmff.reconstruction
        self.joining, self.final = FoldedRestormer(first, dtype), FoldedRestormer(second, dtype)
        # What is enlarged passes its part of the entry before that.
        enlarged = mmff.blocks[-1].entry.out_channels
        entry = self.joining.entry
        self.raised = Convolution(entry.weight[:, :enlarged], None, dtype=dtype)
        self.shallow = Convolution(entry.weight[:, enlarged:], entry.bias, dtype=dtype)

    def forward(self, fixed: Seen, moving: Seen, field: torch.Tensor, _slices: tuple) -> torch.Tensor:
        maps = channels_last(torch.cat([fixed.token_map, moving.token_map]))
        previous: list[torch.Tensor] = []
        for level, block in enumerate(self.blocks):
            fixed_map, moving_map = maps.chunk(2)
            warped = channels_last(warp_at_level(moving_map, field, STEP_SCALES[level]))
            fused = block(torch.cat([fixed_map, warped, *previous], dim=1))
            if level < len(self.changes):
                maps, raised = self.changes[level](maps, fused)
                previous = [raised]
        seen = torch.cat([fixed.shallow, channels_last(warp(moving.shallow, field, PUBLISHED))], dim=1)
        entered = self.shallow(seen).float() + double(self.raised(fused).float(), align_corners=False)
        return torch.sigmoid(self.final(self.joining.from_entered(entered)))
