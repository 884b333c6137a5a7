"""The time points of a dynamic series: its images grouped into whole volumes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.frames import Frame
from BSAFusionLib.files.dicom.moments import UNKNOWN, Moment

SAME_PLACE_MM = 1e-3
# Fields of `Moment` that images are ordered by, the first that tells them apart. The number of the time point comes
# last, and the number of the image does not count: scanners give both in any order.
ORDERS = ("start", "reference", "position")


def same_place(frame: Frame, other: Frame) -> bool:
    """Tell whether two parallel images lie at the same place."""
    return bool(np.abs(frame.position - other.position).max() < SAME_PLACE_MM)


def time_points(frames: Sequence[Frame]) -> list[list[int]]:
    """Group the images of a series by time.

    Images in different places may have different times, as in a scan of several beds, so that only those in one place
    are compared: the first ones of all places make the first time point.

    Args:
        frames: In order along their normal, each once.

    Returns:
        The numbers of the images of each time point, in order along their normal, earliest time point first; a single
        one where no place has several images, or where their times do not tell them apart.

    Raises:
        FusionError: Some images of a dynamic series are missing.
    """
    places = _places(frames)
    if len(places) < len(frames):
        for order in ORDERS:
            ordered = _ordered(places, [getattr(frame.moment, order) for frame in frames])
            if ordered:
                return ordered
    return [list(range(len(frames)))]


def points_times(frames: Sequence[Frame], points: Sequence[Sequence[int]]) -> dict[str, tuple[float, ...]]:
    """Return the times of time points by the fields of `Moment`, s; of starts those since the first one.

    An empty tuple stands for times that the files do not give for all time points, and for starts that are all the
    same.
    """
    moments = [Moment(*map(min, zip(*(frames[number].moment for number in point), strict=True))) for point in points]
    times = {name: tuple(getattr(moment, name) for moment in moments) for name in ("start", "reference", "duration")}
    known = {name: () if UNKNOWN in values else values for name, values in times.items()}
    rising = all(earlier < later for earlier, later in pairwise(known["start"]))
    known["start"] = tuple(round(start - known["start"][0], 3) for start in known["start"]) if rising else ()
    return known


def _places(frames: Sequence[Frame]) -> list[list[int]]:
    """Return the numbers of the images at each place."""
    places: list[list[int]] = []
    for number, frame in enumerate(frames):
        if places and same_place(frame, frames[places[-1][0]]):
            places[-1].append(number)
        else:
            places.append([number])
    return places


def _ordered(places: list[list[int]], times: Sequence[float]) -> list[list[int]] | None:
    """Return the images of each time point; None where times do not tell the images in one place apart."""
    at_places = [sorted(times[number] for number in place) for place in places]
    if UNKNOWN in times or any(earlier == later for place in at_places for earlier, later in pairwise(place)):
        return None
    fewest, most = min(map(len, places)), max(map(len, places))
    if fewest < most:
        raise FusionError(
            f"The DICOM series has {most} images at some places, of as many times, but {fewest} at others: some are "
            "missing; send the series again."
        )
    in_time = [sorted(place, key=times.__getitem__) for place in places]
    points = [list(point) for point in zip(*in_time, strict=True)]
    if any(
        max(times[number] for number in earlier) >= min(times[number] for number in later)
        for earlier, later in pairwise(points)
    ):
        return None
    return points
