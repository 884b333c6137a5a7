"""MDF-FR, modality-discrepancy-free feature representation: what each slice shows, told apart from how it shows it."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import nn

from BSAFusionLib.network.restormer import Restormer
from BSAFusionLib.network.transformer import TransformerLayers
from BSAFusionLib.network.warp import PUBLISHED, resize


class Encoded(NamedTuple):
    """What MDF-FR makes of one slice before the transfer, as in `Features`; fusion needs no more."""

    maps: list[torch.Tensor]
    token_map: torch.Tensor

    @property
    def shallow(self) -> torch.Tensor:
        return self.maps[0]


class Features(NamedTuple):
    """What MDF-FR makes of one slice; maps are (N, C, H, W), finest first."""

    maps: list[torch.Tensor]  # published: shallow, deep; exact: 1/2, 1/4, 1/8 and 1/16 resolution
    token_map: torch.Tensor  # (N, width, H/16, W/16), before the transfer
    head: torch.Tensor  # (N, width): the modality feature representation head, MFRH
    logits: torch.Tensor  # (N, 2): which modality, equation (1)
    transferred: torch.Tensor  # (N, width, H/16, W/16), equation (2) through T_A or T_B

    @property
    def shallow(self) -> torch.Tensor:
        return self.maps[0]


class Encoder(nn.Module):
    """Two Restormer layers, shared by both modalities: shallow (N, 8, H, W) and deep (N, 3, H, W)."""

    channels_out = 3

    def __init__(self):
        super().__init__()
        self.shallow = Restormer(1, 8)
        self.deep = Restormer(8, 3)

    def forward(self, slices: torch.Tensor) -> list[torch.Tensor]:
        shallow = self.shallow(slices)
        return [shallow, self.deep(shallow)]


def edges(slices: torch.Tensor) -> torch.Tensor:
    """Length of the intensity gradient by central differences, to the half power; (N, 1, H, W) of slices in [0, 1].

    An edge has it whichever side is the brighter, so even untrained features of it resemble one another across
    modalities, and training has something to hold on to from its first step. The root lifts faint edges.
    """
    rows, columns = torch.gradient(slices, dim=(-2, -1))
    return (rows.square() + columns.square() + 1e-8).pow(0.25)


def with_edges(slices: torch.Tensor) -> torch.Tensor:
    """Slices (N, 1, H, W) and their `edges` as two channels."""
    return torch.cat([slices, edges(slices)], dim=1)


def convolution_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """3x3 convolution, normalised over the image in groups of eight channels, rectified."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.GroupNorm(channels_out // 8, channels_out), nn.ReLU()
    )


class PyramidEncoder(nn.Module):
    """Maps of each slice and its `edges` at 1/2, 1/4, 1/8 and 1/16 resolution, finest first.

    The first halving moves each 2 x 2 pixels into channels, so nothing is lost. The later ones average: pixel centres
    stay where they are in space, which a strided convolution would move.
    """

    widths = (48, 64, 96, 128)
    channels_out = widths[-1]

    def __init__(self):
        super().__init__()
        finest = self.widths[0]
        self.finest = nn.Sequential(
            nn.PixelUnshuffle(2), convolution_block(8, finest), convolution_block(finest, finest)
        )
        self.halvings = nn.ModuleList(
            nn.Sequential(nn.AvgPool2d(2), convolution_block(finer, coarser), convolution_block(coarser, coarser))
            for finer, coarser in zip(self.widths[:-1], self.widths[1:], strict=True)
        )

    def forward(self, slices: torch.Tensor) -> list[torch.Tensor]:
        maps = [self.finest(with_edges(slices))]
        for halving in self.halvings:
            maps.append(halving(maps[-1]))
        return maps


class TopDown(nn.Module):
    """What the tokens became by the transfer, brought down to every level: the maps that are matched, coarsest first.

    Each level joins the encoder's own map to the coarser level's (a feature pyramid, Lin et al., CVPR 2017), so that
    the finest map too knows both modalities' heads and a wide surrounding.
    """

    widths = (128, 64, 48, 32)

    def __init__(self, encoder_widths: tuple[int, ...]):
        super().__init__()
        finer_widths = self.widths[1:]
        self.own = nn.ModuleList(
            nn.Conv2d(before, after, 1)
            for before, after in zip(reversed(encoder_widths[:-1]), finer_widths, strict=True)
        )
        self.coarser = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(self.widths[:-1], finer_widths, strict=True)
        )
        self.joined = nn.ModuleList(convolution_block(width, width) for width in finer_widths)

    def forward(self, features: Features) -> list[torch.Tensor]:
        """The transferred tokens and the encoder's maps of one slice to (N, 128, h/16, w/16) ... (N, 32, h/2, w/2)."""
        finer_maps = features.maps[-2::-1]
        levels = [features.transferred + features.maps[-1]]
        for own, coarser, joined, own_map in zip(self.own, self.coarser, self.joined, finer_maps, strict=True):
            raised = resize(levels[-1], own_map.shape[-2:])
            levels.append(joined(own(own_map) + coarser(raised)))
        return levels


class PatchEmbedding(nn.Module):
    """A map (N, C, h, w), a learnt position added, cut into patches, row by row: tokens (N, T, width)."""

    def __init__(self, channels: int, width: int, patch: int, position_side: int):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 1, position_side, position_side))
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        position = resize(self.position, x.shape[-2:], align_corners=True)
        return rearrange(self.patches(x + position), "n c h w -> n (h w) c")


class ModalityClassifier(nn.Module):
    """Embeds patches and names the modality; as discriminator, only `classify` is used (equations (1) and (3))."""

    def __init__(self, channels: int, width: int, patch: int, position_side: int, with_unused_norm: bool):
        super().__init__()
        self.embedding = PatchEmbedding(channels, width, patch, position_side)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.layers = TransformerLayers(width, dropout=0.1, with_unused_norm=with_unused_norm)
        if with_unused_norm:
            self.unused_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))

    def classify(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens (N, T, width) to tokens (N, T, width), head (N, width) and logits (N, 2)."""
        joined = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        head, tokens = self.layers(joined).split([1, tokens.shape[1]], dim=1)
        return tokens, head[:, 0], self.mlp(head[:, 0])

    def forward(self, deepest: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.classify(self.embedding(deepest))


class Transfer(nn.Module):
    """T_A or T_B: tokens plus the other slice's head, through Transformer layers (equation (2)).

    A class token is appended last. The released code then cuts off position 0 instead of it; `published` does the same.
    """

    def __init__(self, width: int, convention: str, with_unused_norm: bool):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.layers = TransformerLayers(width, with_unused_norm=with_unused_norm)
        self.convention = convention

    def forward(self, tokens: torch.Tensor, other_head: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([tokens + other_head[:, None], self.class_token.expand(len(tokens), -1, -1)], dim=1)
        joined = self.layers(joined)
        return joined[:, 1:] if self.convention == PUBLISHED else joined[:, :-1]


class MDFFR(nn.Module):
    """Fixed and moving slices (N, 1, H, W) to the `Features` of each."""

    def __init__(self, convention: str):
        super().__init__()
        published = convention == PUBLISHED
        self.width = 256 if published else 128
        self.encoder = Encoder() if published else PyramidEncoder()
        patch, position_side = (16, 256) if published else (1, 8)
        shape = (self.encoder.channels_out, self.width, patch, position_side, published)
        self.classifier = ModalityClassifier(*shape)
        self.discriminator = ModalityClassifier(*shape)
        self.discriminator.requires_grad_(False)
        self.transfer_fixed = Transfer(self.width, convention, published)
        self.transfer_moving = Transfer(self.width, convention, published)

    def renew_discriminator(self) -> None:
        """Make the discriminator today's copy of the classifier, as is done after each epoch (method, section 1)."""
        self.discriminator.load_state_dict(self.classifier.state_dict())

    def discriminate(self, features: Features) -> torch.Tensor:
        """Logits (N, 2) of the discriminator on the transferred tokens, for equation (3)."""
        return self.discriminator.classify(rearrange(features.transferred, "n c h w -> n (h w) c"))[2]

    def encode(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[Encoded, Encoded]:
        """Without the transfer, for slices that are fused only."""
        maps = self.encoder(torch.cat([fixed, moving]))
        tokens, _, _ = self.classifier(maps[-1])
        token_maps = rearrange(tokens, "n (h w) c -> n c h w", h=fixed.shape[-2] // 16)
        of_fixed, of_moving = zip(*(each.chunk(2) for each in maps), strict=True)
        fixed_tokens, moving_tokens = token_maps.chunk(2)
        return Encoded(list(of_fixed), fixed_tokens), Encoded(list(of_moving), moving_tokens)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[Features, Features]:
        count, _, height, _ = fixed.shape
        maps = self.encoder(torch.cat([fixed, moving]))
        tokens, heads, logits = self.classifier(maps[-1])

        def as_map(x: torch.Tensor) -> torch.Tensor:
            return rearrange(x, "n (h w) c -> n c h w", h=height // 16)

        fixed_half, moving_half = slice(None, count), slice(count, None)

        def features(half: slice, transferred: torch.Tensor) -> Features:
            return Features(
                [m[half] for m in maps], as_map(tokens[half]), heads[half], logits[half], as_map(transferred)
            )

        return (
            features(fixed_half, self.transfer_fixed(tokens[fixed_half], heads[moving_half])),
            features(moving_half, self.transfer_moving(tokens[moving_half], heads[fixed_half])),
        )
