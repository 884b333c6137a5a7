"""Progress of a run as text."""

import time

from slicer.i18n import tr as _

from BSAFusionLib.pipeline.progress import STAGE_SHARES, Slices

SECONDS_UNTIL_ESTIMATE = 2.0
MIN_FRACTION_FOR_ESTIMATE = 0.05


class Progress:
    """Describes stage, progress and remaining time of a run in a sentence."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._stages = list(STAGE_SHARES)

    def text(self, stage: str, fraction: float, slices: Slices) -> str:
        """Return the text for the panel.

        Args:
            stage: A key of `STAGE_SHARES`.
            fraction: Of the whole job, 0 to 1.
            slices: Slices done and their number, or None.
        """
        names = {
            "intensities": _("Reading intensities"),
            "pre-alignment": _("Rigid registration"),
            "slices": _("Cutting slices"),
            "pre-registration": _("Aligning roughly"),
            "registration": _("Aligning"),
            "deformation": _("Making one deformation of all slices"),
            "fusion": _("Fusing"),
            "volumes": _("Making the volumes"),
            "report": _("Measuring the result"),
        }
        text = names.get(stage, stage)
        done_before = sum(STAGE_SHARES[name] for name in self._stages[: self._stages.index(stage)])
        of_stage = min(1.0, max(0.0, (fraction - done_before) / STAGE_SHARES[stage]))
        if slices is not None:
            done, count = slices
            text = _("{stage}, slice {done} of {count}").format(stage=text, done=done, count=count)
        elif stage == "pre-alignment" and of_stage > 0:
            text = _("{stage}, {percent} %").format(stage=text, percent=round(100 * of_stage))
        left = self._seconds_left(fraction)
        if left is None:
            return text
        if left >= 90:
            return _("{text}; about {minutes} min left").format(text=text, minutes=round(left / 60))
        return _("{text}; about {seconds} s left").format(text=text, seconds=max(1, round(left)))

    def _seconds_left(self, fraction: float) -> float | None:
        elapsed = time.monotonic() - self._begun
        if elapsed < SECONDS_UNTIL_ESTIMATE or fraction < MIN_FRACTION_FOR_ESTIMATE:
            return None
        return elapsed * (1 - fraction) / fraction
