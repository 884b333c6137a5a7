"""The network in the layout of the released checkpoints, whose results it reproduces."""

from typing import ClassVar

import torch
import torch.nn.functional as F

from BSAFusionLib.network.bsfa import Fields
from BSAFusionLib.network.estimate import Estimate
from BSAFusionLib.network.interface import BSAFusionOutput, FusionNetwork, check_slices
from BSAFusionLib.network.metadata import PUBLISHED, Metadata
from BSAFusionLib.network.published.bsfa import PublishedBSFA, sum_of_steps
from BSAFusionLib.network.published.key_names import released_name
from BSAFusionLib.network.published.layers import warp_as_published
from BSAFusionLib.network.published.mdf_fr import PublishedMDFFR
from BSAFusionLib.network.published.mmff import PublishedMMFF

EVIDENCE_CELL_PX = 8  # side of the cells that the field is averaged over as evidence


class PublishedBSAFusion(FusionNetwork):
    """The layout of the released checkpoints, "published": registers and fuses at full resolution."""

    convention: ClassVar[str] = PUBLISHED

    def __init__(self, metadata: Metadata | None = None) -> None:
        super().__init__(metadata or Metadata(PUBLISHED))
        self.mdf_fr = PublishedMDFFR()
        self.bsfa, self.mmff = PublishedBSFA(), PublishedMMFF()

    def forward(
        self, fixed: torch.Tensor, moving: torch.Tensor, fuse: bool = True, strength: float = 1.0
    ) -> BSAFusionOutput:
        """Register and fuse; see `FusionNetwork.forward`."""
        check_slices(fixed, moving)
        registration = self.register(fixed, moving)
        field = strength * registration.field
        fused = self.mmff(registration.fixed, registration.moving, field) if fuse else None
        return BSAFusionOutput(fused, field, registration)

    def evidence(self, fixed: torch.Tensor, moving: torch.Tensor) -> Estimate:
        """Return the composed field itself, averaged over cells, as if it were known to the pixel everywhere."""
        check_slices(fixed, moving)
        mean = F.avg_pool2d(self.register(fixed, moving).field, EVIDENCE_CELL_PX)
        precision = mean.new_tensor([1.0, 1.0, 0.0])[:, None, None].expand(len(mean), 3, *mean.shape[-2:])
        return Estimate(mean, precision)

    def agreement(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Return the mean cosine (N,) between the transferred features, which do not show the modality (equation 3)."""
        check_slices(fixed, moving)
        transferred = [features.transferred for features in self.mdf_fr(fixed, moving)]
        # What all places share does not help to tell them apart.
        varying = [maps - maps.mean(dim=(2, 3), keepdim=True) for maps in transferred]
        return F.cosine_similarity(*varying).mean(dim=(1, 2))

    def fuse(self, fixed: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
        """Fuse aligned slices; see `FusionNetwork.fuse`."""
        check_slices(fixed, registered)
        no_displacement = fixed.new_zeros(len(fixed), 2, *fixed.shape[-2:])
        fused: torch.Tensor = self.mmff(*self.mdf_fr.encode(fixed, registered), no_displacement)
        return fused

    def warp(self, images: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        """Sample images (N, C, H, W) at x + field(x) with the published zoom; see `warp_as_published`."""
        return warp_as_published(images, field)

    def compose(self, fields: Fields, size: tuple[int, int]) -> torch.Tensor:
        """Sum one direction's fields by the scales of their steps; see `sum_of_steps`."""
        return sum_of_steps(fields, size)

    def checkpoint_key(self, name: str) -> str:
        """Return the key of the released checkpoints, with its section."""
        return released_name(name)
