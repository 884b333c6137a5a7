"""The values of a result's volumes at a point."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import SimpleITK as sitk

from BSAFusionLib.pipeline.summary import place_text

WHOLE_FROM = 100  # values from here on are written without decimals


@dataclass(frozen=True)
class Probe:
    """A volume that values are read from.

    Attributes:
        name: Of the volume.
        image: The volume, scalar or RGB, mm, LPS.
        unit: Of its values; "" where they have none.
        interpolator: Nearest neighbor reads voxels as they are stored.
        transform: Fixed point to a point of the volume, mm, LPS.
        source: The volume that this one was resampled from, with the transform from this one's points to its own;
            voxels from outside it have no measured value. None where it is unknown or there is none.
    """

    name: str
    image: sitk.Image
    unit: str = ""
    interpolator: int = sitk.sitkNearestNeighbor
    transform: sitk.Transform | None = None
    source: "Probe | None" = None

    def read(self, point: Sequence[float]) -> str:
        """Return the name, and the value at a fixed point (mm, LPS) with its unit, such as "PET 5.21 SUV"."""
        inside = self._holds(point) and self._is_measured(point)
        value = self.image.EvaluateAtPhysicalPoint(self._place(point), self.interpolator) if inside else math.nan
        if value != value:  # NaN
            return f"{self.name}: outside"
        text = ", ".join(map(_number, value)) if isinstance(value, tuple) else _number(value)
        return f"{self.name} {text} {self.unit}".rstrip()

    def _holds(self, point: Sequence[float]) -> bool:
        """Return True for a fixed point (mm, LPS) in one of the volume's voxels."""
        index = self.image.TransformPhysicalPointToContinuousIndex(self._place(point))
        return all(-0.5 <= at < size - 0.5 for at, size in zip(index, self.image.GetSize(), strict=True))

    def _is_measured(self, point: Sequence[float]) -> bool:
        """Return True where the voxel at a fixed point (mm, LPS) comes from within the source, if there is one."""
        if self.source is None:
            return True
        voxel = self.image.TransformPhysicalPointToIndex(self._place(point))
        return self.source._holds(self.image.TransformIndexToPhysicalPoint(voxel))

    def _place(self, point: Sequence[float]) -> Sequence[float]:
        """Return the volume's point at a fixed point (mm, LPS)."""
        return self.transform.TransformPoint(point) if self.transform is not None else point


def read_all(probes: Iterable[Probe], ras: Sequence[float]) -> str:
    """Return a point (mm, RAS) and the values of all volumes there, in one line."""
    right, anterior, superior = ras
    values = [probe.read((-right, -anterior, superior)) for probe in probes]
    return " | ".join([f"{place_text(ras)} mm", *values])


def _number(value: float) -> str:
    value += 0.0  # makes 0 of -0
    return f"{value:.0f}" if abs(value) >= WHOLE_FROM or float(value).is_integer() else f"{value:.3g}"
