"""Progress of a run in words."""

import time

from slicer.i18n import tr as _

from BSAFusionLib.pipeline.progress import STAGE_SHARES, Slices

SECONDS_UNTIL_KNOWN = 2.0  # that a run must last before the time left is estimated


class Progress:
    """Turns stage, fraction and time left into a sentence."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._stages = list(STAGE_SHARES)

    def text(self, stage: str, fraction: float, slices: Slices) -> str:
        """Return what to show for a stage, the fraction of the whole job, and the slices."""
        names = {
            "intensities": _("Reading intensities"),
            "pre-alignment": _("Rigid pre-alignment"),
            "slices": _("Cutting slices"),
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
        if elapsed < SECONDS_UNTIL_KNOWN or fraction < 0.05:
            return None
        return elapsed * (1 - fraction) / fraction
