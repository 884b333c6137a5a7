"""Layers of the inference form: convolutions in a chosen precision, and Restormer layers in fewer operations."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from BSAFusionLib.network.fast.onednn import convolve, convolve_plus, convolve_times, has_onednn, linear
from BSAFusionLib.network.layers import MDTA, Attention, Restormer

# Pieces that a Restormer layer works on at once on the CPU, so that they fit its cache.
MAP_PX_AT_ONCE = 2**16  # pixels of the maps
GATE_VALUES_AT_ONCE = 2**20  # values of each branch of the gate


def channels_last(maps: torch.Tensor) -> torch.Tensor:
    """Return maps (N, C, H, W) whose channels come last in memory."""
    maps = maps.contiguous(memory_format=torch.channels_last)
    # PyTorch takes the usual strides of one channel for another order, and a convolution would answer in that.
    return maps.as_strided(maps.shape, (maps[0].numel(), 1, maps.shape[3], 1)) if maps.shape[1] == 1 else maps


class Convolution(nn.Module):
    """A convolution and an activation in the precision of the weights, which the answer has, too."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        activation: str = "none",
        dtype: torch.dtype = torch.float32,
        padding: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(channels_last(weight).to(dtype), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().to(dtype), requires_grad=False)
        self.activation = activation
        self.padding = weight.shape[-1] // 2 if padding is None else padding
        self.stride = stride

    @classmethod
    def of(cls, layer: nn.Module, dtype: torch.dtype, activation: str = "none") -> "Convolution":
        """Make the inference form of a convolution and the activation that follows it."""
        assert isinstance(layer, nn.Conv2d)
        padding, stride = layer.padding[0], layer.stride[0]
        assert isinstance(padding, int)
        return cls(layer.weight, layer.bias, activation, dtype, padding, stride)

    def forward(self, maps: torch.Tensor, rows_padding: int | None = None) -> torch.Tensor:
        """Convolve maps (N, C, H, W); `rows_padding` pads above and below where that differs from the sides."""
        padding = [self.padding if rows_padding is None else rows_padding, self.padding]
        return convolve(maps.to(self.weight.dtype), self.weight, self.bias, padding, self.stride, self.activation)


class FloatConvolution(Convolution):
    """A convolution whose answer is float32 in every precision, for layers that need no less."""

    def forward(self, maps: torch.Tensor, rows_padding: int | None = None) -> torch.Tensor:
        """Convolve maps (N, C, H, W)."""
        return super().forward(maps, rows_padding).float()


class Dense(nn.Module):
    """A linear layer in a chosen precision."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.to(dtype), requires_grad=False)
        # Typed as None or not, which PyTorch does not.
        bias: torch.Tensor | None = layer.bias
        self.bias = None if bias is None else nn.Parameter(bias.to(dtype), requires_grad=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Transform values (..., C)."""
        return linear(values.to(self.weight.dtype), self.weight, self.bias)


class FastAttention(nn.Module):
    """`Attention`; in bfloat16 its products are oneDNN's, which take half the time of PyTorch's own attention."""

    def __init__(self, layer: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = layer.heads
        self.qkv, self.projection = Dense(layer.qkv, dtype), Dense(layer.projection, dtype)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what tokens (N, T, width) gather from one another, in the same shape."""
        query, key, value = rearrange(self.qkv(tokens), "n t (three h d) -> three n h t d", three=3, h=self.heads)
        if query.dtype == torch.bfloat16 and has_onednn(query):
            mixed = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(dim=-1) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        projected: torch.Tensor = self.projection(rearrange(mixed, "n h t d -> n t (h d)"))
        return projected


def fold(*pairs: nn.Sequential) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold pairs of a 1x1 and a 3x3 convolution that read one map into a single 3x3 convolution.

    What the second convolution makes of the first one's bias depends on how many of its nine taps lie inside the image.
    So the folded convolution expects one more channel, of ones, which is padded with zeros as the maps are.

    Args:
        pairs: As `convolution_pair` makes them.

    Returns:
        Weight (D, C + 1, 3, 3) and bias (D,) for all pairs, one after the other.
    """
    weights, biases = [], []
    for first, second in pairs:
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        assert first.bias is not None
        assert second.bias is not None
        with_bias = torch.cat([first.weight[:, :, 0, 0], first.bias[:, None]], dim=1).double()
        weights.append(torch.einsum("omyx,mi->oiyx", second.weight.double(), with_bias).float())
        biases.append(second.bias)
    return torch.cat(weights), torch.cat(biases)


class FoldedRestormer(nn.Module):
    """A `Restormer` whose query, key and value are one convolution, and which reads every map only once.

    The channel of ones that `fold` asks for comes from the entry, whose last output is always 1. Instead of query and
    key the small matrix of their products is scaled to unit length, and the attention is multiplied with the projection
    that follows it, both being matrices of channels. The gate runs over bands of rows.

    An image that is worked on by itself is never normalized: that is done to the weights of the convolutions that read
    it, and so is the mixing of its values. Several at once would each need weights of their own.
    """

    def __init__(self, layer: Restormer, dtype: torch.dtype) -> None:
        super().__init__()
        mdta, gdfn = layer.mdta, layer.gdfn
        weight, bias = layer.entry.weight, layer.entry.bias
        assert bias is not None
        self.entry = Convolution(
            torch.cat([weight, weight.new_zeros(1, *weight.shape[1:])]),
            torch.cat([bias, bias.new_ones(1)]),
            dtype=dtype,
        )
        self.branches = Convolution(*fold(mdta.query, mdta.key, mdta.value), dtype=dtype)
        self.mixing = nn.Parameter(mdta.projection.weight[:, :, 0, 0].clone(), requires_grad=False)
        assert mdta.projection.bias is not None
        self.mixing_bias = mdta.projection.bias
        self.temperature = mdta.temperature if isinstance(mdta, MDTA) else None
        self.gate = Convolution(*fold(gdfn.gate), "gelu", dtype=dtype)
        self.content = Convolution(*fold(gdfn.content), dtype=dtype)
        self.projection = Convolution(gdfn.projection.weight, gdfn.projection.bias, dtype=dtype)
        self.ones_channel: torch.Tensor  # 1 for the channel of ones, 0 for the others
        ones_channel = F.one_hot(torch.tensor(len(bias)), len(bias) + 1).float()
        self.register_buffer("ones_channel", ones_channel, persistent=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Transform maps (N, channels_in, H, W) to (N, channels_out, H, W), float32."""
        return self.from_entered(channels_last(self.entry(channels_last(maps)).float()))

    def from_entered(self, entered: torch.Tensor) -> torch.Tensor:
        """Run what follows the entry, changing its input.

        Args:
            entered: (N, C + 1, H, W), the last channel of ones, float32, channels last.

        Returns:
            (N, C, H, W), float32, channels last.
        """
        answer = channels_last(torch.empty_like(entered[:, :-1]))
        pixels = entered.shape[-2] * entered.shape[-1]
        on_cpu = entered.device.type == "cpu"
        pairs_at_once = max(1, MAP_PX_AT_ONCE // pixels) if on_cpu else len(entered)
        by_itself = on_cpu and pairs_at_once == 1 and self.gate.weight.dtype == torch.float32
        transform = self._transform_one if by_itself else self._transform_several
        for part, part_answer in zip(entered.split(pairs_at_once), answer.split(pairs_at_once), strict=True):
            transform(part, part_answer)
        return answer

    def _transform_one(self, entered: torch.Tensor, answer: torch.Tensor) -> None:
        """Run MDTA and GDFN on maps (1, C + 1, H, W), and write what they answer without the ones."""
        channels = entered.shape[1] - 1
        (branches,) = self._normalizing(entered, self.branches)
        assert self.branches.bias is not None
        bias = self.branches.bias
        query_and_key = convolve(entered, branches[: 2 * channels], bias[: 2 * channels], [1, 1])
        mixing = self._mixing(query_and_key.permute(0, 2, 3, 1).flatten(1, 2))[0]
        # One more row, of zeros, leaves the ones as they are.
        value = F.pad((mixing @ branches[2 * channels :].flatten(1)).view(channels, -1, 3, 3), [0] * 7 + [1])
        value_bias = F.pad(mixing @ bias[2 * channels :] + self.mixing_bias, [0, 1])
        attended = convolve_plus(entered, entered, channels_last(value), value_bias, [1, 1])
        self._gate(attended, attended, self._normalizing(attended, self.gate, self.content), answer)

    def _transform_several(self, entered: torch.Tensor, answer: torch.Tensor) -> None:
        """Run MDTA and GDFN on maps (n, C + 1, H, W), changing them, and write what they answer without the ones."""
        channels = entered.shape[1] - 1
        branches = self.branches(self._normalize(entered)).permute(0, 2, 3, 1).flatten(1, 2).float()
        mixing = self._mixing(branches[..., : 2 * channels])
        pixels = entered.permute(0, 2, 3, 1).flatten(1, 2)
        pixels[..., :channels] += torch.baddbmm(self.mixing_bias, branches[..., 2 * channels :], mixing.mT)
        normalized = self._normalize(entered).to(self.gate.weight.dtype)
        self._gate(normalized, entered, [self.gate.weight, self.content.weight], answer)

    def _mixing(self, query_and_key: torch.Tensor) -> torch.Tensor:
        """Return the attention times the projection (n, C, C) from queries and keys (n, H * W, 2 C)."""
        channels = query_and_key.shape[-1] // 2
        products = query_and_key.mT @ query_and_key
        key_by_query = products[:, channels:, :channels]
        if self.temperature is None:
            attention = key_by_query.flatten(1).softmax(dim=-1).view_as(key_by_query)
        else:
            query_length, key_length = products.diagonal(dim1=1, dim2=2).sqrt().clamp(min=1e-12).chunk(2, dim=1)
            scaled = key_by_query / key_length[:, :, None] / query_length[:, None]
            attention = (scaled * self.temperature).softmax(dim=1)
        return self.mixing @ attention.mT

    def _gate(
        self, read: torch.Tensor, attended: torch.Tensor, weights: list[torch.Tensor], answer: torch.Tensor
    ) -> None:
        """Write maps (n, C + 1, H, W), without their ones, plus what GDFN computes to `answer`, band by band.

        Args:
            read: What GDFN's convolutions read, as large as the maps.
            attended: The maps.
            weights: Of the gate and of the content, for what they read.
            answer: (n, C, H, W).
        """
        channels, height, width = attended.shape[1] - 1, *attended.shape[-2:]
        gate, content = weights
        bordered = F.pad(read.permute(0, 2, 3, 1), [0, 0, 0, 0, 1, 1]).permute(0, 3, 1, 2)
        values = len(attended) * height * width * len(gate)
        bands = -(-values // GATE_VALUES_AT_ONCE) if attended.device.type == "cpu" else 1
        rows = -(-height // bands)
        for start in range(0, height, rows):
            band = bordered[..., start : start + rows + 2, :]
            gated = convolve(band, gate, self.gate.bias, [0, 1], activation="gelu")
            gated = convolve_times(band, gated, content, self.content.bias, [0, 1])
            here = slice(start, start + rows)
            torch.add(attended[:, :channels, here], self.projection(gated), out=answer[:, :, here])

    def _normalizing(self, maps: torch.Tensor, *convolutions: Convolution) -> list[torch.Tensor]:
        """Return the weights with which convolutions of maps (1, C + 1, H, W) answer as for normalized maps.

        The shift goes to the channel of ones, which is padded with zeros as normalized maps are.
        """
        width, channels = maps.shape[3], maps.shape[1]
        rows = maps.permute(0, 2, 3, 1).flatten(2)[0]
        # Rows are summed up as long vectors, which is faster, and the sums in float64, since squares are subtracted.
        mean, square = (
            values.mean(dim=0).view(width, channels).double().mean(dim=0) for values in (rows, rows.square())
        )
        ones = self.ones_channel
        variance = (square - mean.square()).clamp(min=0)
        scale = torch.lerp((variance + 1e-5).rsqrt().float(), ones, ones)
        shift = -mean.float() * scale * (1 - ones)
        return [
            channels_last(
                torch.addcmul(
                    convolution.weight * scale[:, None, None],
                    torch.einsum("ocyx,c->oyx", convolution.weight, shift)[:, None],
                    ones[:, None, None],
                )
            )
            for convolution in convolutions
        ]

    def _normalize(self, maps: torch.Tensor) -> torch.Tensor:
        """Scale every channel of maps (n, C + 1, H, W) to mean 0 and variance 1, except the ones, which stay.

        A row's values are treated as one long vector, which takes half the time where channels are few.
        """
        pixels = maps.permute(0, 2, 3, 1)
        width, channels = pixels.shape[2:]
        rows = pixels.flatten(2)

        def mean(values: torch.Tensor) -> torch.Tensor:
            return values.mean(dim=1).view(-1, width, channels).mean(dim=1)

        def along_row(values: torch.Tensor) -> torch.Tensor:
            return values.repeat(1, width)[:, None]

        centered = rows - along_row(mean(rows))
        scale = (mean(centered.square()) + 1e-5).rsqrt()
        normalized = torch.addcmul(along_row(self.ones_channel[None]), centered, along_row(scale))
        return normalized.view_as(pixels).permute(0, 3, 1, 2)
