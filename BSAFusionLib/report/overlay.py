"""The overlay: the MRI in gray, and over it the registered volume in a color map that can be read."""

from dataclasses import dataclass

import numpy as np

# Points of Inferno (S. van der Walt and N. Smith, matplotlib, CC0) by rising level; its luminance rises all the way.
COLOR_MAP = "Inferno"
COLORS = np.array(
    (
        (0, 0, 4), (11, 7, 36), (33, 12, 74), (61, 9, 101), (87, 16, 110), (113, 25, 110), (138, 34, 106),
        (163, 44, 97), (188, 55, 84), (210, 70, 68), (228, 90, 49), (241, 115, 29), (249, 142, 9),
        (252, 172, 17), (249, 203, 53), (242, 234, 105), (252, 255, 164),
    ),
    np.float32,
) / 255  # fmt: skip
TRANSPARENT_BELOW, OPAQUE_ABOVE = 0.14, 0.16  # levels
OPACITY = 0.92  # above, so that the MRI's shapes still shimmer through
HIGH_PERCENTILE = 99.5  # of the values inside the head
BONE_HU = 150.0  # from which on a CT shows bone
RELATIVE = "relative"  # unit of values that are in none


@dataclass(frozen=True)
class OverlayWindow:
    """The values of the registered volume that the color map begins and ends with.

    Attributes:
        low: Value at the map's beginning, where the MRI alone is seen.
        high: Value at the map's end.
        unit: Of both, such as "SUV", "Bq/mL" or "HU"; "relative" where the file says none.
    """

    low: float
    high: float
    unit: str

    @property
    def shown_from(self) -> float:
        """Value from which on the colors are seen, for a display that is either opaque or transparent."""
        return self.low + (TRANSPARENT_BELOW + OPAQUE_ABOVE) / 2 * (self.high - self.low)


def choose_window(values: np.ndarray, low: float, unit: str) -> OverlayWindow:
    """Choose the window of an overlay.

    Args:
        values: Of the registered volume inside the head, any shape, finite or NaN.
        low: Value at which nothing of it should be seen.
        unit: Of the values.
    """
    high = float(f"{np.nanpercentile(values, HIGH_PERCENTILE):.3g}") if np.isfinite(values).any() else low
    return OverlayWindow(float(low), max(high, float(low) + 1e-6 * max(1.0, abs(low))), unit)


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
    ramp = np.clip((level - TRANSPARENT_BELOW) / (OPAQUE_ABOVE - TRANSPARENT_BELOW), 0, 1)
    opacity = (OPACITY * ramp**2 * (3 - 2 * ramp))[..., None]
    points = np.linspace(0, 1, len(COLORS))
    color = np.stack([np.interp(level, points, channel) for channel in COLORS.T], axis=-1)
    blended: np.ndarray = ((1 - opacity) * np.nan_to_num(gray)[..., None] + opacity * color).astype(np.float32)
    return blended
