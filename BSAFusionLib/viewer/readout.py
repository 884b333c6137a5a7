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
    """

    name: str
    image: sitk.Image
    unit: str = ""
    interpolator: int = sitk.sitkNearestNeighbor
    transform: sitk.Transform | None = None

    def read(self, point: Sequence[float]) -> str:
        """Return the name, and the value at a fixed point (mm, LPS) with its unit, such as "PET 5.21 SUV"."""
        place = self.transform.TransformPoint(point) if self.transform is not None else point
        value = self.image.EvaluateAtPhysicalPoint(place, self.interpolator) if _holds(self.image, place) else math.nan
        if value != value:  # NaN
            return f"{self.name}: outside"
        text = ", ".join(map(_number, value)) if isinstance(value, tuple) else _number(value)
        return f"{self.name} {text} {self.unit}".rstrip()


def read_all(probes: Iterable[Probe], ras: Sequence[float]) -> str:
    """Return a point (mm, RAS) and the values of all volumes there, in one line."""
    right, anterior, superior = ras
    values = [probe.read((-right, -anterior, superior)) for probe in probes]
    return " | ".join([f"{place_text(ras)} mm", *values])


def _holds(image: sitk.Image, point: Sequence[float]) -> bool:
    """Return True for a point in one of an image's voxels."""
    index = image.TransformPhysicalPointToContinuousIndex(point)
    return all(-0.5 <= at < size - 0.5 for at, size in zip(index, image.GetSize(), strict=True))


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= WHOLE_FROM or float(value).is_integer() else f"{value:.3g}"
