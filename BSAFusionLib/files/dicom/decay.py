"""The dose that is left of a tracer, and why none is given where the tags cannot be right."""

from datetime import datetime, timedelta

from pydicom import Dataset
from pydicom.valuerep import TM

from BSAFusionLib.files.dicom.moments import local_time

DAY = timedelta(days=1)
MAX_LEAD = timedelta(hours=1)  # of a dynamic scan, which begins before the injection
MAX_LEAD_HALF_LIVES = 1.0  # so that an hour does not pass for the lead of a tracer that lives minutes
MAX_DELAY_HALF_LIVES = 10.0  # after which less than a thousandth of the dose is left
# No patient is scanned with 0.1 MBq, and none is given 100 GBq: a smaller number is in MBq or mCi.
LEAST_DOSE_BQ = 1e5
S_PER_MIN, MIN_PER_H = 60.0, 60.0


class UncertainDose(Exception):
    """The tags do not give the dose that is left; the text is a clause that says why."""


def dose_after(dose: float, delay: timedelta, half_life_s: float) -> float:
    """Return what is left of a dose.

    Args:
        dose: At the injection, in any unit.
        delay: From the injection to the time that the images are decayed to; negative where the scan began first.
        half_life_s: Of the radionuclide, s.

    Raises:
        UncertainDose: No scan is made so long before or after an injection.
        ValueError: The half-life is not above 0.
    """
    if not half_life_s > 0:
        raise ValueError("a half-life that is not above 0")
    half_lives = delay.total_seconds() / half_life_s
    if delay < -MAX_LEAD or half_lives < -MAX_LEAD_HALF_LIVES:
        raise UncertainDose(
            f"by its tags the tracer was injected {_shown(-delay)} after the scan began; check the injection time"
        )
    if half_lives > MAX_DELAY_HALF_LIVES:
        raise UncertainDose(
            f"by its tags the tracer was injected {_shown(delay)} before the scan, more than "
            f"{MAX_DELAY_HALF_LIVES:.0f} half-lives; check the injection time"
        )
    return float(dose * 2**-half_lives)


def delay_to(scanned: datetime, tracer: Dataset, half_life_s: float) -> timedelta:
    """Return the time from the injection to the scan, also where the tags lack the day of the injection.

    Without a day, it is the last injection at that time of day which is at most `MAX_LEAD` after the beginning of the
    scan: a dynamic scan begins shortly before the injection, and a scan after midnight may follow one before midnight.

    Args:
        scanned: The time that the images are decayed to.
        tracer: An item of the Radiopharmaceutical Information Sequence.
        half_life_s: Of its radionuclide, s.

    Raises:
        UncertainDose: The tags lack the day, and two days are possible, since the half-life is long.
        AttributeError, TypeError, ValueError: A time is missing or invalid.
    """
    if "RadiopharmaceuticalStartDateTime" in tracer:
        return scanned - local_time(tracer.RadiopharmaceuticalStartDateTime)
    delay = scanned - datetime.combine(scanned.date(), TM(tracer.RadiopharmaceuticalStartTime))
    if delay < -MAX_LEAD:
        delay += DAY
    elif delay >= DAY - MAX_LEAD:
        delay -= DAY
    if delay < timedelta(0) and (delay + DAY).total_seconds() <= MAX_DELAY_HALF_LIVES * half_life_s:
        raise UncertainDose(
            "its tags give the injection a time but no day, so it may have been after the beginning of the scan or the "
            "day before"
        )
    return delay


def _shown(duration: timedelta) -> str:
    """Return a duration in the largest unit of which it has two."""
    minutes = duration.total_seconds() / S_PER_MIN
    return f"{minutes / MIN_PER_H:.1f} h" if minutes >= 2 * MIN_PER_H else f"{minutes:.1f} min"
