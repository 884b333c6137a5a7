"""What one run hands back."""

from dataclasses import dataclass

import SimpleITK as sitk

from BSAFusionLib.report import Report


@dataclass(frozen=True)
class Result:
    """The outcome of `register_and_fuse`; every image lies on the fixed volume's exact grid.

    fused: scalar float32 in [0, 1] for CT, three components (RGB) of uint8 for PET and SPECT.
    registered: the original moving volume, resampled once through the total transform, in its own pixel type.
    field: float64 vectors, mm, LPS: fixed point + field = moving point; pre-alignment and network in one.
    prealignment: the start alone, fixed point -> moving point, mm, LPS.
    report: what was measured on the way.
    """

    fused: sitk.Image
    registered: sitk.Image
    field: sitk.Image
    prealignment: sitk.Transform
    report: Report
