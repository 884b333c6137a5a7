"""The overlay: the MRI in gray, and over it the registered volume in a color map that can be read."""

from dataclasses import dataclass

import numpy as np

from BSAFusionLib.color_maps import COLOR_MAPS, DEFAULT

# Levels, close together: in between, where scalp and white matter often lie, lightness tells neither uptake nor MRI.
TRANSPARENT_BELOW, OPAQUE_ABOVE = 0.147, 0.15
MIN_ERROR_RANGE_MM = 0.1  # a color bar needs a range, also where all errors are equal
OPACITY = 0.92  # above, so that the MRI's shapes still shimmer through
HIGH_PERCENTILE = 99.5  # of the values inside the head
BONE_HU = 150.0  # from which on a CT shows bone
RELATIVE = "relative"  # unit of values that are in none
LUMINANCE = "luminance"  # unit of values in color, which are shown by it


@dataclass(frozen=True)
class OverlayWindow:
    """The values of the registered volume that the color map begins and ends with.

    Attributes:
        low: Value at the map's beginning, where the MRI alone is seen.
        high: Value at the map's end.
        unit: Of both, such as "SUV", "Bq/mL" or "HU"; "relative" where the file says none, "luminance" of values in
            color.
        color_map: A name in `COLOR_MAPS`.
    """

    low: float
    high: float
    unit: str
    color_map: str = DEFAULT

    @property
    def shown_from(self) -> float:
        """Value from which on the colors are seen, for a display that is either opaque or transparent."""
        return self.low + (TRANSPARENT_BELOW + OPAQUE_ABOVE) / 2 * (self.high - self.low)


def choose_window(values: np.ndarray, low: float, unit: str, color_map: str = DEFAULT) -> OverlayWindow:
    """Choose the window of an overlay.

    Args:
        values: Of the registered volume inside the head, any shape, finite or NaN.
        low: Value at which nothing of it should be seen.
        unit: Of the values.
        color_map: A name in `COLOR_MAPS`.
    """
    high = float(f"{np.nanpercentile(values, HIGH_PERCENTILE):.3g}") if np.isfinite(values).any() else low
    return OverlayWindow(float(low), max(high, float(low) + 1e-6 * max(1.0, abs(low))), unit, color_map)


def choose_error_window(errors: np.ndarray) -> OverlayWindow:
    """Return the window of expected errors in mm, of any shape and NaN where there is none: from least to largest."""
    smallest, largest = float(np.nanmin(errors)), float(np.nanmax(errors))
    return OverlayWindow(smallest, max(largest, smallest + MIN_ERROR_RANGE_MM), "mm")


def blend(gray: np.ndarray, values: np.ndarray, window: OverlayWindow) -> np.ndarray:
    """Lay the colors of values over gray levels, the more opaque the higher the value.

    Args:
        gray: The MRI in [0, 1], any shape; NaN is black.
        values: Of the registered volume, the same shape; NaN is transparent.
        window: Of the values.

    Returns:
        RGB in [0, 1], float32, (..., 3).
    """
    level = np.nan_to_num(np.clip((values - window.low) / (window.high - window.low), 0, 1))
    blended: np.ndarray = np.repeat(np.nan_to_num(gray)[..., None], 3, axis=-1).astype(np.float32)
    shown = level > TRANSPARENT_BELOW  # colors are computed there alone, of most volumes a small part
    ramp = np.clip((level[shown] - TRANSPARENT_BELOW) / (OPAQUE_ABOVE - TRANSPARENT_BELOW), 0, 1)
    opacity = (OPACITY * ramp**2 * (3 - 2 * ramp))[:, None]
    blended[shown] = (1 - opacity) * blended[shown] + opacity * colors_at(level[shown], window.color_map)
    return blended


def colors_at(level: np.ndarray, color_map: str) -> np.ndarray:
    """Return the colors of levels in [0, 1]: RGB in [0, 1], (..., 3)."""
    points = np.array(COLOR_MAPS[color_map].points)
    return np.stack([np.interp(level, points[:, 0], channel / 255) for channel in points[:, 1:].T], axis=-1)
