"""Letters of the patient's sides at the edges of a slice view."""

import numpy as np

from BSAFusionLib.pipeline.summary import AXES

SMALLEST_PART = np.sin(np.radians(15.0))  # of a direction along an axis whose letter is written, too


def edge_letters(slice_to_ras: np.ndarray) -> dict[str, str]:
    """Return the letters at a slice view's edges: one, or more for an oblique view, the nearest side first.

    Args:
        slice_to_ras: 4 x 4; its first column points to the right of the view, its second one up, in RAS.

    Returns:
        Letters such as "L" or "AS" by "left", "right", "top" and "bottom".
    """
    to_the_right, up, _ = (slice_to_ras[:3, :3] / np.linalg.norm(slice_to_ras[:3, :3], axis=0)).T
    return {
        "left": _letters(-to_the_right),
        "right": _letters(to_the_right),
        "top": _letters(up),
        "bottom": _letters(-up),
    }


def _letters(direction: np.ndarray) -> str:
    """Return the sides that a unit vector in RAS points to, the nearest first."""
    letters = [(abs(part), sides[int(part < 0)]) for part, sides in zip(direction, AXES, strict=True)]
    return "".join(side for part, side in sorted(letters, reverse=True) if part >= SMALLEST_PART)
