"""The unit of an enhanced multi-frame PET, and the factor that turns its values into standardized uptake values."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.valuerep import DT

from BSAFusionLib.files.dicom.decay import LEAST_DOSE_BQ, dose_after
from BSAFusionLib.files.dicom.frames import rescale_of
from BSAFusionLib.files.dicom.moments import local_time

SUV = "GML"  # of (0054,1001), as the other units here
ACTIVITY = "BQML"
UNIT_OF_CODE = {  # UCUM, as DICOM PS3.16 has it in CID 84 and CID 85 (its order of the parts changed)
    "g/ml{SUVbw}": SUV,
    "{SUVbw}g/ml": SUV,
    "Bq/ml": ACTIVITY,
}
PREFERRED = (SUV, ACTIVITY)
SCALE_TOLERANCE = 1e-6  # relative, of slopes that are written with few digits
BQ_PER_MBQ = 1e6
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


class RealWorldScale(NamedTuple):
    """How the values of all images become values in a unit.

    Attributes:
        unit: "GML" (by body weight) or "BQML".
        factor: What rescaled values are multiplied by.
    """

    unit: str
    factor: float


def real_world_scale(headers: Sequence[Dataset]) -> RealWorldScale | None:
    """Return the unit of the images and the factor to it; None where they state none, or not all the same.

    Args:
        headers: Of enhanced multi-frame files.

    Source: DICOM PS3.3, C.7.6.16.2.9 (pixel value transformation) and C.7.6.16.2.11 (real world value mapping).
    """
    scales = [_scales(shared, own) for header in headers for shared, own in _groups(header)]
    for unit in PREFERRED:
        factors = [scale[unit] for scale in scales if unit in scale]
        if len(factors) == len(scales) and np.allclose(factors, factors[0], rtol=SCALE_TOLERANCE, atol=0):
            return RealWorldScale(unit, factors[0])
    return None


def dose_at_correction(header: Dataset) -> float:
    """Return the injected dose in Bq, decayed to the time that all images are decayed to.

    Raises:
        AttributeError, IndexError, TypeError, ValueError, ArithmeticError: Something is missing or is no number.
        UncertainDose: The times cannot be right.

    Source: DICOM PS3.3, C.8.22.4 (isotope, its dose in MBq) and C.8.22.6 (corrections).
    """
    (tracer,) = header.RadiopharmaceuticalInformationSequence
    dose = float(tracer.RadionuclideTotalDose)
    dose *= BQ_PER_MBQ if dose < LEAST_DOSE_BQ else 1.0  # some are in Bq, as in files of single images
    texts = tracer.RadiopharmaceuticalStartDateTime, header.DecayCorrectionDateTime
    zoned = all(DT(text).tzinfo for text in texts)  # else both are taken for local times
    injected, corrected = map(DT if zoned else local_time, texts)
    return dose_after(dose, corrected - injected, float(tracer.RadionuclideHalfLife))


def classic_headers(header: Dataset) -> list[Dataset]:
    """Return the tags that each image had before its series was converted to a multi-frame file; none for others.

    Source: DICOM PS3.3, C.7.6.16.2.25 and C.7.6.16.2.26 (unassigned converted attributes).
    """
    return [
        _classic(header, shared, own)
        for shared, own in _groups(header)
        if "UnassignedSharedConvertedAttributesSequence" in shared
    ]


def _groups(header: Dataset) -> Iterator[tuple[Dataset, Dataset]]:
    """Yield the functional groups that an image shares with all, and its own."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    yield from ((shared, own) for own in header.PerFrameFunctionalGroupsSequence)


def _scales(shared: Dataset, own: Dataset) -> dict[str, float]:
    """Return the factors from an image's rescaled values to the units that it states."""
    rescale = (_sequence("PixelValueTransformationSequence", shared, own) or [Dataset()])[0]
    slope, intercept = rescale_of(rescale)
    factors: dict[str, float] = {}
    for mapping in _sequence("RealWorldValueMappingSequence", shared, own):
        codes = [code.get("CodeValue") for code in mapping.get("MeasurementUnitsCodeSequence", ())]
        unit = UNIT_OF_CODE.get(codes[0] if codes else "")
        if unit is None or "RealWorldValueSlope" not in mapping or slope == 0:
            continue
        factor = float(mapping.RealWorldValueSlope) / slope
        if np.isclose(factor * intercept, float(mapping.get("RealWorldValueIntercept", 0)), atol=SCALE_TOLERANCE):
            factors.setdefault(unit, factor)
    return factors


def _sequence(name: str, shared: Dataset, own: Dataset) -> Sequence[Dataset]:
    found: Sequence[Dataset] = (own if name in own else shared).get(name) or ()
    return found


def _classic(header: Dataset, shared: Dataset, own: Dataset) -> Dataset:
    classic = Dataset()
    classic.update({element.tag: element for element in header if element.keyword not in GROUPS})
    for kind, groups in (("Shared", shared), ("PerFrame", own)):
        for attributes in groups.get(f"Unassigned{kind}ConvertedAttributesSequence") or ():
            classic.update(attributes)
    content = (own.get("FrameContentSequence") or [Dataset()])[0]
    if "AcquisitionTime" not in classic and "FrameAcquisitionDateTime" in content:
        acquired = local_time(content.FrameAcquisitionDateTime)
        classic.AcquisitionDate, classic.AcquisitionTime = f"{acquired:%Y%m%d}", f"{acquired:%H%M%S.%f}"
    return classic
