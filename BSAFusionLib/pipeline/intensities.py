"""Intensities as in training: CT in a brain window, MRI by percentiles, PET and SPECT in colour."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.guess import finite_sample, likeliest_modality, looks_hounsfield

luminance_weights = np.array([0.299, 0.587, 0.114], np.float32)  # Y of RGB, ITU-R BT.601, full range


def in_colour(modality: str) -> bool:
    """Return whether a modality is shown and fused in color; the others, "mri" among them, are gray."""
    return modality in MODALITIES and MODALITIES[modality].in_color


@dataclass(frozen=True)
class Intensities:
    """How the values of one volume become what the network sees: `low` is 0 and `high` is 1.

    modality: "mri" or a name in `MODALITIES`; one with a color map goes through it, unless it is RGB already.
    """

    modality: str
    low: float
    high: float

    def colour(self, values: np.ndarray) -> np.ndarray:
        """RGB (..., 3) in [0, 1], float32, of scalar values (...) or of RGB values (..., 3) in 0..255."""
        if values.ndim == 4:
            return values.astype(np.float32) / 255
        points = np.array(MODALITIES[self.modality].color_map)
        level = self._level(values)
        channels = [np.interp(level, points[:, 0], points[:, channel] / 255) for channel in (1, 2, 3)]
        return np.stack(channels, axis=-1).astype(np.float32)

    def luminance(self, image: sitk.Image, together: Sequence[int] = (1, 1, 1)) -> sitk.Image:
        """What the network sees of a volume: float32 in [0, 1], on its grid, or on a coarser one.

        together: so many voxels along each index axis become one, their mean; what is left over at the end is left out.
        """
        i, j, k = together
        columns, rows, slices = (n // each for n, each in zip(image.GetSize(), together, strict=True))
        values = sitk.GetArrayViewFromImage(image)[:, : rows * j, : columns * i]
        seen = np.empty((slices, rows, columns), np.float32)
        # By slabs, so that a large volume's colours are never all in memory.
        for n, out in enumerate(seen):
            slab = values[n * k : (n + 1) * k]
            shown = self.colour(slab) @ luminance_weights if in_colour(self.modality) else self._level(slab)
            out[:] = shown.reshape(k, rows, j, columns, i).mean(axis=(0, 2, 4))
        result = sitk.GetImageFromArray(seen)
        result.SetSpacing(np.multiply(image.GetSpacing(), together).tolist())
        result.SetDirection(image.GetDirection())
        result.SetOrigin(image.TransformContinuousIndexToPhysicalPoint([(each - 1) / 2 for each in together]))
        return result

    def _level(self, values: np.ndarray) -> np.ndarray:
        return np.clip((values.astype(np.float64) - self.low) / (self.high - self.low), 0, 1)


def measure_intensities(
    image: sitk.Image, modality: str, ct_window: tuple[float, float] | None = None
) -> tuple[Intensities, str | None]:
    """The range of a volume with finite values that the network is to see, and what the user should know of it, if
    anything.

    CT: `ct_window` (centre, width); without it the brain window where the values are in Hounsfield units, else a
    window in which brain and bone come out as they do there. Others: from the background to nearly the brightest of
    the head. FusionError for a volume whose voxels are all the same.
    """
    if image.GetNumberOfComponentsPerPixel() == 3:
        return Intensities(modality, 0.0, 255.0), None
    values = _sample(image)
    background, bright = np.percentile(values, (2, 98))
    foreground = values[values > background + 0.2 * (bright - background)]
    if len(foreground) == 0:
        background, foreground = values.min(), values  # next to nothing is bright: take it all
    warning = None
    row = MODALITIES.get(modality)
    if row is None or row.window is None:
        low, high = background, np.percentile(foreground, 99.5)
    elif ct_window is not None or looks_hounsfield(sitk.GetArrayViewFromImage(image)):
        centre, width = ct_window or row.window
        low, high = centre - width / 2, centre + width / 2
    else:
        high = np.percentile(foreground, 85)  # bone is about the brightest sixth of a head
        counts, edges = np.histogram(foreground[foreground < high], bins=100)
        brain = edges[counts.argmax()]
        low = (brain - 0.4 * high) / 0.6  # brain lies at 0.4 of the brain window
        warning = (
            f"The {row.label} is not in Hounsfield units, so its window was taken from its own intensities, "
            f"{low:.0f} to {high:.0f}; set the CT window if brain and bone are not told apart."
        )
    if not high > low:
        low, high = values.min(), values.max()
    if not high > low:
        raise FusionError("All voxels of the volume have the same value, so there is nothing to align; choose another.")
    return Intensities(modality, float(low), float(high)), warning


def guess_modality(image: sitk.Image) -> str:
    """Return the likeliest modality by the intensities: "ct" for a scalar volume in Hounsfield units, else "pet"."""
    return likeliest_modality(sitk.GetArrayViewFromImage(image))


def head_mask(image: sitk.Image) -> sitk.Image:
    """Where the head is: the largest bright region of a scalar volume, its holes filled (uint8, 0 or 1, same grid)."""
    low, high = np.percentile(_sample(image), (2, 98))
    bright = image > float(low + 0.2 * (high - low))
    regions = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.BinaryMorphologicalOpening(bright, (1, 1, 1))))
    return sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(regions == 1, (2, 2, 2)))


def _sample(image: sitk.Image) -> np.ndarray:
    return finite_sample(sitk.GetArrayViewFromImage(image))
