"""The network as it is used, not trained: the same answers from fewer and larger operations."""

import copy

import torch
from torch import nn

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.fast.layers import Dense, FloatConvolution, FoldedRestormer, LeanAttention
from BSAFusionLib.network.fast.published import LeanBSFA, LeanMMFF
from BSAFusionLib.network.restormer import Restormer
from BSAFusionLib.network.transformer import Attention
from BSAFusionLib.network.warp import PUBLISHED

precisions = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def inference_form(network: BSAFusion, dtype: torch.dtype = torch.float32) -> BSAFusion:
    """A copy in evaluation mode, whose answers differ from the network's by rounding alone.

    `dtype` is that of the convolutions and linear layers: in bfloat16 what they read and answer has 8 significant bits,
    while normalisation, softmax over the image, matches, fields and sums stay float32. The copy cannot be trained or
    saved: its layers have other parameters, and there is no discriminator.
    """
    form = copy.deepcopy(network).eval().requires_grad_(False)
    del form.mdf_fr.discriminator
    if form.metadata.convention == PUBLISHED:
        form.bsfa, form.mmff = LeanBSFA(form.bsfa, dtype), LeanMMFF(form.mmff, dtype)
    _replace(form, dtype)
    return form


def _replace(parent: nn.Module, dtype: torch.dtype) -> None:
    """Put inference layers in the places of those that they were made from, all the way down."""
    for name, layer in parent.named_children():
        if isinstance(layer, Restormer):
            setattr(parent, name, FoldedRestormer(layer, dtype))
        elif isinstance(layer, Attention):
            setattr(parent, name, LeanAttention(layer, dtype))
        elif isinstance(layer, nn.Conv2d):
            setattr(
                parent,
                name,
                FloatConvolution(layer.weight, layer.bias, "none", dtype, layer.padding[0], layer.stride[0]),
            )
        elif isinstance(layer, nn.Linear):
            setattr(parent, name, Dense(layer, dtype))
        else:
            _replace(layer, dtype)
