"""The choices of one run: the one list that the command line, the panel and the console read."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from BSAFusionLib.color_maps import COLOR_MAPS, flaws
from BSAFusionLib.color_maps import DEFAULT as DEFAULT_COLOR_MAP
from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES

if TYPE_CHECKING:
    import SimpleITK as sitk

AUTO = "auto"
INITIALIZATIONS = ("rigid", "none")
SLICE_AXES = (AUTO, "i", "j", "k")
PRECISIONS = ("float32", "bfloat16")


class Option(NamedTuple):
    """How a choice is written on the command line.

    Attributes:
        flag: The option's name. A Boolean choice has a flag that turns it to the opposite of its default.
        help: One sentence; `%(default)s` stands for the default.
        kind: Converts one word to the value; None for a Boolean choice.
        values: The only values that are allowed, where there are few.
        metavar: What the help shows for the value, one name a word.
        bounds: Least and greatest value that the panel offers for a number.
    """

    flag: str
    help: str
    kind: type | None = str
    values: tuple[str, ...] = ()
    metavar: str | tuple[str, ...] | None = None
    bounds: tuple[float, float] | None = None


def _choice(default: Any, *option: Any, **details: Any) -> Any:
    return field(default=default, metadata={"option": Option(*option, **details)})


@dataclass(frozen=True)
class Settings:
    """The choices of one run of `register_and_fuse`, checked when they are made.

    Each field carries its explanation as an `Option`; `options` returns it. Those that need more than a sentence:

    Attributes:
        modality: Type of the moving volume, a name in `MODALITIES`; "auto" judges by its intensities.
        prealignment: "rigid" estimates a rigid initialization, "none" takes the volumes as they are placed, and a
            sitk.Transform (fixed point -> moving point, mm, LPS) is taken as the initial transform.
        slice_axis: Index axis of the fixed volume that slices are cut across; "auto" is the one closest to
            superior-inferior.
        ct_window: (center, width) in the CT's own units; None is the brain window, 40 and 80 Hounsfield units, or, for
            a CT that is not in Hounsfield units, a similar window estimated from the intensities.
        batch_size: Slices in one pass of the network; None lets the program choose.
        through_plane_smoothing: Sigma in mm of the Gaussian by which white noise would become as smooth as the
            deformation is across the slices, when one axis alone is registered.
        weights: A checkpoint; None is the shipped one for the modality.

    Raises:
        FusionError: A value makes no sense.
    """

    modality: str = AUTO
    prealignment: "str | sitk.Transform" = _choice(  # noqa: RUF009  (it makes a dataclass field)
        "rigid", "--prealignment", "initial transform (default: %(default)s)", values=INITIALIZATIONS
    )
    slice_axis: str = _choice(
        AUTO, "--axis", "index axis of FIXED to cut slices across (default: %(default)s)", values=SLICE_AXES
    )
    ct_window: tuple[float, float] | None = _choice(
        None,
        "--ct-window",
        "center and width of the CT window, in the CT's own units (default: the brain window, 40 and 80 HU, or a "
        "similar one)",
        kind=float,
        metavar=("CENTER", "WIDTH"),
    )
    device: str = _choice(
        AUTO, "--device", "device of the network: auto, cpu, cuda, cuda:0, mps (default: %(default)s)"
    )
    precision: str = _choice(
        "float32",
        "--precision",
        "precision of the network's layers; bfloat16 is faster where the device supports it (default: %(default)s)",
        values=PRECISIONS,
    )
    batch_size: int | None = _choice(
        None,
        "--batch-size",
        "slices in one pass of the network (default: chosen by the program)",
        kind=int,
        metavar="N",
        bounds=(0, 256),
    )
    three_axes: bool = _choice(
        True,
        "--one-axis",
        "register slices of that axis only (default: also of the others, where they are fine enough)",
        kind=None,
    )
    through_plane_smoothing: float = _choice(
        16.0,
        "--smoothing",
        "with --one-axis: sigma of the field's smoothing across the slices (default: %(default)s)",
        kind=float,
        metavar="MM",
        bounds=(0, 50),
    )
    strength: float = _choice(
        1.0,
        "--strength",
        "fraction of the network's field that is applied, 0 to 1 (default: %(default)s)",
        kind=float,
        metavar="FRACTION",
        bounds=(0, 1),
    )
    refine: bool = _choice(
        False, "--refine", "register every slice mirrored, too: twice the time, slightly less error", kind=None
    )
    do_no_harm: bool = _choice(
        True,
        "--no-check",
        "apply all of the network's field (default: displacements that grow from round to round, or are longer than "
        "those of the training, are limited; with weights that are not calibrated, global scaling is removed, too, and "
        "as much of the rest is applied as raises the mutual information by more than a penalty on its size)",
        kind=None,
    )
    fold_free: bool = _choice(
        True,
        "--no-fold-free",
        "leave the network's field as it is where it folds space (default: it is damped there)",
        kind=None,
    )
    weights: Path | str | None = _choice(  # noqa: RUF009
        None, "--weights", "a checkpoint (default: the shipped one for the modality)", metavar="FILE"
    )
    color_map: str = _choice(
        DEFAULT_COLOR_MAP,
        "--color-map",
        # Twice the sign, since argparse formats the text.
        f"color map of the overlay (default: %(default)s); the lightness of some does not rise: {flaws()}".replace(
            "% ", "%% "
        ),
        values=tuple(COLOR_MAPS),
    )

    def __post_init__(self) -> None:
        self._check_value("modality", self.modality, (AUTO, *MODALITIES))
        # A transform is known by its method, so that settings are made without SimpleITK.
        if not hasattr(self.prealignment, "TransformPoint"):
            self._check_value("pre-alignment", self.prealignment, (*INITIALIZATIONS, "a transform"))
        self._check_value("slice axis", self.slice_axis, SLICE_AXES)
        self._check_value("precision", self.precision, PRECISIONS)
        self._check_value("color map", self.color_map, tuple(COLOR_MAPS))
        if self.ct_window is not None:
            center, width = self.ct_window
            if not (math.isfinite(center) and math.isfinite(width) and width > 0):
                raise FusionError(f"The CT window {self.ct_window} needs a finite center and a width above zero.")
        if self.batch_size is not None and self.batch_size < 1:
            raise FusionError(f"The batch size {self.batch_size} must be 1 or more, or left to the program.")
        if not (math.isfinite(self.through_plane_smoothing) and self.through_plane_smoothing >= 0):
            raise FusionError(f"The smoothing across slices, {self.through_plane_smoothing}, must be 0 mm or more.")
        if not 0 <= self.strength <= 1:
            raise FusionError(f"The strength {self.strength} must lie between 0 and 1.")

    @staticmethod
    def _check_value(name: str, value: object, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            raise FusionError(f"The {name} {value!r} is unknown; choose one of {', '.join(allowed)}.")


def options() -> dict[str, Option]:
    """Return the command-line options of all choices, by the fields of `Settings`; `modality` has none."""
    return {each.name: each.metadata["option"] for each in fields(Settings) if "option" in each.metadata}
