"""The factor that turns a PET's values into standardized uptake values by body weight."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DA, TM

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.decay import LEAST_DOSE_BQ, UncertainDose, delay_to, dose_after
from BSAFusionLib.files.dicom.enhanced_suv import SUV, classic_headers, dose_at_correction, real_world_scale
from BSAFusionLib.files.dicom.moments import local_time

NOT_CORRECTED = "it was not corrected for attenuation and decay"
BODY_WEIGHT = "BW"  # of (0054,1006)
MAX_WEIGHT_KG = 500.0  # a larger number is in grams
PHILIPS = "Philips PET Private Group"
PHILIPS_FACTORS = TO_SUV, TO_ACTIVITY = 0x00, 0x09  # elements of that group, for counts
CORRECTIONS = ("ATTN", "DECY")  # of (0028,0051)
# Tags that SUV depends on, of an image and of its tracer: the first image's count, so all must state the same.
IMAGE_TAGS = ("DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime")
TRACER_TAGS = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartDateTime",
    "RadiopharmaceuticalStartTime",
)
MISSING = "weight, dose, half-life or a time is missing from its tags"


def suv_factor(headers: Sequence[Dataset]) -> tuple[float | None, str]:
    """Return the factor from rescaled values to SUV by body weight in g/ml, or None, and why not.

    SUV = activity concentration / (dose left at the time that the images are decayed to / body weight).

    Args:
        headers: Of all files of a series, since the earliest acquisition counts.

    Raises:
        FusionError: The images state several units.

    Source: vendor-neutral rules of the Quantitative Imaging Biomarkers Alliance (QIBA, FDG-PET profile, "SUV
    calculation").
    """
    if "PerFrameFunctionalGroupsSequence" not in headers[0]:
        return _classic_factor(headers)
    converted = [classic for header in headers for classic in classic_headers(header)]
    return _classic_factor(converted) if converted else _enhanced_factor(headers)


def stated_unit(headers: Sequence[Dataset]) -> tuple[str, float | None]:
    """Return the unit of a PET that is not converted, as in (0054,1001), and the factor to it; "" where unknown.

    SUV that is not by body weight is named by its type (0054,1006) in UCUM, such as "{SUVlbm}g/ml".
    """
    first = headers[0]
    if "PerFrameFunctionalGroupsSequence" not in first:
        return _classic_unit(first), None
    if converted := classic_headers(first):
        return _classic_unit(converted[0]), None
    return real_world_scale(headers) or ("", None)


def _classic_unit(header: Dataset) -> str:
    """Return the unit that tags of an image of its own state."""
    unit, kind = str(header.get("Units", "")), str(header.get("SUVType", BODY_WEIGHT))
    return f"{{SUV{kind.lower()}}}g/ml" if unit == SUV and kind != BODY_WEIGHT else unit


def _classic_factor(headers: Sequence[Dataset]) -> tuple[float | None, str]:
    """Return the factor of images with tags of their own."""
    _check_units(headers)
    first = headers[0]
    unit = first.get("Units")
    if unit == SUV and first.get("SUVType", BODY_WEIGHT) == BODY_WEIGHT:
        return 1.0, ""
    if differing := _differing(headers):
        return None, f"its images do not all state the same {differing}"
    if not all(_corrected(first)):
        return None, NOT_CORRECTED
    if first.get("DecayCorrection") not in ("START", "ADMIN"):
        return None, "its tags do not say what time its decay was corrected to"
    if unit == "CNTS":
        counts = _private(first, 0x7053, PHILIPS, TO_SUV)
        if counts:
            return counts, ""
        becquerels = _private(first, 0x7053, PHILIPS, TO_ACTIVITY)
    else:
        becquerels = 1.0 if unit == "BQML" else None
    if not becquerels:
        return None, "it can be converted from Bq/ml, from g/ml by body weight and from Philips' counts only"
    return _by_weight(becquerels, lambda: _dose_left(headers), first)


def _check_units(headers: Sequence[Dataset]) -> None:
    """Raise FusionError where images state several units: their values do not compare."""
    units = sorted({_classic_unit(header) or "none" for header in headers})
    if len(units) > 1:
        raise FusionError(
            f"The images of the DICOM series are in several units ({', '.join(units)}); give the images of one of them "
            "in a folder of their own."
        )


def _differing(headers: Sequence[Dataset]) -> str:
    """Return the keywords of the tags for SUV in which images differ, as the end of a sentence; "" where in none."""
    differing = [name for name in IMAGE_TAGS if len({str(header.get(name)) for header in headers}) > 1]
    tracers = [(header.get("RadiopharmaceuticalInformationSequence") or [Dataset()])[0] for header in headers]
    differing += [name for name in TRACER_TAGS if len({str(tracer.get(name)) for tracer in tracers}) > 1]
    if len(set(map(_corrected, headers))) > 1:
        differing.append("CorrectedImage")
    factors = {tuple(_private(header, 0x7053, PHILIPS, element) for element in PHILIPS_FACTORS) for header in headers}
    if len(factors) > 1:
        differing.append("factor")
    return " and ".join(differing)


def _corrected(header: Dataset) -> tuple[bool, ...]:
    """Tell for each of `CORRECTIONS` whether it was applied to an image."""
    return tuple(name in (header.get("CorrectedImage") or ()) for name in CORRECTIONS)


def _enhanced_factor(headers: Sequence[Dataset]) -> tuple[float | None, str]:
    """Return the factor of an enhanced multi-frame PET."""
    scale, first = real_world_scale(headers), headers[0]
    if scale is None:
        return None, "its frames do not all state Bq/ml or g/ml by body weight, with one scale"
    if scale.unit == SUV:
        return scale.factor, ""
    if any(header.get(name) != "YES" for header in headers for name in ("AttenuationCorrected", "DecayCorrected")):
        return None, NOT_CORRECTED
    if len({str(header.get("DecayCorrectionDateTime")) for header in headers}) > 1:
        return None, "its files are decayed to different times"
    if len(first.get("RadiopharmaceuticalInformationSequence", ())) > 1:
        return None, "its tags name several tracers"
    return _by_weight(scale.factor, lambda: dose_at_correction(first), first)


def _by_weight(becquerels: float, dose_left: Callable[[], float], header: Dataset) -> tuple[float | None, str]:
    """Return the factor to SUV from that to Bq/ml.

    Args:
        becquerels: What rescaled values are multiplied by for Bq/ml.
        dose_left: Returns the dose in Bq at the time that the images are decayed to; raises where a tag is missing, or
            where dose or times cannot be right.
        header: Holds the patient's weight.
    """
    try:
        dose, weight = dose_left(), float(header.PatientWeight)
    except UncertainDose as error:
        return None, str(error)
    except (AttributeError, IndexError, TypeError, ValueError, ArithmeticError):
        return None, MISSING
    if not (weight > 0 and dose > 0):
        return None, "weight or dose is zero in its tags"
    if weight > MAX_WEIGHT_KG:
        return None, f"by its tags the patient weighs {weight:g} kg; correct the weight, which must be in kg"
    return becquerels * weight * 1000 / dose, ""


def _dose_left(headers: Sequence[Dataset]) -> float:
    """Return the injected dose in Bq, decayed to the time that the images are decayed to.

    Raises:
        AttributeError, IndexError, TypeError, ValueError, ArithmeticError: Something is missing or is no number.
        UncertainDose: The dose or the times cannot be right.
    """
    first = headers[0]
    tracer = first.RadiopharmaceuticalInformationSequence[0]
    dose = float(tracer.RadionuclideTotalDose)
    if 0 < dose < LEAST_DOSE_BQ:
        raise UncertainDose(f"by its tags the injected dose is {dose:g} Bq; correct the dose, which must be in Bq")
    if first.DecayCorrection == "ADMIN":
        return dose
    half_life_s = float(tracer.RadionuclideHalfLife)
    return dose_after(dose, delay_to(_scan_start(headers), tracer, half_life_s), half_life_s)


def _scan_start(headers: Sequence[Dataset]) -> datetime:
    """Return the time that the images are decayed to.

    The series' own, unless that is after an acquisition: then the series was made later, and the scan began when GE's
    private tag says, or with the earliest image.
    """
    first = headers[0]
    acquired = min(datetime.combine(DA(header.AcquisitionDate), TM(header.AcquisitionTime)) for header in headers)
    series = datetime.combine(DA(first.SeriesDate), TM(first.SeriesTime))
    if series <= acquired:
        return series
    began = _private(first, 0x0009, "GEMS_PETD_01", 0x0D)
    return local_time(began) if began else acquired


def _private(header: Dataset, group: int, creator: str, element: int) -> Any:
    """Return a private element's value; None where it is not there."""
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None
