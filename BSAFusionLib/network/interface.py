"""What both layouts of the network offer: registration, its evidence, the agreement of features, and fusion."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from BSAFusionLib.network.bsfa import Fields, Steps
from BSAFusionLib.network.estimate import Estimate
from BSAFusionLib.network.matching import Match
from BSAFusionLib.network.mdf_fr import MDFFR, Features
from BSAFusionLib.network.metadata import SIDE_STEP_PX, Metadata


class Registration(NamedTuple):
    """The registration of N slice pairs, at the size of the slices that were registered.

    Attributes:
        forward_fields: phi_A, a field a step in pixels of its level, coarsest first.
        reverse_fields: phi_B, likewise.
        field: (N, 2, H, W) in pixels: phi of equation (7). B sampled at x + phi(x) lies on A.
        fixed: Features of the fixed slices.
        moving: Features of the moving slices.
        matches: One a pair of steps; none in the published layout.
        evidence: The last step's estimate of the field before smoothing; none in the published layout.
    """

    forward_fields: Fields
    reverse_fields: Fields
    field: torch.Tensor
    fixed: Features
    moving: Features
    matches: tuple[Match, ...]
    evidence: Estimate | None


class BSAFusionOutput(NamedTuple):
    """One pass over N slice pairs of H x W pixels.

    Attributes:
        fused: (N, 1, H, W) in [0, 1]; None where only the registration was asked for.
        field: (N, 2, H, W) in pixels: phi of equation (7) times the strength. B sampled at x + phi(x) lies on A.
        registration: At the size that the layout registers at.
    """

    fused: torch.Tensor | None
    field: torch.Tensor
    registration: Registration

    @property
    def fixed_logits(self) -> torch.Tensor:
        """Return the modality logits (N, 2) of the fixed slices."""
        return self.registration.fixed.logits

    @property
    def moving_logits(self) -> torch.Tensor:
        """Return the modality logits (N, 2) of the moving slices."""
        return self.registration.moving.logits


class FusionNetwork(nn.Module):
    """The network of Li, Su, Cai and Zhang (AAAI 2025, arXiv 2412.08050), in either layout.

    Slices are (N, 1, H, W) in [0, 1], with sides that are multiples of 16.
    """

    convention: ClassVar[str]
    mdf_fr: MDFFR
    bsfa: nn.Module
    mmff: nn.Module

    def __init__(self, metadata: Metadata) -> None:
        super().__init__()
        if metadata.convention != self.convention:
            raise ValueError(f"{type(self).__name__} runs {self.convention!r} weights, not {metadata.convention!r}.")
        self.metadata = metadata

    def forward(
        self, fixed: torch.Tensor, moving: torch.Tensor, fuse: bool = True, strength: float = 1.0
    ) -> BSAFusionOutput:
        """Register moving slices to fixed ones and fuse them.

        Args:
            fixed: (N, 1, H, W) in [0, 1], H and W multiples of 16.
            moving: The same shape.
            fuse: Whether to fuse; without it only the registration is computed.
            strength: Fraction of the composed field that is applied; the steps' own fields stay whole.

        Raises:
            ValueError: The shapes differ, or are not (N, 1, H, W) with sides that are multiples of 16.
        """
        raise NotImplementedError

    def evidence(self, fixed: torch.Tensor, moving: torch.Tensor) -> Estimate:
        """Estimate the field before smoothing, with its precision; arguments and errors as in `forward`.

        Returns:
            (N, 2, H/8, W/8) and (N, 3, H/8, W/8), in pixels of the slices.
        """
        raise NotImplementedError

    def agreement(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Measure how well the modality-free features of slices agree as they lie; arguments as in `forward`.

        Only the difference between two values for one fixed slice has a meaning: the larger, the better aligned.

        Returns:
            (N,).
        """
        raise NotImplementedError

    def moving_log_odds(self, slices: torch.Tensor) -> torch.Tensor:
        """Classify slices by the modality classifier of equation (1).

        Args:
            slices: (N, 1, H, W) in [0, 1], H and W multiples of 16.

        Returns:
            (N,): the logarithm of the odds that a slice is of the moving modality, and not an MRI.
        """
        logits: torch.Tensor = self.mdf_fr.classifier(self.mdf_fr.encoder(slices)[-1]).logits
        return (logits[:, 0] - logits[:, 1]).float()

    def fuse(self, fixed: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
        """Fuse slices that are aligned; arguments and errors as in `forward`.

        Returns:
            (N, 1, H, W) in [0, 1].
        """
        raise NotImplementedError

    def warp(self, images: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        """Sample images (N, C, H, W) at x + field(x) as this layout does; field (N, 2, H, W) in pixels."""
        raise NotImplementedError

    def compose(self, fields: Fields, size: tuple[int, int]) -> torch.Tensor:
        """Sum one direction's fields, equation (7), to (N, 2, *size) in pixels of that size."""
        raise NotImplementedError

    def checkpoint_key(self, name: str) -> str:
        """Return the name that a tensor of `state_dict` has in this layout's checkpoints."""
        return name

    def register(self, fixed: torch.Tensor, moving: torch.Tensor) -> Registration:
        """Run MDF-FR and BSFA on slices of the size that the layout registers at.

        Args:
            fixed: (N, 1, H, W) in [0, 1], H and W multiples of 16.
            moving: The same shape.
        """
        fixed_features, moving_features = self.mdf_fr(fixed, moving)
        steps: Steps = self.bsfa(fixed_features, moving_features)
        size = (fixed.shape[-2], fixed.shape[-1])
        field = self.compose(steps.reverse_fields, size) - self.compose(steps.forward_fields, size)
        return Registration(
            forward_fields=steps.forward_fields,
            reverse_fields=steps.reverse_fields,
            field=field,
            fixed=fixed_features,
            moving=moving_features,
            matches=steps.matches,
            evidence=steps.evidence,
        )

    def __call__(self, *arguments: Any, **keywords: Any) -> BSAFusionOutput:
        """Run `forward`, with the type that `nn.Module` does not declare."""
        output: BSAFusionOutput = super().__call__(*arguments, **keywords)
        return output


def check_slices(fixed: torch.Tensor, moving: torch.Tensor) -> None:
    """Reject slices that the network cannot take.

    Raises:
        ValueError: The shapes differ, or are not (N, 1, H, W) with sides that are multiples of 16.
    """
    if fixed.shape != moving.shape or fixed.ndim != 4 or fixed.shape[1] != 1:
        raise ValueError(
            f"Slices must be two batches of one shape (N, 1, H, W), not {tuple(fixed.shape)} and {tuple(moving.shape)}."
        )
    rows, columns = fixed.shape[-2:]
    if rows % SIDE_STEP_PX or columns % SIDE_STEP_PX:
        raise ValueError(f"The sides of a slice must be multiples of {SIDE_STEP_PX}, not {rows} x {columns}.")
