"""The outcome of a run."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import compose_transform, field_from_transform
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.pipeline.report import Report


@dataclass(frozen=True)
class Result:
    """The outcome of `register_and_fuse`; transforms and fields are in mm, LPS.

    Attributes:
        fused: On the fixed volume's grid: float32 in [0, 1] for CT, RGB of uint8 for PET and SPECT.
        registered: The original moving volume on the fixed volume's grid, resampled once through the total transform,
            in its own pixel type.
        network_field: What the network adds, float64: a point plus its displacement is carried on by `prealignment`.
            It lies on a grid over the fixed volume, coarser than it where the field is far smoother, with a margin
            around it in which it fades to zero; beyond, `prealignment` acts alone.
        prealignment: The rigid transform, fixed point to moving point: the one that was searched for, corrected by what
            the network found of shift and turn, or the one that was given.
        report: The figures of the run.
        estimated_field: The network's field before image similarity reduced it, on that grid without the margin;
            growth, length and strength are limited already.
        head: Mask of the fixed head, uint8, on a coarse lattice over the fixed volume.
        searched: The transform that the network went on from, fixed point to moving point.
        fixed: The MRI as it was registered: every value finite.
        moving: The moving volume as it was registered: every value finite, and a CT's wrapped values unwrapped.
        expected_error: Expected distance in mm between where the total transform carries a point and where it belongs,
            float32 on a coarse lattice over the fixed volume, NaN outside the head; None where the weights are not
            calibrated.
    """

    fused: sitk.Image
    registered: sitk.Image
    network_field: sitk.Image
    prealignment: sitk.Transform
    report: Report
    estimated_field: sitk.Image
    head: sitk.Image
    searched: sitk.Transform
    fixed: sitk.Image
    moving: sitk.Image
    expected_error: sitk.Image | None = None

    @cached_property
    def deforms(self) -> bool:
        """Tell whether the network adds anything to the rigid transform."""
        return bool(np.any(sitk.GetArrayViewFromImage(self.network_field)))

    def transform(self) -> sitk.CompositeTransform:
        """Return the total transform, fixed point to moving point, in the whole of space.

        Its parts are those of `prealignment` and, where the network adds anything, a displacement field, which acts
        first.
        """
        if not self.deforms:
            return sitk.CompositeTransform([self.prealignment])
        return compose_transform(self.network_field, self.prealignment)

    def coarse_field(self) -> sitk.Image:
        """Return `field` on a grid over the fixed volume that is as coarse as the one of `network_field`."""
        return field_from_transform(self.transform(), lattice_over(self.registered, self.network_field.GetSpacing()))

    @cached_property
    def field(self) -> sitk.Image:
        """Return the total transform as float64 vectors, fixed point + field = moving point, on the fixed grid.

        It is computed on first use, since it takes six times the volume's memory.
        """
        return field_from_transform(self.transform(), self.registered)
