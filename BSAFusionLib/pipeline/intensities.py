"""Map intensities to what the network was trained on: a CT window, MRI percentiles, color maps for PET and SPECT."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.morphology import close_mask, open_mask
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.ct_window import choose_window
from BSAFusionLib.pipeline.guess import finite_sample, likeliest_modality, without_fill

LUMINANCE_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # Y of RGB, ITU-R BT.601, full range
BACKGROUND_PERCENTILE, BRIGHT_PERCENTILE = 2, 98
FOREGROUND_LEVEL = 0.2  # of the way from the background to the bright voxels
FOREGROUND_PERCENTILE = 99.5  # shown as 1


def in_color(modality: str) -> bool:
    """Return whether a modality is shown and fused in color; the others, "mri" among them, are gray."""
    return modality in MODALITIES and MODALITIES[modality].in_color


@dataclass(frozen=True)
class Intensities:
    """Maps the values of one volume to levels in [0, 1] and to colors.

    Attributes:
        modality: "mri" or a name in `MODALITIES`. One with a color map goes through it, unless the volume is RGB.
        low: Value at level 0.
        high: Value at level 1.
    """

    modality: str
    low: float
    high: float

    def color(self, values: np.ndarray) -> np.ndarray:
        """Convert values to colors.

        Args:
            values: (slice, row, column), or RGB in 0..255 (slice, row, column, 3).

        Returns:
            RGB in [0, 1], float32 (slice, row, column, 3).
        """
        if values.ndim == 4:
            return values.astype(np.float32) / 255
        points = np.array(MODALITIES[self.modality].color_map)
        level = self._level(values)
        channels = [np.interp(level, points[:, 0], points[:, channel] / 255) for channel in (1, 2, 3)]
        return np.stack(channels, axis=-1).astype(np.float32)

    def luminance(self, image: sitk.Image, factors: Sequence[int] = (1, 1, 1)) -> sitk.Image:
        """Convert a volume to what the network sees, downsampled if asked for.

        Args:
            image: The volume.
            factors: Voxels along each index axis whose mean becomes one; those left over at the end are dropped.

        Returns:
            float32 in [0, 1].
        """
        i, j, k = factors
        columns, rows, slices = (count // factor for count, factor in zip(image.GetSize(), factors, strict=True))
        values = sitk.GetArrayViewFromImage(image)[:, : rows * j, : columns * i]
        levels = np.empty((slices, rows, columns), np.float32)
        # By slabs, so that the colors of a large volume are never all in memory.
        for number, plane in enumerate(levels):
            slab = values[number * k : (number + 1) * k]
            slab_levels = self.color(slab) @ LUMINANCE_WEIGHTS if in_color(self.modality) else self._level(slab)
            plane[:] = slab_levels.reshape(k, rows, j, columns, i).mean(axis=(0, 2, 4))
        result = sitk.GetImageFromArray(levels)
        result.SetSpacing(np.multiply(image.GetSpacing(), factors).tolist())
        result.SetDirection(image.GetDirection())
        result.SetOrigin(image.TransformContinuousIndexToPhysicalPoint([(factor - 1) / 2 for factor in factors]))
        return result

    def _level(self, values: np.ndarray) -> np.ndarray:
        return np.clip((values.astype(np.float64) - self.low) / (self.high - self.low), 0, 1)


def measure_intensities(
    image: sitk.Image, modality: str, ct_window: tuple[float, float] | None = None
) -> tuple[Intensities, str | None]:
    """Choose the range of a volume's values that the network sees.

    For CT that is a window, for the others the range from the background to nearly the brightest of the head.

    Args:
        image: All values are finite.
        modality: "mri" or a name in `MODALITIES`.
        ct_window: (center, width) in the CT's own units. By default the brain window where they are Hounsfield units,
            also shifted ones, else a window in which brain and bone look as they do there.

    Returns:
        The mapping, and a warning if there is one.

    Raises:
        FusionError: All voxels have the same value, or nothing shows in the window that is asked for.
    """
    if image.GetNumberOfComponentsPerPixel() == 3:
        return Intensities(modality, 0.0, 255.0), None
    row = MODALITIES.get(modality)
    has_window = row is not None and row.window is not None
    values = _sample(image) if has_window else without_fill(_sample(image))
    background, bright = np.percentile(values, (BACKGROUND_PERCENTILE, BRIGHT_PERCENTILE))
    foreground = values[values > background + FOREGROUND_LEVEL * (bright - background)]
    if len(foreground) == 0:
        background, foreground = values.min(), values  # next to nothing is bright: take all of it
    warning = None
    if row is None or row.window is None:
        low, high = background, np.percentile(foreground, FOREGROUND_PERCENTILE)
    else:
        low, high, warning = choose_window(sitk.GetArrayViewFromImage(image), foreground, row, ct_window)
    if not high > low:
        low, high = values.min(), values.max()
    if not high > low:
        raise FusionError("All voxels of the volume have the same value; choose another volume.")
    return Intensities(modality, float(low), float(high)), warning


def guess_modality(image: sitk.Image) -> str:
    """Return the likeliest modality by the intensities: "ct" for a scalar volume in Hounsfield units, else "pet"."""
    return likeliest_modality(sitk.GetArrayViewFromImage(image))


def head_mask(image: sitk.Image) -> sitk.Image:
    """Segment the head of a scalar volume: its largest bright region, with holes filled.

    Returns:
        uint8, 0 or 1, on the same grid.
    """
    low, high = np.percentile(without_fill(_sample(image)), (BACKGROUND_PERCENTILE, BRIGHT_PERCENTILE))
    bright = sitk.GetArrayFromImage(image > float(low + FOREGROUND_LEVEL * (high - low))) > 0
    regions = sitk.ConnectedComponent(sitk.GetImageFromArray(open_mask(bright, 1).view(np.uint8)))
    largest = sitk.GetArrayFromImage(sitk.RelabelComponent(regions)) == 1
    mask: sitk.Image = sitk.BinaryFillhole(sitk.GetImageFromArray(close_mask(largest, 2).view(np.uint8)))
    mask.CopyInformation(image)
    return mask


def _sample(image: sitk.Image) -> np.ndarray:
    """Return finite values of a scalar volume, evenly spread ones where it is large."""
    return finite_sample(sitk.GetArrayViewFromImage(image))
