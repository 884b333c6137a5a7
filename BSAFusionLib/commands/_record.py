"""The record of a run on the command line, for its report."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.commands._program import program_words
from BSAFusionLib.files.paths import path_from
from BSAFusionLib.settings import Settings, options

if TYPE_CHECKING:
    from BSAFusionLib.commands._case import FinishedCase
    from BSAFusionLib.files.inputs import Input, Pair
    from BSAFusionLib.report.record import Record, Scan


def record_of(
    finished: "FinishedCase", pair: "Pair", choices: dict[str, Any], landmarks: Sequence[Path], folder: Path
) -> "Record":
    """Return where a result comes from.

    Args:
        finished: The case.
        pair: Its files.
        choices: Fields of `Settings` except the modality.
        landmarks: No file, or two.
        folder: The folder of the report, in which its command is to be typed.
    """
    from BSAFusionLib.report.record import Record, settings_texts

    weights = choices["weights"]
    settings = {
        "modality": finished.case.result.report.modality,
        **choices,
        "weights": path_from(folder, Path(weights)) if weights else None,
    }
    # DICOM is named by its tags only: its folder may be named after the patient.
    volumes = (finished.fixed, pair.fixed), (finished.moving, pair.moving)
    paths = [f"DICOM_{volume.name}" if volume.metadata else path_from(folder, path) for volume, path in volumes]
    words = [*program_words(folder), "fuse", *paths, *_options(settings)]
    for role, series in (("fixed", pair.fixed_series), ("moving", pair.moving_series)):
        words += [f"--{role}-series", series] if series else []
    if pair.fixed_mask is not None:
        words += ["--fixed-mask", path_from(folder, pair.fixed_mask)]
    if pair.frames:
        words += ["--frames", pair.frames]
    if landmarks:
        words += ["--landmarks", *(path_from(folder, path) for path in landmarks)]
    return Record(
        _scan(*volumes[0], "arbitrary"),
        _scan(*volumes[1], finished.case.pictures.overlay.unit),
        shlex.join([*words, "--out", "."]),
        settings_texts(settings),
    )


def _scan(volume: "Input", path: Path, unit: str) -> "Scan":
    from BSAFusionLib.report.record import Scan

    name = volume.name if volume.metadata else path.name
    return Scan(name, volume.image.GetSize(), volume.image.GetSpacing(), unit)


def _options(settings: dict[str, Any]) -> list[str]:
    """Return the options of `fuse` that stand for settings: the modality, and what differs from the default."""
    words = ["--modality", settings["modality"]]
    for name, option in options().items():
        value = settings[name]
        if value != getattr(Settings, name):
            values = value if isinstance(value, tuple) else (value,)
            words += [option.flag, *([] if option.kind is None else map(str, values))]
    return words
