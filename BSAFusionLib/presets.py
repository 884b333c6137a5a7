"""Named sets of choices for common cases: the one list that the command line and the panel read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from BSAFusionLib.settings import Settings

PRESET_FIELDS = (
    "prealignment",
    "three_axes",
    "through_plane_smoothing",
    "strength",
    "refine",
    "do_no_harm",
    "fold_free",
)
"""Fields of `Settings` that a preset determines; it leaves modality, device, weights and the like alone."""


@dataclass(frozen=True)
class Preset:
    """A named set of choices.

    Attributes:
        name: Identifier on the command line, such as "rigid".
        label: Name shown to people.
        help: One or two sentences: when to take it, and what it costs.
        settings: Every field of `PRESET_FIELDS` with its value.
    """

    name: str
    label: str
    help: str
    settings: Mapping[str, Any]


def preset_of(settings: Mapping[str, Any]) -> Preset | None:
    """Return the preset that choices agree with.

    Args:
        settings: Values by the fields of `Settings`; those that no preset determines are ignored.
    """
    for preset in PRESETS.values():
        if all(settings[name] == value for name, value in preset.settings.items()):
            return preset
    return None


def _preset(name: str, label: str, help: str, **changes: Any) -> Preset:
    """Make a preset from what it changes of the defaults; checked as `Settings` checks them."""
    settings = Settings(**changes)
    return Preset(name, label, help, {field: getattr(settings, field) for field in PRESET_FIELDS})


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset(
            "default",
            "Brain, default",
            "Rigid initialization, then the network along three axes: for scans of different days or scanners.",
        ),
        _preset(
            "rigid",
            "Same-day PET/MR or PET/CT-MR: rigid only",
            "The rigid registration alone; the network only fuses. For scans between which the head moved but did not "
            "change.",
            strength=0.0,
        ),
        _preset(
            "preview",
            "Fast preview",
            "The network along one axis instead of three: quicker, but motion across the slices is hardly estimated. "
            "For a first look.",
            three_axes=False,
        ),
    )
}
"""All presets by name, in the order in which they are listed."""
