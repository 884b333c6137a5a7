"""What a user may choose about one run, checked where it is made."""

import math
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES

modalities = MODALITIES  # by name, for those who choose one
slice_axes = ("auto", "i", "j", "k")
precisions = ("float32", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """The choices of one run of `register_and_fuse`; a value that makes no sense raises FusionError.

    modality: what the moving volume is, a name in `modalities.MODALITIES`: "ct", "pet", "spect".
    prealignment: "rigid" finds a rigid start, "none" takes the volumes as they are placed, a sitk.Transform (fixed
        point -> moving point, mm, LPS) is taken as the start.
    slice_axis: the index axis of the fixed volume to cut slices across; "auto" is the one closest to
        superior-inferior.
    ct_window: (centre, width) in the CT's own units; None is the brain window, 40 and 80 Hounsfield units, or, for a CT
        that is not in Hounsfield units, a window like it found from the intensities.
    device: "auto", "cpu", "cuda", "cuda:0", "mps".
    precision: what the network's convolutions and linear layers are computed in: "float32", or "bfloat16", which is
        faster where the device does it by itself and changes its answers a little.
    batch_size: slices in one pass of the network; None lets the program choose.
    three_axes: whether slices of the other two axes are registered too, where they are fine enough, so that motion
        across the slices is seen.
    through_plane_smoothing: with one axis, how smooth the deformation is taken to be through its slices: sigma in mm of
        the Gaussian by which white noise would become like it.
    strength: share of the network's field that is followed, 0 to 1.
    refine: whether each slice is registered mirrored, too, and what both tell is joined; it takes twice the time.
    do_no_harm: whether the network's field, less its growth or shrinking of the whole head, is followed only as far as
        it raises the mutual information.
    fold_free: whether the network's field is damped wherever it would fold space.
    weights: a checkpoint; None is the shipped one for the modality.
    """

    modality: str
    prealignment: str | sitk.Transform = "rigid"
    slice_axis: str = "auto"
    ct_window: tuple[float, float] | None = None
    device: str = "auto"
    precision: str = "float32"
    batch_size: int | None = None
    three_axes: bool = True
    through_plane_smoothing: float = 16.0
    strength: float = 1.0
    refine: bool = False
    do_no_harm: bool = True
    fold_free: bool = True
    weights: Path | str | None = None

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise FusionError(f"The modality {self.modality!r} is unknown; choose one of {', '.join(MODALITIES)}.")
        if not isinstance(self.prealignment, sitk.Transform) and self.prealignment not in ("rigid", "none"):
            raise FusionError(f"The pre-alignment {self.prealignment!r} is unknown; choose rigid, none or a transform.")
        if self.slice_axis not in slice_axes:
            raise FusionError(f"The slice axis {self.slice_axis!r} is unknown; choose one of {', '.join(slice_axes)}.")
        if self.ct_window is not None:
            centre, width = self.ct_window
            if not (math.isfinite(centre) and math.isfinite(width) and width > 0):
                raise FusionError(f"The CT window {self.ct_window} needs a finite centre and a width above zero.")
        if self.precision not in precisions:
            raise FusionError(f"The precision {self.precision!r} is unknown; choose one of {', '.join(precisions)}.")
        if self.batch_size is not None and self.batch_size < 1:
            raise FusionError(f"The batch size {self.batch_size} must be 1 or more, or left to the program.")
        if not (math.isfinite(self.through_plane_smoothing) and self.through_plane_smoothing >= 0):
            raise FusionError(f"The smoothing through slices, {self.through_plane_smoothing}, must be 0 mm or more.")
        if not 0 <= self.strength <= 1:
            raise FusionError(f"The strength {self.strength} must lie between 0 and 1.")
