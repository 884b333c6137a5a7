"""The whole network: two slices in, the fused slice, every field and the modality logits out."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from BSAFusionLib.network.bsfa import BSFA, CorrelationBSFA, Evidence, Fields, Match, double, sum_of_steps, sum_so_far
from BSAFusionLib.network.mdf_fr import MDFFR, Features
from BSAFusionLib.network.mmff import MMFF, PyramidMMFF
from BSAFusionLib.network.warp import CONVENTIONS, EXACT, PUBLISHED

seen_level = 0.05  # a pixel brighter than this in either slice shows something


@dataclass(frozen=True)
class Metadata:
    """What must be known of a checkpoint to run it right.

    `convention` is `published` (bit-compatible with the released checkpoints) or `exact` (ours: exact sampling, the
    class token cut off where it stands, steps that see a local correlation). `modality` is "ct", "pet", "spect" or
    "all"; `size` the side in pixels of the square slices that it was trained on.
    """

    convention: str = EXACT
    modality: str = "all"
    size: int = 256

    def __post_init__(self):
        if self.convention not in CONVENTIONS:
            raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, not {self.convention!r}")


class Registration(NamedTuple):
    """What registering N slice pairs found, all of it at the size of the slices that were registered."""

    forward_fields: Fields  # phi_A, a field a step, pixels of its level, coarsest first
    reverse_fields: Fields  # phi_B, likewise
    field: torch.Tensor  # (N, 2, H, W) in pixels: phi of (7): B sampled at x + phi(x) lies on A
    fixed: Features
    moving: Features
    matches: list[Match]  # one a pair of steps; exact convention only
    told: Evidence | None  # what the last step tells of the field, in pixels of the slices; exact convention only


class BSAFusionOutput(NamedTuple):
    """One pass over N slice pairs of H x W pixels."""

    fused: torch.Tensor | None  # (N, 1, H, W) in [0, 1]; None where only the registration was asked for
    field: torch.Tensor  # (N, 2, H, W) in pixels: phi of (7) times the strength: B sampled at x + phi(x) lies on A
    registration: Registration  # of the halved slices under the exact convention

    @property
    def fixed_logits(self) -> torch.Tensor:
        return self.registration.fixed.logits

    @property
    def moving_logits(self) -> torch.Tensor:
        return self.registration.moving.logits


class BSAFusion(nn.Module):
    """BSAFusion (Li, Su, Cai, Zhang, AAAI 2025, arXiv 2412.08050) under either convention.

    The exact layout registers at half the resolution and fuses at the whole: the fields are far smoother than two
    pixels, and a quarter of the cost buys four times the training.
    """

    def __init__(self, metadata: Metadata = Metadata()):  # noqa: B008 (frozen)
        super().__init__()
        self.metadata = metadata
        self.mdf_fr = MDFFR(metadata.convention)
        if metadata.convention == PUBLISHED:
            self.bsfa, self.mmff = BSFA(), MMFF()
        else:
            widths = self.mdf_fr.encoder.widths
            self.bsfa, self.mmff = CorrelationBSFA(widths), PyramidMMFF(widths)

    def forward(
        self, fixed: torch.Tensor, moving: torch.Tensor, fuse: bool = True, strength: float = 1.0
    ) -> BSAFusionOutput:
        """Register `moving` to `fixed` and fuse them; both (N, 1, H, W) in [0, 1], H and W multiples of 16.

        `strength` is the share of the composed field that is followed; the steps' own fields stay whole.

        Raises:
            ValueError: the shapes differ, or are not (N, 1, H, W) with sides that are multiples of 16.
        """
        check_slices(fixed, moving)
        size = fixed.shape[-2:]
        if self.metadata.convention == PUBLISHED:
            registration = self.register(fixed, moving)
            field = strength * registration.field
        else:
            registration = self.register(halved(fixed), halved(moving))
            field = (2 * strength * double(registration.field, align_corners=False))[..., : size[0], : size[1]]
        fused = self.mmff(registration.fixed, registration.moving, field, (fixed, moving)) if fuse else None
        return BSAFusionOutput(fused, field, registration)

    def told(self, fixed: torch.Tensor, moving: torch.Tensor) -> Evidence:
        """What the slices, as in `forward`, tell of the field, before they are smoothed: in pixels of these slices.

        The published layout tells its own composed field everywhere, to the nearest pixel.
        """
        check_slices(fixed, moving)
        if self.metadata.convention == PUBLISHED:
            mean = F.avg_pool2d(self.register(fixed, moving).field, 8)
            return Evidence(
                mean, mean.new_tensor([1.0, 1.0, 0.0])[:, None, None].expand(len(mean), 3, *mean.shape[-2:])
            )
        mean, precision = self.bsfa.told(*self.mdf_fr(halved(fixed), halved(moving)))
        rows, columns = fixed.shape[-2] // 8, fixed.shape[-1] // 8  # without what the halved slices were bordered by
        return Evidence(2 * mean[..., :rows, :columns], precision[..., :rows, :columns] / 4)

    def agreement(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """How well the modality-free features of slices, as in `forward`, agree as they lie, a number a pair (N,).

        Only the difference between two numbers of one fixed slice means something: the larger, the better they lie. It
        is what `CorrelationBSFA.agreement` says, in nats. The published layout has no matches; its transferred
        features, from which the modality cannot be told (equation (3)), are compared by the cosine between them.
        """
        check_slices(fixed, moving)
        if self.metadata.convention == PUBLISHED:
            transferred = [features.transferred for features in self.mdf_fr(fixed, moving)]
            # What all places share says nothing about which are the same.
            varying = [maps - maps.mean(dim=(2, 3), keepdim=True) for maps in transferred]
            return F.cosine_similarity(*varying).mean(dim=(1, 2))
        small = halved(fixed), halved(moving)
        inside = (torch.maximum(*small) > seen_level).float()
        return self.bsfa.agreement(*self.mdf_fr(*small), inside)

    def fuse(self, fixed: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
        """Fuse slices (N, 1, H, W), as in `forward`, that lie on each other."""
        check_slices(fixed, registered)
        small = (fixed, registered) if self.metadata.convention == PUBLISHED else (halved(fixed), halved(registered))
        nowhere = fixed.new_zeros(len(fixed), 2, *fixed.shape[-2:])
        return self.mmff(*self.mdf_fr.encode(*small), nowhere, (fixed, registered))

    def register(self, fixed: torch.Tensor, moving: torch.Tensor) -> Registration:
        """MDF-FR and BSFA on slices of the size that they work at: (N, 1, H, W), H and W multiples of 16."""
        features = self.mdf_fr(fixed, moving)
        forward_fields, reverse_fields, matches, told = self.bsfa(*features)
        size = fixed.shape[-2:]
        summed = sum_of_steps if self.metadata.convention == PUBLISHED else sum_so_far
        field = summed(reverse_fields, size) - summed(forward_fields, size)
        return Registration(forward_fields, reverse_fields, field, *features, matches, told)


def check_slices(fixed: torch.Tensor, moving: torch.Tensor) -> None:
    """ValueError unless both are (N, 1, H, W), of one shape, with sides that are multiples of 16."""
    if fixed.shape != moving.shape or fixed.ndim != 4 or fixed.shape[1] != 1:
        raise ValueError(f"two batches of one shape (N, 1, H, W) are needed, not {fixed.shape} and {moving.shape}")
    if fixed.shape[-2] % 16 or fixed.shape[-1] % 16:
        raise ValueError(f"the sides of a slice must be multiples of 16, not {fixed.shape[-2]} x {fixed.shape[-1]}")


def halved(slices: torch.Tensor) -> torch.Tensor:
    """Slices (N, 1, H, W) at half the size, bordered by repetition to sides that are again multiples of 16."""
    small = F.avg_pool2d(slices, 2)
    return F.pad(small, [0, -small.shape[-1] % 16, 0, -small.shape[-2] % 16], mode="replicate")
