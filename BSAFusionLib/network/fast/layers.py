"""What the inference form is made of: convolutions in a chosen precision, and Restormer layers in fewer operations."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from BSAFusionLib.network.fast.onednn import convolve, convolve_times, has_onednn, linear
from BSAFusionLib.network.restormer import Restormer
from BSAFusionLib.network.transformer import Attention

pixels_at_once = 2**16  # of the maps in a Restormer layer, on the CPU, for the cache's sake
band_values = 2**20  # of each branch of a Restormer layer's gate at once, on the CPU, for the cache's sake


def channels_last(x: torch.Tensor) -> torch.Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    # Of one channel PyTorch takes the usual strides for another order, and a convolution of it answers in that.
    return x.as_strided(x.shape, (x[0].numel(), 1, x.shape[3], 1)) if x.shape[1] == 1 else x


class Convolution(nn.Module):
    """A convolution in the precision of its weights, and what acts on its answer, which has that precision too."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        activation: str = "none",
        dtype: torch.dtype = torch.float32,
        padding: int | None = None,
        stride: int = 1,
    ):
        super().__init__()
        self.weight = nn.Parameter(channels_last(weight).to(dtype), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().to(dtype), requires_grad=False)
        self.activation = activation
        self.padding = weight.shape[-1] // 2 if padding is None else padding
        self.stride = stride

    def forward(self, x: torch.Tensor, rows_padding: int | None = None) -> torch.Tensor:
        """`rows_padding` above and below where it differs from that at the sides."""
        x = x.to(self.weight.dtype)
        padding = [self.padding if rows_padding is None else rows_padding, self.padding]
        return convolve(x, self.weight, self.bias, padding, self.stride, self.activation)

    def times(self, x: torch.Tensor, factor: torch.Tensor, rows_padding: int) -> torch.Tensor:
        """The answer for x, no activation, times a map of the answer's shape."""
        return convolve_times(x, factor, self.weight, self.bias, [rows_padding, self.padding])


class FloatConvolution(Convolution):
    """One whose answer is float32 whatever it was computed in, for what follows and is not made for less."""

    def forward(self, x: torch.Tensor, rows_padding: int | None = None) -> torch.Tensor:
        return super().forward(x, rows_padding).float()


class Dense(nn.Module):
    """A linear layer in a precision of its own, as `Convolution`."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype):
        super().__init__()
        self.weight = nn.Parameter(layer.weight.to(dtype), requires_grad=False)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.to(dtype), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x.to(self.weight.dtype), self.weight, self.bias)


class LeanAttention(nn.Module):
    """`Attention`; in bfloat16 its products are oneDNN's, which take half the time of PyTorch's own attention."""

    def __init__(self, layer: Attention, dtype: torch.dtype):
        super().__init__()
        self.heads = layer.heads
        self.qkv, self.projection = Dense(layer.qkv, dtype), Dense(layer.projection, dtype)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = rearrange(self.qkv(tokens), "n t (three h d) -> three n h t d", three=3, h=self.heads)
        if query.dtype == torch.bfloat16 and has_onednn(query):
            mixed = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(dim=-1) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        return self.projection(rearrange(mixed, "n h t d -> n t (h d)"))


def folded(*pairs: nn.Sequential) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of one 3x3 convolution that does what pairs of a 1x1 and a 3x3 do, which read one map.

    What the first one's bias becomes by the second depends on how many of the nine taps lie inside the image. So it
    expects a further channel of ones, which the zeros around the image border as they border the pair's middle.
    """
    weights = []
    for first, second in pairs:
        whole = torch.cat([first.weight[:, :, 0, 0], first.bias[:, None]], dim=1).double()
        weights.append(torch.einsum("omyx,mi->oiyx", second.weight.double(), whole).float())
    return torch.cat(weights), torch.cat([second.bias for _, second in pairs])


class FoldedRestormer(nn.Module):
    """A `Restormer` whose query, key and value are one convolution, and none of whose maps is read without need.

    The channel of ones that the `folded` pairs expect comes from the entry, whose further output is always 1. Instead
    of query and key the small matrix of their products is scaled to unit length, and the attention is multiplied with
    the projection that follows it, both being matrices of channels. The gate runs over bands of rows.
    """

    def __init__(self, layer: Restormer, dtype: torch.dtype):
        super().__init__()
        mdta, gdfn = layer.mdta, layer.gdfn
        weight, bias = layer.entry.weight, layer.entry.bias
        self.entry = Convolution(
            torch.cat([weight, weight.new_zeros(1, *weight.shape[1:])]),
            torch.cat([bias, bias.new_ones(1)]),
            dtype=dtype,
        )
        self.branches = Convolution(*folded(mdta.query, mdta.key, mdta.value), dtype=dtype)
        self.mixing = nn.Parameter(mdta.projection.weight[:, :, 0, 0].clone(), requires_grad=False)
        self.mixing_bias, self.temperature = mdta.projection.bias, mdta.temperature
        self.gate = Convolution(*folded(gdfn.gate), "gelu", dtype=dtype)
        self.content = Convolution(*folded(gdfn.content), dtype=dtype)
        self.projection = Convolution(gdfn.projection.weight, gdfn.projection.bias, dtype=dtype)
        self.register_buffer("last", F.one_hot(torch.tensor(len(bias)), len(bias) + 1).float(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.from_entered(channels_last(self.entry(channels_last(x)).float()))

    def from_entered(self, x: torch.Tensor) -> torch.Tensor:
        """What follows the entry; (N, C + 1, H, W), the last of them ones, float32, channels last. It is changed."""
        answer = channels_last(torch.empty_like(x[:, :-1]))
        some = max(1, pixels_at_once // (x.shape[-2] * x.shape[-1])) if x.device.type == "cpu" else len(x)
        for part, of_part in zip(x.split(some), answer.split(some), strict=True):
            self._of_some(part, of_part)
        return answer

    def _of_some(self, x: torch.Tensor, answer: torch.Tensor) -> None:
        channels, height, width = x.shape[1] - 1, *x.shape[-2:]
        pixels = x.permute(0, 2, 3, 1)
        normed = self._normalised(pixels).permute(0, 3, 1, 2)
        branches = self.branches(normed).permute(0, 2, 3, 1).flatten(1, 2).float()
        both, value = branches.split([2 * channels, channels], dim=2)
        products = both.mT @ both
        between = products[:, channels:, :channels]  # each key's with each query's
        if self.temperature is None:
            attention = between.flatten(1).softmax(dim=-1).view_as(between)
        else:
            query_length, key_length = products.diagonal(dim1=1, dim2=2).sqrt().clamp(min=1e-12).chunk(2, dim=1)
            scaled = between / key_length[:, :, None] / query_length[:, None]
            attention = (scaled * self.temperature).softmax(dim=1)
        mixing = self.mixing @ attention.mT
        pixels.flatten(1, 2)[..., :channels] += torch.baddbmm(self.mixing_bias, value, mixing.mT)

        bordered = F.pad(self._normalised(pixels).to(self.gate.weight.dtype), [0, 0, 0, 0, 1, 1]).permute(0, 3, 1, 2)
        bands = -(-len(x) * height * width * len(self.gate.weight) // band_values) if x.device.type == "cpu" else 1
        rows = -(-height // bands)
        for start in range(0, height, rows):
            band = bordered[..., start : start + rows + 2, :]
            gated = self.content.times(band, self.gate(band, rows_padding=0), rows_padding=0)
            here = ..., slice(start, start + rows), slice(None)
            torch.add(x[:, :channels][here], self.projection(gated), out=answer[here])

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Every channel of (N, H, W, C + 1) to mean 0 and variance 1, the ones apart, which stay.

        A row's values are treated as one long vector, which takes half the time where channels are few.
        """
        width, channels = pixels.shape[2:]
        rows = pixels.flatten(2)

        def mean(x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=1).unflatten(1, (width, channels)).mean(dim=1)

        def along_row(x: torch.Tensor) -> torch.Tensor:
            return x.repeat(1, width)[:, None]

        centred = rows - along_row(mean(rows))
        scale = (mean(centred.square()) + 1e-5).rsqrt()
        return torch.addcmul(along_row(self.last[None]), centred, along_row(scale)).view_as(pixels)
