"""The choices of one simulated patient, with their help texts and limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from BSAFusionLib.errors import FusionError
from BSAFusionResearch.simulation.tissues import CONTRASTS, TRACERS

MODALITIES = ("ct", "pet", "spect")
VIEWS = ("head", "brain", "slab", "no-face", "corner")


def _choice(default: object, text: str, **metadata: object) -> Any:
    """Return a field with its help text and its options or limits."""
    return field(default=default, metadata={"help": text, **metadata})


@dataclass(frozen=True)
class PatientSettings:
    """The choices of one simulated patient; the seed draws everything that is not set here.

    Every part of the simulation has its own random numbers: the same seed with another elastic size gives the same
    person, motion and scanners. Lengths are in mm, angles in degrees.

    Raises:
        FusionError: a value is out of its range.
    """

    modality: str = _choice("ct", "the moving scan", options=MODALITIES)
    contrast: str = _choice(
        "t1", "contrast of the MRI; random draws a value for each tissue", options=(*CONTRASTS, "random")
    )
    tracer: str | None = _choice(
        None,
        "tracer of the PET or SPECT (default: fdg or perfusion)",
        options=tuple(sorted({tracer for tracers in TRACERS.values() for tracer in tracers})),
    )
    seed: int = _choice(0, "number that everything random follows from", low=0)

    rotation_deg: float = _choice(8.0, "angle of the rigid motion, about a random axis", low=0, high=180)
    translation_mm: float = _choice(
        12.0, "length of the rigid motion's translation, in a random direction", low=0, high=2000
    )
    elastic_mm: float = _choice(
        4.0, "largest length of the smooth deformation in the MRI's field of view", low=0, high=20
    )

    shape_mm: float = _choice(0.0, "largest length of a smooth warp that changes the person", low=0, high=40)
    size: float = _choice(1.0, "factor of the head's size", low=0.5, high=2)
    atrophy_mm: float = _choice(0.0, "greatest distance that fluid grows into the brain", low=0, high=6)
    lesion: str = _choice("none", "lesion in both scans", options=("none", "tumor", "infarct", "craniotomy"))
    torso_mm: float = _choice(0.0, "length of the body below the head in the moving scan", low=0, high=1000)
    hot: float = _choice(0.0, "activity of salivary and lacrimal glands, relative to gray matter", low=0, high=100)

    removed: str = _choice("nothing", "part of the head removed from the MRI", options=("nothing", "skull", "face"))
    bias: float | None = _choice(None, "largest change by the MRI's bias field (default: 0.1 to 0.2)", low=0, high=1)
    coil: float = _choice(1.0, "ratio of the MRI coil's sensitivity from one side to the other", low=1, high=20)
    noise: float = _choice(1.0, "factor of the usual noise in both scans", low=0, high=10)
    variation: float = _choice(1.0, "factor of the usual regional variation in both scans", low=0, high=5)
    blur: float = _choice(
        1.0, "factor of both scanners' resolution; 0 samples the labels without any blur", low=0, high=5
    )
    slice_thickness_mm: float | None = _choice(None, "slice thickness of the MRI (default: none)", low=0.5, high=10)
    gantry_deg: float = _choice(0.0, "tilt of the CT's gantry, which shears its grid", low=-30, high=30)
    fixed_view: str = _choice("head", "field of view of the MRI", options=VIEWS)
    moving_view: str = _choice("head", "field of view of the moving scan", options=VIEWS)

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.metadata)
        if self.tracer is not None and self.tracer not in TRACERS.get(self.modality, ()):
            known = ", ".join(TRACERS.get(self.modality, ())) or "none"
            raise FusionError(f"Tracer {self.tracer} does not go with {self.modality}; choose from: {known}.")
        if self.gantry_deg and self.modality != "ct":
            raise FusionError(f"Only a CT has a gantry that tilts, not {self.modality}; leave out the gantry angle.")
        if self.torso_mm and self.moving_view != "head":
            raise FusionError("A torso needs the whole head in view; leave out the torso or the moving view.")

    @property
    def column(self) -> str:
        """The column of the table of tissues that the moving scan shows."""
        return self.tracer or TRACERS.get(self.modality, (self.modality,))[0]


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    """Raise FusionError for a value outside of its field's options or limits."""
    if value is None:
        return
    shown = name.replace("_", " ")
    options, low, high = metadata.get("options"), metadata.get("low"), metadata.get("high", math.inf)
    if options and value not in options:
        raise FusionError(f"The {shown} {value} is not known; choose from: {', '.join(options)}.")
    if low is not None and not low <= value <= high:
        limits = f"{low} to {high}" if math.isfinite(high) else f"{low} or more"
        raise FusionError(f"The {shown} is {value}; choose a value of {limits}.")
