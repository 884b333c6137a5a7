"""MDF-FR, modality-discrepancy-free feature representation: separates what a slice shows from its modality."""

from typing import ClassVar, NamedTuple

import torch
from einops import rearrange
from torch import nn

from BSAFusionLib.network.layers import TransformerBlock, convolution_block, transformer_layers
from BSAFusionLib.network.sampling import resize


class Encoded(NamedTuple):
    """The encoding of one slice before the transfer, which is all that fusion needs; shapes as in `Features`."""

    maps: list[torch.Tensor]
    token_map: torch.Tensor


class Features(NamedTuple):
    """The full representation of one slice.

    Attributes:
        maps: The encoder's maps (N, C, h, w), finest first: at 1/2, 1/4, 1/8 and 1/16 resolution (published layout:
            shallow and deep, both at full resolution).
        token_map: (N, width, H/16, W/16), before the transfer.
        head: (N, width), the modality feature representation head, MFRH.
        logits: (N, 2), which modality it is, equation (1).
        transferred: (N, width, H/16, W/16), after T_A or T_B, equation (2).
    """

    maps: list[torch.Tensor]
    token_map: torch.Tensor
    head: torch.Tensor
    logits: torch.Tensor
    transferred: torch.Tensor


def edge_strength(slices: torch.Tensor) -> torch.Tensor:
    """Return the square root of the gradient's length, by central differences.

    It does not depend on which side of an edge is brighter. So even untrained features of it resemble one another
    across modalities, and training has something to hold on to from its first step. The root lifts faint edges.

    Args:
        slices: (N, 1, H, W) in [0, 1].

    Returns:
        (N, 1, H, W).
    """
    rows, columns = torch.gradient(slices, dim=(-2, -1))
    return (rows.square() + columns.square() + 1e-8).pow(0.25)


def with_edges(slices: torch.Tensor) -> torch.Tensor:
    """Stack slices (N, 1, H, W) and their `edge_strength` as two channels."""
    return torch.cat([slices, edge_strength(slices)], dim=1)


class Encoder(nn.Module):
    """Computes maps of each slice at 1/2, 1/4, 1/8 and 1/16 resolution, finest first.

    The first halving moves each 2 x 2 pixels into channels, so nothing is lost. The later ones average, which keeps
    pixel centers in place; a strided convolution would move them.
    """

    widths: ClassVar[tuple[int, ...]] = (48, 64, 96, 128)

    def __init__(self) -> None:
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
        """Encode slices (N, 1, H, W) and their edges."""
        maps = [self.finest(with_edges(slices))]
        for halving in self.halvings:
            maps.append(halving(maps[-1]))
        return maps


class TopDown(nn.Module):
    """Brings the transferred tokens down to every level, for matching.

    Each level adds the encoder's own map to the coarser level's (a feature pyramid, Lin et al., CVPR 2017), so the
    finest map, too, sees a wide surrounding and has passed the transfer.
    """

    widths: ClassVar[tuple[int, ...]] = (128, 64, 48, 32)

    def __init__(self, encoder_widths: tuple[int, ...]) -> None:
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
        """Return the maps of one slice, coarsest first: (N, 128, H/16, W/16) ... (N, 32, H/2, W/2)."""
        finer_maps = features.maps[-2::-1]
        levels = [features.transferred + features.maps[-1]]
        for own, coarser, joined, own_map in zip(self.own, self.coarser, self.joined, finer_maps, strict=True):
            # A 1x1 convolution and an enlargement whose weights sum to 1 commute; the smaller map is the cheaper.
            enlarged = resize(coarser(levels[-1]), (own_map.shape[-2], own_map.shape[-1]))
            levels.append(joined(own(own_map) + enlarged))
        return levels


class PatchEmbedding(nn.Module):
    """Adds a learned position to a map (N, C, h, w) and cuts it into tokens (N, T, width), row by row."""

    def __init__(self, channels: int, width: int, patch: int, position_side: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 1, position_side, position_side))
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Embed maps (N, C, h, w)."""
        position = resize(self.position, (maps.shape[-2], maps.shape[-1]), align_corners=True)
        patches: torch.Tensor = self.patches(maps + position)
        return rearrange(patches, "n c h w -> n (h w) c")


class Classification(NamedTuple):
    """A classifier's answer: tokens (N, T, width), head (N, width) and logits (N, 2)."""

    tokens: torch.Tensor
    head: torch.Tensor
    logits: torch.Tensor


class ModalityClassifier(nn.Module):
    """Embeds patches and classifies the modality, equation (1).

    As discriminator, equation (3), only `classify` is used.
    """

    block_type: ClassVar[type[TransformerBlock]] = TransformerBlock

    def __init__(self, channels: int, width: int, patch: int, position_side: int) -> None:
        super().__init__()
        self.embedding = PatchEmbedding(channels, width, patch, position_side)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.layers = transformer_layers(self.block_type, width, dropout=0.1)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))

    def classify(self, tokens: torch.Tensor) -> Classification:
        """Classify embedded tokens (N, T, width)."""
        with_class = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        head, tokens = self.layers(with_class).split([1, tokens.shape[1]], dim=1)
        return Classification(tokens, head[:, 0], self.mlp(head[:, 0]))

    def forward(self, deepest: torch.Tensor) -> Classification:
        """Embed and classify the encoder's deepest maps (N, C, h, w)."""
        return self.classify(self.embedding(deepest))


class Transfer(nn.Module):
    """T_A or T_B: carries tokens towards the other modality by its head, equation (2)."""

    block_type: ClassVar[type[TransformerBlock]] = TransformerBlock

    def __init__(self, width: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.layers = transformer_layers(self.block_type, width)

    def without_class_token(self, tokens: torch.Tensor) -> torch.Tensor:
        """Remove the class token, which stands last: (N, T + 1, width) to (N, T, width)."""
        return tokens[:, :-1]

    def forward(self, tokens: torch.Tensor, other_head: torch.Tensor) -> torch.Tensor:
        """Transfer tokens (N, T, width) with the other slice's head (N, width)."""
        with_class = torch.cat([tokens + other_head[:, None], self.class_token.expand(len(tokens), -1, -1)], dim=1)
        return self.without_class_token(self.layers(with_class))


class MDFFR(nn.Module):
    """Computes the `Features` of fixed and moving slices."""

    width: ClassVar[int] = 128
    patch: ClassVar[int] = 1
    position_side: ClassVar[int] = 8
    encoder_channels: ClassVar[int] = Encoder.widths[-1]
    encoder_type: ClassVar[type[nn.Module]] = Encoder
    classifier_type: ClassVar[type[ModalityClassifier]] = ModalityClassifier
    transfer_type: ClassVar[type[Transfer]] = Transfer

    def __init__(self) -> None:
        super().__init__()
        self.encoder = self.encoder_type()
        shape = (self.encoder_channels, self.width, self.patch, self.position_side)
        self.classifier = self.classifier_type(*shape)
        self.discriminator = self.classifier_type(*shape)
        self.discriminator.requires_grad_(False)
        self.transfer_fixed = self.transfer_type(self.width)
        self.transfer_moving = self.transfer_type(self.width)

    def renew_discriminator(self) -> None:
        """Copy the classifier's weights to the discriminator, as is done after each epoch (method, section 1)."""
        self.discriminator.load_state_dict(self.classifier.state_dict())

    def discriminate(self, features: Features) -> torch.Tensor:
        """Return the discriminator's logits (N, 2) for the transferred tokens, equation (3)."""
        return self.discriminator.classify(rearrange(features.transferred, "n c h w -> n (h w) c")).logits

    def encode(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[Encoded, Encoded]:
        """Encode fixed and moving slices (N, 1, H, W) without the transfer, for fusion."""
        maps = self.encoder(torch.cat([fixed, moving]))
        token_maps = tokens_as_map(self.classifier(maps[-1]).tokens, fixed.shape[-2])
        fixed_maps, moving_maps = zip(*(level_map.chunk(2) for level_map in maps), strict=True)
        fixed_tokens, moving_tokens = token_maps.chunk(2)
        return Encoded(list(fixed_maps), fixed_tokens), Encoded(list(moving_maps), moving_tokens)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[Features, Features]:
        """Compute the features of fixed and of moving slices, both (N, 1, H, W)."""
        count, _, height, _ = fixed.shape
        maps = self.encoder(torch.cat([fixed, moving]))
        tokens, heads, logits = self.classifier(maps[-1])

        def features(half: slice, transferred: torch.Tensor) -> Features:
            return Features(
                [level_map[half] for level_map in maps],
                tokens_as_map(tokens[half], height),
                heads[half],
                logits[half],
                tokens_as_map(transferred, height),
            )

        of_fixed, of_moving = slice(None, count), slice(count, None)
        return (
            features(of_fixed, self.transfer_fixed(tokens[of_fixed], heads[of_moving])),
            features(of_moving, self.transfer_moving(tokens[of_moving], heads[of_fixed])),
        )


def tokens_as_map(tokens: torch.Tensor, height: int) -> torch.Tensor:
    """Arrange tokens (N, T, width) of slices of that height as a map (N, width, height/16, T / (height/16))."""
    return rearrange(tokens, "n (h w) c -> n c h w", h=height // 16)
