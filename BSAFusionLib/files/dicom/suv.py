"""The factor that turns a PET's values into standardised uptake values by body weight."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DA, DT, TM


def suv_factor(headers: Sequence[Dataset]) -> tuple[float | None, str]:
    """What to multiply rescaled values by for SUV by body weight, in g/ml; or None, and why not.

    SUV = activity concentration / (dose left at the time that the images are decayed to / body weight), by the
    vendor-neutral rules of the Quantitative Imaging Biomarkers Alliance (QIBA, FDG-PET profile, "SUV calculation").
    headers: of all images of a series, since the earliest acquisition counts.
    """
    first = headers[0]
    if "PerFrameFunctionalGroupsSequence" in first:
        return None, "the tags of an enhanced multi-frame file are not read for that"
    unit = first.get("Units")
    if unit == "GML" and first.get("SUVType", "BW") == "BW":
        return 1.0, ""
    corrections = first.get("CorrectedImage") or ()
    if "ATTN" not in corrections or "DECY" not in corrections:
        return None, "it was not corrected for attenuation and decay"
    if first.get("DecayCorrection") not in ("START", "ADMIN"):
        return None, "its tags do not say what time its decay was corrected to"
    if unit == "CNTS":
        counts = _private(first, 0x7053, "Philips PET Private Group", 0x00)
        if counts:
            return counts, ""
        becquerels = _private(first, 0x7053, "Philips PET Private Group", 0x09)
    else:
        becquerels = 1.0 if unit == "BQML" else None
    if not becquerels:
        return None, "it can be had from Bq/ml, from g/ml by body weight and from Philips' counts only"
    try:
        dose = _dose_left(headers)
        weight = float(first.PatientWeight)
    except (AttributeError, IndexError, TypeError, ValueError, ArithmeticError):
        return None, "weight, dose, half-life or a time is missing from its tags"
    if not (weight > 0 and dose > 0):
        return None, "weight or dose is zero in its tags"
    return becquerels * weight * 1000 / dose, ""


def _dose_left(headers: Sequence[Dataset]) -> float:
    """The injected dose in Bq, decayed to the time that the images are decayed to."""
    first = headers[0]
    tracer = first.RadiopharmaceuticalInformationSequence[0]
    dose = float(tracer.RadionuclideTotalDose)
    if first.DecayCorrection == "ADMIN":
        return dose
    scanned = _scan_start(headers)
    if "RadiopharmaceuticalStartDateTime" in tracer:
        injected = _moment(tracer.RadiopharmaceuticalStartDateTime)
    else:
        injected = datetime.combine(scanned.date(), TM(tracer.RadiopharmaceuticalStartTime))
        if injected > scanned:  # the day is not in the tags: it was the one before
            injected -= timedelta(days=1)
    return dose * 2 ** (-(scanned - injected).total_seconds() / float(tracer.RadionuclideHalfLife))


def _scan_start(headers: Sequence[Dataset]) -> datetime:
    """The time the images are decayed to.

    The series' own, unless that is after an acquisition: then the series was made later, and the scan began when GE's
    private tag says, or with the earliest image.
    """
    first = headers[0]
    acquired = min(datetime.combine(DA(header.AcquisitionDate), TM(header.AcquisitionTime)) for header in headers)
    series = datetime.combine(DA(first.SeriesDate), TM(first.SeriesTime))
    if series <= acquired:
        return series
    began = _private(first, 0x0009, "GEMS_PETD_01", 0x0D)
    return _moment(began) if began else acquired


def _moment(text: str) -> datetime:
    """A DICOM date and time, as local time."""
    return DT(text).replace(tzinfo=None)


def _private(header: Dataset, group: int, creator: str, element: int) -> Any:
    """A private element's value; None where it is not there."""
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None
