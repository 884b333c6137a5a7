"""When an image of a PET or SPECT series was measured, by its tags."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from pydicom import Dataset
from pydicom.valuerep import DA, DT, TM

TIMED_MODALITIES = ("PT", "NM")
UNKNOWN = float("-inf")
MS = 1e-3  # in s


class Moment(NamedTuple):
    """Times of an image, s; UNKNOWN where the file does not say.

    Attributes:
        start: Beginning of its acquisition, from any fixed point of time.
        reference: Time that its values stand for, from the reference time of the series.
        position: Number of its time point in the series.
        duration: Duration of its acquisition.
    """

    start: float = UNKNOWN
    reference: float = UNKNOWN
    position: float = UNKNOWN
    duration: float = UNKNOWN


UNTIMED = Moment()


def classic_moment(header: Dataset) -> Moment:
    """Return the times of an image in a file of its own, or of all images in a gamma camera's.

    Source: DICOM PS3.3, C.8.9.4 (PET image) and C.12.2 (temporal position).
    """
    if header.get("Modality") not in TIMED_MODALITIES:
        return UNTIMED
    return Moment(
        _seconds(lambda: datetime.combine(DA(header.AcquisitionDate), TM(header.AcquisitionTime))),
        _number(header, "FrameReferenceTime", MS),
        _number(header, "TemporalPositionIdentifier"),
        _number(header, "ActualFrameDuration", MS),
    )


def enhanced_moment(header: Dataset, own: Dataset) -> Moment:
    """Return the times of an image in an enhanced multi-frame file.

    Args:
        header: The file's.
        own: Functional groups of the image.

    Source: DICOM PS3.3, C.7.6.16.2.2 (frame content) and C.7.6.16.2.20 (temporal position).
    """
    if header.get("Modality") not in TIMED_MODALITIES:
        return UNTIMED
    content = (own.get("FrameContentSequence") or [Dataset()])[0]
    place = (own.get("TemporalPositionSequence") or [Dataset()])[0]
    return Moment(
        _seconds(lambda: local_time(content.FrameAcquisitionDateTime)),
        _number(place, "TemporalPositionTimeOffset"),
        _number(content, "TemporalPositionIndex"),
        _number(content, "FrameAcquisitionDuration", MS),
    )


def local_time(text: str) -> datetime:
    """Return a DICOM date and time as local time."""
    return DT(text).replace(tzinfo=None)


def _seconds(moment: Callable[[], datetime]) -> float:
    try:
        return (moment() - datetime.min).total_seconds()
    except (AttributeError, TypeError, ValueError):
        return UNKNOWN


def _number(dataset: Dataset, name: str, unit: float = 1.0) -> float:
    try:
        number = float(dataset[name].value) * unit
    except (KeyError, TypeError, ValueError):
        return UNKNOWN
    return number if math.isfinite(number) else UNKNOWN
