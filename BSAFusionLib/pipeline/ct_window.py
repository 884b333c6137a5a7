"""The window of a CT: the brain window in the values' own units, or one that is asked for, if anything shows in it."""

import math
from typing import NamedTuple

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import Modality
from BSAFusionLib.pipeline.ct_units import is_clipped_hounsfield, recognize_ct_units
from BSAFusionLib.pipeline.guess import finite_sample, looks_hounsfield

BONE_PERCENTILE = 85  # bone is about the brightest sixth of a head
BRAIN_LEVEL = 0.4  # of brain in the brain window
LEAST_SHOWN = 0.005  # of the voxels of the head that must not be black, and not white
LEAST_CONTRAST = 0.02  # of the levels that the head must take up
DIGITS = 2  # of a range's width that are written


class Window(NamedTuple):
    """The values at levels 0 and 1, and what the user should know about them, if anything."""

    low: float
    high: float
    warning: str | None = None


def choose_window(
    voxels: np.ndarray, foreground: np.ndarray, row: Modality, asked: tuple[float, float] | None
) -> Window:
    """Choose the window of a scalar volume that has one, such as a CT.

    Args:
        voxels: (slice, row, column).
        foreground: The values of the head, of a sample of the voxels.
        row: The modality; it has a default window, in Hounsfield units.
        asked: Center and width that the user wants, in the values' own units, or None.

    Raises:
        FusionError: Nothing shows in the window that is asked for.
    """
    assert row.window is not None
    if asked is not None:
        window = _window(*asked)
        if not _shows(window, foreground):
            raise FusionError(_nothing_shows(window, voxels, foreground, row))
        return window
    units = recognize_ct_units(voxels)
    if units is not None and units.offset:
        center, width = row.window
        window = _window(center + units.offset, width)
        added = f"{units.offset} more" if units.offset > 0 else f"{-units.offset} less"
        warning = (
            f"The values of the {row.label} are {added} than Hounsfield units; its window was moved with them, to "
            f"{in_words(window.low, window.high)}."
        )
        return window._replace(warning=warning)
    window = _window(*row.window)
    if units is not None or (looks_hounsfield(voxels) and _shows(window, foreground)):
        return window
    if is_clipped_hounsfield(finite_sample(voxels).astype(np.float64)):
        warning = (
            f"The {row.label} was taken for Hounsfield units whose air is set to another value; its window is "
            f"{in_words(window.low, window.high)}. Set the CT window if it is in other units."
        )
        return window._replace(warning=warning)
    low, high = _brain_window(foreground)
    return Window(
        low,
        high,
        f"The {row.label} is not in Hounsfield units; its window was estimated from its intensities "
        f"({in_words(low, high)}). Set the CT window if brain and bone look alike.",
    )


def in_words(low: float, high: float) -> str:
    """Write a range with as many digits as tell its ends apart, such as "0.512 to 0.547"."""
    width = abs(high - low)
    if not 0 < width < math.inf:
        return f"{low:.3g} to {high:.3g}"
    decimals = decimals_of(width)
    if decimals > 6:
        return f"{low:.3e} to {high:.3e}"
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def decimals_of(width: float) -> int:
    """Return how many decimals tell the values in a range apart, from the range's finite width above zero."""
    return max(0, DIGITS - 1 - math.floor(math.log10(width)))


def _window(center: float, width: float) -> Window:
    return Window(center - width / 2, center + width / 2)


def _shows(window: Window, foreground: np.ndarray) -> bool:
    """Return whether some of the head is not black, some of it not white, and not all of it is one gray."""
    not_black, not_white = (foreground > window.low).mean(), (foreground < window.high).mean()
    ends = np.percentile(foreground, (100 * LEAST_SHOWN, 100 * (1 - LEAST_SHOWN))).clip(window.low, window.high)
    contrast = (ends[1] - ends[0]) / (window.high - window.low)
    return bool(min(not_black, not_white) >= LEAST_SHOWN and contrast >= LEAST_CONTRAST)


def _nothing_shows(window: Window, voxels: np.ndarray, foreground: np.ndarray, row: Modality) -> str:
    assert row.window is not None
    units = recognize_ct_units(voxels)
    if units is not None:
        center, width = row.window[0] + units.offset, row.window[1]
    else:
        low, high = _brain_window(foreground)
        center, width = (low + high) / 2, high - low
    middle = in_words(center, center + width).split()[0]  # with digits that the width calls for
    return (
        f"Nothing of the {row.label} shows in the window {in_words(window.low, window.high)}: its values run from "
        f"{in_words(float(voxels.min()), float(voxels.max()))}. Set the CT window to center {middle} and width "
        f"{width:.4g} (--ct-window {middle} {width:.4g})."
    )


def _brain_window(foreground: np.ndarray) -> tuple[float, float]:
    """Estimate the range of a CT in unknown units in which brain and bone look as in the brain window."""
    high = np.percentile(foreground, BONE_PERCENTILE)
    counts, edges = np.histogram(foreground[foreground < high], bins=100)
    brain = edges[counts.argmax()]
    return float((brain - BRAIN_LEVEL * high) / (1 - BRAIN_LEVEL)), float(high)
