"""Makes the inference form of a network."""

import copy

import torch
from torch import nn

from BSAFusionLib.network.bsfa import CorrelationStep
from BSAFusionLib.network.fast.bsfa import FastCorrelationStep, FastMatcher
from BSAFusionLib.network.fast.layers import Dense, FastAttention, FloatConvolution, FoldedRestormer
from BSAFusionLib.network.fast.mmff import FastLightMMFF, FastMMFF
from BSAFusionLib.network.fast.published import FastPublishedBSFA, FastPublishedMMFF
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.layers import Attention, Restormer
from BSAFusionLib.network.light_mmff import LightMMFF
from BSAFusionLib.network.matching import Matcher
from BSAFusionLib.network.mmff import MMFF
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.published.bsfa import PublishedBSFA
from BSAFusionLib.network.published.mmff import PublishedMMFF

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def inference_form(network: FusionNetwork, dtype: torch.dtype = torch.float32) -> FusionNetwork:
    """Return a copy for inference, whose answers differ from the network's by rounding alone.

    The copy cannot be trained or saved: its layers have other parameters, and it has no discriminator.

    Args:
        network: Either layout.
        dtype: Of convolutions and linear layers. In bfloat16 what they read and answer has 8 significant bits, while
            normalization, softmax over the image, matches, fields and sums stay float32.

    Returns:
        A network in evaluation mode, on the device of the given one.
    """
    form = copy.deepcopy(network).eval().requires_grad_(False)
    del form.mdf_fr.discriminator
    if isinstance(form, PublishedBSAFusion):
        assert isinstance(form.bsfa, PublishedBSFA)
        assert isinstance(form.mmff, PublishedMMFF)
        form.bsfa, form.mmff = FastPublishedBSFA(form.bsfa, dtype), FastPublishedMMFF(form.mmff, dtype)
    elif isinstance(form.mmff, LightMMFF):
        form.mmff = FastLightMMFF(form.mmff, dtype)
    else:
        assert isinstance(form.mmff, MMFF)
        form.mmff = FastMMFF(form.mmff, dtype)
    _replace_layers(form, dtype)
    return form


def _replace_layers(parent: nn.Module, dtype: torch.dtype) -> None:
    """Replace layers by their inference forms, at every depth."""
    for name, layer in parent.named_children():
        fast = _fast_layer(layer, dtype)
        if fast is None:
            _replace_layers(layer, dtype)
        else:
            setattr(parent, name, fast)


def _fast_layer(layer: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    """Return the inference form of a layer; None for one that has none."""
    match layer:
        case Restormer():
            return FoldedRestormer(layer, dtype)
        case Attention():
            return FastAttention(layer, dtype)
        case Matcher():
            return FastMatcher(layer, dtype)
        case CorrelationStep():
            return FastCorrelationStep(layer, dtype)
        case nn.ReLU():
            return nn.ReLU(inplace=True)  # it follows a convolution or a normalization, whose answer is its own
        case nn.Conv2d():
            return FloatConvolution.of(layer, dtype)
        case nn.Linear():
            return Dense(layer, dtype)
        case _:
            return None
