"""MDF-FR in the published layout."""

from typing import ClassVar

import torch
from torch import nn

from BSAFusionLib.network.layers import TransformerBlock
from BSAFusionLib.network.mdf_fr import MDFFR, ModalityClassifier, Transfer
from BSAFusionLib.network.published.layers import PublishedRestormer, PublishedTransformerBlock


class PublishedEncoder(nn.Module):
    """Two Restormer layers that both modalities share."""

    def __init__(self) -> None:
        super().__init__()
        self.shallow = PublishedRestormer(1, 8)
        self.deep = PublishedRestormer(8, 3)

    def forward(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """Encode slices (N, 1, H, W) as a shallow map (N, 8, H, W) and a deep one (N, 3, H, W)."""
        shallow = self.shallow(slices)
        return [shallow, self.deep(shallow)]


class PublishedModalityClassifier(ModalityClassifier):
    """The classifier with the released checkpoints' unused norm."""

    block_type: ClassVar[type[TransformerBlock]] = PublishedTransformerBlock

    def __init__(self, channels: int, width: int, patch: int, position_side: int) -> None:
        super().__init__(channels, width, patch, position_side)
        self.unused_norm = nn.LayerNorm(width)


class PublishedTransfer(Transfer):
    """The transfer as released: it removes the first token, although the class token stands last."""

    block_type: ClassVar[type[TransformerBlock]] = PublishedTransformerBlock

    def without_class_token(self, tokens: torch.Tensor) -> torch.Tensor:
        """Remove the first token: (N, T + 1, width) to (N, T, width)."""
        return tokens[:, 1:]


class PublishedMDFFR(MDFFR):
    """Computes the features of full-resolution slices."""

    width: ClassVar[int] = 256
    patch: ClassVar[int] = 16
    position_side: ClassVar[int] = 256
    encoder_channels: ClassVar[int] = 3
    encoder_type: ClassVar[type[nn.Module]] = PublishedEncoder
    classifier_type: ClassVar[type[ModalityClassifier]] = PublishedModalityClassifier
    transfer_type: ClassVar[type[Transfer]] = PublishedTransfer
