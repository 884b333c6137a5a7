"""Images of a series that do not say where they lie: left out where few, else stacked in their order."""

from collections.abc import Sequence

import numpy as np
from pydicom import Dataset, FileDataset

MOST = 0.75  # of the images must be slices of one volume; what else is in a series, such as a localizer, is left out
AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
LEAST_AREA = 0.5  # that unit vectors along rows and columns must span


def with_places(headers: list[FileDataset]) -> tuple[list[FileDataset], bool]:
    """Return the images that say where they lie, or give all a place where most do not say.

    Without an orientation they are taken for axial. Without a position they are stacked along their normal, by slice
    location or else by instance number. Where neither is known, they are returned as they are.

    Args:
        headers: Of a series, one a file; changed where a place is given.

    Returns:
        The headers, and whether the files say how the head lies.
    """
    if any(_has_own_places(header) for header in headers):
        return headers, True
    placed = [header for header in headers if _orientation(header) is not None and _position(header) is not None]
    if len(placed) >= MOST * len(headers):
        return placed, True
    orientation = next(filter(None, map(_orientation, headers)), AXIAL)
    positions = [_position(header) for header in headers]
    heights = _heights(headers) if None in positions else [0.0] * len(headers)
    if heights is None:
        return headers, True
    normal = np.cross(orientation[:3], orientation[3:])
    for header, position, height in zip(headers, positions, heights, strict=True):
        header.ImageOrientationPatient = orientation
        header.ImagePositionPatient = (height * normal).tolist() if None in positions else position
    return headers, False


def spans_an_image(orientation: Sequence[float]) -> bool:
    """Tell whether six direction cosines along rows and columns are those of an image."""
    across, down = np.reshape(orientation, (2, 3))
    return bool(np.linalg.norm(np.cross(across, down)) >= LEAST_AREA)


def _has_own_places(header: FileDataset) -> bool:
    """Tell whether a file has several images, or one that a gamma camera places by its detector."""
    many = int(header.get("NumberOfFrames", None) or 1) > 1
    return many or "PerFrameFunctionalGroupsSequence" in header or header.Modality == "NM"


def _orientation(header: Dataset) -> list[float] | None:
    cosines = _numbers(header, "ImageOrientationPatient", 6)
    return cosines if cosines is not None and spans_an_image(cosines) else None


def _position(header: Dataset) -> list[float] | None:
    return _numbers(header, "ImagePositionPatient", 3)


def _heights(headers: list[FileDataset]) -> list[float] | None:
    """Return heights of slices along their normal, mm: by location, or by number and distance; None if unknown."""
    locations = [_numbers(header, "SliceLocation", 1) for header in headers]
    if len({tuple(location or ()) for location in locations}) == len(headers) and None not in locations:
        return [location[0] for location in locations if location is not None]
    numbers = [_numbers(header, "InstanceNumber", 1) for header in headers]
    distances = (_numbers(headers[0], name, 1) for name in ("SpacingBetweenSlices", "SliceThickness"))
    distance = next((abs(found[0]) for found in distances if found is not None and found[0]), None)
    if distance is None or None in numbers:
        return None
    order = sorted({number[0] for number in numbers if number is not None})
    return [order.index(number[0]) * distance for number in numbers if number is not None]


def _numbers(header: Dataset, name: str, count: int) -> list[float] | None:
    """Return the finite numbers in a tag; None where there are not as many."""
    try:
        values = np.atleast_1d(np.asarray_chkfinite(header.get(name), float))
    except (TypeError, ValueError):
        return None
    return values.tolist() if values.shape == (count,) else None
