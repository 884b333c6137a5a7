"""The network as it is used, not trained: the same answers from fewer and larger operations."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.restormer import Restormer, each_channel_normalised


def inference_form(network: BSAFusion) -> BSAFusion:
    """A copy in evaluation mode, whose answers differ from the network's by rounding alone.

    It cannot be trained or saved: its layers have other parameters, and there is no discriminator. Under
    `torch.autocast` its layers run in half precision, as the network's do.
    """
    form = copy.deepcopy(network).eval().requires_grad_(False)
    del form.mdf_fr.discriminator
    for layer in form.modules():
        if isinstance(layer, nn.Conv2d):
            # At sizes as here oneDNN takes half the time for maps whose channels come last.
            layer.weight.data = layer.weight.contiguous(memory_format=torch.channels_last)
    for parent in list(form.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, Restormer):
                setattr(parent, name, FoldedRestormer(layer))
    return form


class FoldedPairs(nn.Module):
    """Several pairs of a 1x1 and a 3x3 convolution that read one map, as a single 3x3 convolution.

    What the first one's bias becomes by the second depends on how many of the nine taps lie inside the image. So it is
    carried by a further channel of ones, which the zeros around the image border as they border the pair's middle.
    """

    def __init__(self, *pairs: nn.Sequential):
        super().__init__()
        weights = []
        for first, second in pairs:
            whole = torch.cat([first.weight[:, :, 0, 0], first.bias[:, None]], dim=1).double()
            weights.append(torch.einsum("omyx,mi->oiyx", second.weight.double(), whole))
        self.sizes = [len(weight) for weight in weights]
        self.weight = nn.Parameter(torch.cat(weights).float(), requires_grad=False)
        self.bias = nn.Parameter(torch.cat([second.bias for _, second in pairs]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with_ones = F.pad(x, [0, 0, 0, 0, 0, 1], value=1.0)
        return F.conv2d(with_ones, self.weight, self.bias, padding=1).split(self.sizes, dim=1)


class FoldedRestormer(nn.Module):
    """A `Restormer` whose query, key and value are one convolution, gate and content another.

    Two steps more are saved: the channels' attention is multiplied with the projection that follows it, both being
    matrices of channels; and instead of query and key their small matrix of products is scaled to unit length.
    """

    def __init__(self, layer: Restormer):
        super().__init__()
        mdta, gdfn = layer.mdta, layer.gdfn
        self.entry = layer.entry
        self.branches = FoldedPairs(mdta.query, mdta.key, mdta.value)
        self.mixing, self.temperature = mdta.projection, mdta.temperature
        self.gated = FoldedPairs(gdfn.gate, gdfn.content)
        self.projection = gdfn.projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type == "cpu":  # one at a time, so that a slice's maps stay in the cache
            return torch.cat([self._of_some(each) for each in x.split(1)])
        return self._of_some(x)

    def _of_some(self, x: torch.Tensor) -> torch.Tensor:
        x = self.entry(x)
        query, key, value = (branch.flatten(2) for branch in self.branches(each_channel_normalised(x)))
        products = key @ query.mT
        if self.temperature is None:
            attention = products.flatten(1).softmax(dim=-1).view_as(products)
        else:
            lengths = (torch.linalg.vector_norm(each, dim=-1).clamp(min=1e-12) for each in (key, query))
            key_length, query_length = lengths
            scaled = products / key_length[:, :, None] / query_length[:, None]
            attention = (scaled * self.temperature).softmax(dim=1)
        mixing = self.mixing.weight[:, :, 0, 0] @ attention.mT
        x = x + (mixing @ value + self.mixing.bias[:, None]).view_as(x)
        gate, content = self.gated(each_channel_normalised(x))
        return x + self.projection(F.gelu(gate) * content)
