"""What one run hands back."""

from dataclasses import dataclass
from functools import cached_property

import SimpleITK as sitk

from BSAFusionLib.geometry.fields import compose_transform, field_from_transform
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.pipeline.report import Report


@dataclass(frozen=True)
class Result:
    """The outcome of `register_and_fuse`; fused and registered lie on the fixed volume's exact grid.

    fused: scalar float32 in [0, 1] for CT, three components (RGB) of uint8 for PET and SPECT.
    registered: the original moving volume, resampled once through the total transform, in its own pixel type.
    network_field: what the network adds (float64, mm, LPS), on a grid over the fixed volume that is as fine as it, or
        coarser where the field is far smoother, and a margin around it, where it fades to zero: point + network_field
        is carried on by `prealignment`, so beyond the margin that acts alone.
    prealignment: the start alone, fixed point -> moving point, mm, LPS.
    report: what was measured on the way.
    found_field: the network's field as it was found, before any of it was taken back, on that grid without the margin.
    """

    fused: sitk.Image
    registered: sitk.Image
    network_field: sitk.Image
    prealignment: sitk.Transform
    report: Report
    found_field: sitk.Image

    def transform(self) -> sitk.CompositeTransform:
        """Fixed point -> moving point, mm, LPS, in the whole of space."""
        return compose_transform(self.network_field, self.prealignment)

    def coarse_field(self) -> sitk.Image:
        """`field` on a grid over the fixed volume that is as coarse as the one of `network_field`."""
        return field_from_transform(self.transform(), lattice_over(self.registered, self.network_field.GetSpacing()))

    @cached_property
    def field(self) -> sitk.Image:
        """Fixed point + field = moving point, pre-alignment and network in one: float64 vectors, mm, LPS, on the fixed
        volume's exact grid; made when it is first asked for, since it takes six times the volume's memory."""
        return field_from_transform(self.transform(), self.registered)
