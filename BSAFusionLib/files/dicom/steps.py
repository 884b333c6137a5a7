"""The distances between the slices of a series: even, uneven by protocol, or with slices missing."""

from typing import NamedTuple

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.frames import Frame
from BSAFusionLib.files.orientation import MAX_ROUNDING_MM

EVEN_SHARE = 0.1  # of the distance between slices that each may be off a line through all, by jitter of the table
STEP_TOLERANCE = 0.02  # of the distance between slices
MISSING_RATIO = 1.5  # of the distances beside a gap, at least, where a slice is missing; less is jitter
LEAST_STEP = 0.1  # of the median distance; slices closer than that lie in one place
MAX_DECIMALS = 6  # of a position, beyond which it counts as exact
SHORTEST_STRETCH = 3  # of larger distances that a protocol means
# Of the distance between slices that their heights may be rounded by; where one is missing, the heights next to it are
# half of the distance off any line.
MAX_ROUNDING_SHARE = 0.45
ROUNDING_MARGIN = 1.1
LEAST_IMAGES = 4  # that two interleaved volumes have together


class Steps(NamedTuple):
    """The heights of slices along their normal.

    Attributes:
        heights: Rising (slice,), mm.
        step: Distance between slices if even, else the least one, mm.
        even: Whether all distances are the same.
        rounding: How far the positions may be off by the decimals that they are written with, mm.
    """

    heights: np.ndarray
    step: float
    even: bool
    rounding: float


def measure_steps(frames: list[Frame]) -> Steps:
    """Measure the distances between the slices of a series.

    Args:
        frames: In order.

    Raises:
        FusionError: Several slices lie in one place, some are missing, some are shifted within their plane, or every
            second one is of another acquisition.
    """
    _check_interleaved(frames)
    heights = np.array([frame.position @ frames[0].normal for frame in frames])
    steps = np.diff(heights)
    step = float(np.median(steps))
    if steps.min() < LEAST_STEP * step or step == 0:
        raise FusionError(
            "The DICOM series has several images in one place (times or echoes?); give a series of one volume."
        )
    mean = float(heights[-1] - heights[0]) / (len(heights) - 1)
    rounding = _rounding(frames)
    _check_line(frames, heights, max(MAX_ROUNDING_MM, 2 * rounding))
    rounding = rounding if rounding <= MAX_ROUNDING_SHARE * mean else 0.0
    if _off_a_line(heights) <= max(rounding, EVEN_SHARE * mean):
        return Steps(heights, mean, True, rounding)
    gap = _gap(steps, max(STEP_TOLERANCE * step, 2 * rounding))
    if gap is not None:
        raise FusionError(
            f"The slices of the DICOM series are {step:.2f} mm apart, but slices {gap + 1} and {gap + 2} "
            f"{steps[gap]:.2f} mm: some are missing; send the series again."
        )
    return Steps(heights, float(steps.min()), False, rounding)


def about_steps(frames: list[Frame], steps: Steps, name: str) -> tuple[str, ...]:
    """Return remarks on signs of interleaved volumes: slices closer than their tags say, or numbered as two volumes.

    Args:
        frames: In order.
        steps: Theirs.
        name: The series' in the remark.
    """
    remarks = []
    stated = frames[0].stated_step
    factor = round(stated / steps.step)
    if steps.even and factor > 1 and abs(stated - factor * steps.step) <= STEP_TOLERANCE * stated:
        remarks.append(
            f"The tags of {name} say that its slices are {stated:.3g} mm apart, but by their positions they are "
            f"{steps.step:.3g} mm apart, which was taken; check that the series is not {factor} volumes in one."
        )
    if _numbered_as_two(frames):
        remarks.append(
            f"The images of {name} are numbered as those of two volumes whose slices lie between each other; if they "
            "are, give the images of one of them in a folder of their own."
        )
    return tuple(remarks)


def _numbered_as_two(frames: list[Frame]) -> bool:
    """Tell whether every second slice has a number above those of all others, or the same numbers occur twice."""
    if len(frames) < LEAST_IMAGES or not all(frame.number.isdecimal() for frame in frames):
        return False
    numbers = [int(frame.number) for frame in frames]
    even, odd = numbers[::2], numbers[1::2]
    if len(set(even)) < len(even) or len(set(odd)) < len(odd):  # as in beds that are each numbered from 1
        return False
    return even == odd or max(even) < min(odd) or max(odd) < min(even)


def _check_interleaved(frames: list[Frame]) -> None:
    """Raise FusionError where the images are in turn of one acquisition and of another one."""
    even, odd = ({frame.acquisition for frame in frames[first::2]} for first in (0, 1))
    if len(frames) >= LEAST_IMAGES and len(even) == len(odd) == 1 and even != odd:
        raise FusionError(
            f"The DICOM series holds two volumes, whose slices lie between each other (Acquisition Number "
            f"{' and '.join(sorted(even | odd))}); give the images of one of them in a folder of their own."
        )


def _check_line(frames: list[Frame], heights: np.ndarray, tolerance_mm: float) -> None:
    """Check that slices lie on a straight line, across them or, with a tilted gantry, oblique to them.

    Raises:
        FusionError: Some are shifted within their plane.
    """
    positions = np.array([frame.position for frame in frames])
    slope, start = np.polyfit(heights, positions, 1)
    off_mm = np.linalg.norm(positions - heights[:, None] * slope - start, axis=1)
    if off_mm.max() > tolerance_mm:
        raise FusionError(
            f"The slices of the DICOM series do not lie on a straight line: slice {off_mm.argmax() + 1} is "
            f"{off_mm.max():.1f} mm off (two stacks?); give a series of one stack, or export it again."
        )


def _rounding(frames: list[Frame]) -> float:
    """Return how far heights may be off by the decimals that positions are written with, mm; 0 for many decimals."""
    positions = np.array([frame.position for frame in frames])
    units = 10.0 ** -np.arange(MAX_DECIMALS + 1)
    unit = next((unit for unit in units if np.abs(positions / unit - np.round(positions / unit)).max() < 1e-4), 0.0)
    return float(ROUNDING_MARGIN * unit / 2 * np.abs(frames[0].normal).sum())


def _off_a_line(heights: np.ndarray) -> float:
    """Return how far heights are off even ones, mm."""
    numbers = np.arange(len(heights))
    return float(np.abs(heights - np.polyval(np.polyfit(numbers, heights, 1), numbers)).max())


def _gap(steps: np.ndarray, tolerance: float) -> int | None:
    """Return the number of the distance at which slices are missing; None where the distances are meant so.

    A protocol changes the distance for a stretch of slices; a few larger distances between smaller ones are gaps.
    """
    changes = np.flatnonzero(np.abs(np.diff(steps)) > tolerance) + 1
    stretches = np.split(np.arange(len(steps)), changes)
    for number, stretch in enumerate(stretches):
        beside = [stretches[other] for other in (number - 1, number + 1) if 0 <= other < len(stretches)]
        if len(stretch) < SHORTEST_STRETCH and all(
            steps[stretch[0]] > MISSING_RATIO * steps[other[0]] for other in beside
        ):
            return int(stretch[0])
    return None
