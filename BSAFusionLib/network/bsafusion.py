"""The network in our layout: registers at half the resolution, fuses at the full one."""

from typing import ClassVar

import torch

from BSAFusionLib.network.bsfa import BSFA, Fields, sum_of_fields
from BSAFusionLib.network.estimate import Estimate
from BSAFusionLib.network.interface import BSAFusionOutput, FusionNetwork, Registration, check_slices
from BSAFusionLib.network.light_mmff import LightMMFF
from BSAFusionLib.network.mdf_fr import MDFFR, Encoder
from BSAFusionLib.network.metadata import EXACT, LIGHT, Metadata
from BSAFusionLib.network.mmff import MMFF
from BSAFusionLib.network.sampling import double, halve, warp
from BSAFusionLib.network.stack import VISIBLE_LEVEL


class BSAFusion(FusionNetwork):
    """The layout of our checkpoints, "exact".

    It registers halved slices: the fields are far smoother than two pixels, and a quarter of the cost buys four times
    the training.
    """

    convention: ClassVar[str] = EXACT
    bsfa: BSFA
    mmff: MMFF | LightMMFF

    def __init__(self, metadata: Metadata | None = None) -> None:
        super().__init__(metadata or Metadata())
        self.mdf_fr = MDFFR()
        self.bsfa = BSFA(Encoder.widths)
        self.mmff = (LightMMFF if self.metadata.fusion == LIGHT else MMFF)(Encoder.widths)

    def forward(
        self, fixed: torch.Tensor, moving: torch.Tensor, fuse: bool = True, strength: float = 1.0
    ) -> BSAFusionOutput:
        """Register and fuse; see `FusionNetwork.forward`."""
        check_slices(fixed, moving)
        height, width = fixed.shape[-2:]
        registration = self.register(halve(fixed), halve(moving))
        field = (2 * strength * double(registration.field, align_corners=False))[..., :height, :width]
        fused = self._fuse_registered(registration, field, (fixed, moving)) if fuse else None
        return BSAFusionOutput(fused, field, registration)

    def _fuse_registered(
        self, registration: Registration, field: torch.Tensor, slices: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """Fuse slices (N, 1, H, W) whose field is known; the deep fusion moves features in place of the slices."""
        fixed, moving = slices
        if isinstance(self.mmff, LightMMFF):
            return self.fuse(fixed, warp(moving, field))
        fused: torch.Tensor = self.mmff(registration.fixed, registration.moving, field, slices)
        return fused

    def evidence(self, fixed: torch.Tensor, moving: torch.Tensor) -> Estimate:
        """Return the last step's evidence; see `FusionNetwork.evidence`."""
        check_slices(fixed, moving)
        mean, precision = self.bsfa.evidence(*self.mdf_fr(halve(fixed), halve(moving)))
        # Without the part that the halved slices were extended by.
        rows, columns = fixed.shape[-2] // 8, fixed.shape[-1] // 8
        return Estimate(2 * mean[..., :rows, :columns], precision[..., :rows, :columns] / 4)

    def agreement(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Return the mean log-probability of matches in place, in nats (N,); see `BSFA.agreement`."""
        check_slices(fixed, moving)
        small = halve(fixed), halve(moving)
        visible = (torch.maximum(*small) > VISIBLE_LEVEL).float()
        fixed_features, moving_features = self.mdf_fr(*small)
        return self.bsfa.agreement(fixed_features, moving_features, visible)

    def moving_log_odds(self, slices: torch.Tensor) -> torch.Tensor:
        """Classify slices; see `FusionNetwork.moving_log_odds`."""
        return super().moving_log_odds(halve(slices))

    def fuse(self, fixed: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
        """Fuse aligned slices; see `FusionNetwork.fuse`."""
        check_slices(fixed, registered)
        slices, small = (fixed, registered), (halve(fixed), halve(registered))
        fused: torch.Tensor
        if isinstance(self.mmff, LightMMFF):
            fused = self.mmff(*self.mdf_fr.encode(*map(halve, small)), slices)
        else:
            fused = self.mmff(*self.mdf_fr.encode(*small), None, slices)
        return fused

    def warp(self, images: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        """Sample images (N, C, H, W) at x + field(x), bilinear, clamped to the border."""
        return warp(images, field)

    def compose(self, fields: Fields, size: tuple[int, int]) -> torch.Tensor:
        """Sum one direction's fields, enlarged level by level; see `sum_of_fields`."""
        return sum_of_fields(fields, size)
