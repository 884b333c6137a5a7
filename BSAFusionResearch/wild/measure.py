"""Run a wild case as the program would, up to the rigid initialization, and measure its error."""

import os
import subprocess
import sys
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files import inputs
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.geometry.grids import directions
from BSAFusionLib.settings import Settings
from BSAFusionResearch.second_opinion.rigid_only import register_rigidly
from BSAFusionResearch.wild.cases import CommandLine, Pair, Truth, WildCase
from BSAFusionResearch.wild.sources import Sources

REPOSITORY = Path(__file__).resolve().parents[2]
REGISTERED, REJECTED, CRASHED = "registered", "rejected", "crashed"


def measure(case: WildCase, sources: Sources) -> dict[str, Any]:
    """Make a case's files, run the program on them and return the case's row.

    A pair goes the way of `fuse` up to the rigid initialization; slices and fusion, which take most of the time, are
    left out. A command line is run whole.

    Returns:
        title, kind, expected, words: The case's.
        outcome: `REGISTERED`, `REJECTED` (a sentence, as for exit status 2) or `CRASHED`.
        sentences: What the user reads, a sentence each.
        error_mm: Mean distance in the head between the result and the right motion; None without either.
        motion_error_mm: The same, for templates against the result for the unmoved pair.
        doubtful: Whether the result is called doubtful; None where the run ended before.
        opinion: The evidence for that.
        seconds: CPU seconds of the run.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inputs").mkdir()
        made = case.make(sources, folder / "inputs")
        begun = _cpu_seconds()
        row = _run_pair(made, sources) if isinstance(made, Pair) else _run_command(made, folder)
    return {
        "title": case.title,
        "kind": case.kind,
        "expected": case.expected,
        "words": list(case.words),
        "error_mm": None,
        "motion_error_mm": None,
        "doubtful": None,
        "seconds": _cpu_seconds() - begun,
        **row,
    }


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _run_pair(pair: Pair, sources: Sources) -> dict[str, Any]:
    begun = _cpu_seconds()
    try:
        registered = _register(pair)
    except FusionError as error:
        return {"outcome": REJECTED, "sentences": [str(error)]}
    except Exception as error:  # whatever else comes up is what the user would see as a traceback
        return {"outcome": CRASHED, "sentences": [f"{type(error).__name__}: {error}"]}
    row = {"outcome": REGISTERED, **registered, "seconds": _cpu_seconds() - begun}
    transform, moving = row.pop("transform"), row.pop("moving")
    if pair.truth is not None:
        found = sitk.CompositeTransform([to_placed(pair.truth, moving), transform])  # the last one acts first
        own = unmoved(pair.truth.template, sources) if pair.truth.template else sitk.Transform(3, sitk.sitkIdentity)
        expected = sitk.CompositeTransform([pair.truth.motion, own])
        row["error_mm"] = error_mm(found, pair.truth.motion, pair.truth.head)
        row["motion_error_mm"] = error_mm(found, expected, pair.truth.head)
    return row


def _register(pair: Pair) -> dict[str, Any]:
    """Read a pair, register it rigidly and judge that, as `fuse` does, but with a few slices for the verdict."""
    fixed, moving = inputs.read_pair(inputs.Pair(pair.fixed, pair.moving, pair.modality))
    settings = Settings(modality=moving.modality, device="cpu", **pair.choices)
    outcome = register_rigidly(fixed.image, moving.image, settings)
    doubt, heads = outcome.doubt, outcome.heads
    return {
        "sentences": [*doubt.reasons, *fixed.remarks, *moving.remarks, *outcome.warnings, *doubt.remarks],
        "doubtful": doubt.doubtful,
        "opinion": asdict(outcome.opinion),
        "heads_found": [heads.fixed.found, heads.moving.found],
        "turns": [heads.fixed.turns, heads.moving.turns],
        "transform": outcome.transform,
        "moving": moving.image,
    }


@lru_cache(4)
def unmoved(modality: str, sources: Sources) -> sitk.Transform:
    """Return the rigid initialization of the templates as they are, which are not quite aligned."""
    pair = Pair(sources.template_path("mri_t1"), sources.template_path(modality), modality)
    transform: sitk.Transform = _register(pair)["transform"]
    return transform


def to_placed(truth: Truth, read: sitk.Image) -> sitk.Transform:
    """Return the map from points of a volume as it was read to points where its voxels truly lie."""
    if truth.placed is None or truth.placed.GetSize() != read.GetSize():
        return sitk.Transform(3, sitk.sitkIdentity)
    matrices = [directions(image) * image.GetSpacing() for image in (truth.placed, read)]
    linear = matrices[0] @ np.linalg.inv(matrices[1])
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(linear.ravel().tolist())
    transform.SetTranslation((np.array(truth.placed.GetOrigin()) - linear @ read.GetOrigin()).tolist())
    return transform


def _run_command(command: CommandLine, folder: Path) -> dict[str, Any]:
    """Run the program; it crashed where a traceback shows, the status is wrong, or a file that must stay changed."""
    before = {path: path.read_bytes() for path in command.kept}
    finished = subprocess.run(
        [sys.executable, "-m", "BSAFusionLib", *command.arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **command.environment},
        capture_output=True,
    )
    errors = finished.stderr.decode(errors="replace").strip().splitlines()
    sentences = [line for line in errors if line.strip()][-1:]
    changed = [path.name for path, content in before.items() if not path.is_file() or path.read_bytes() != content]
    if changed:
        sentences.insert(0, f"Changed: {', '.join(changed)}.")
    if "Traceback" in "".join(errors) or changed or finished.returncode != command.expected_status:
        return {"outcome": CRASHED, "sentences": [f"Exit status {finished.returncode}.", *sentences]}
    return {"outcome": REGISTERED if finished.returncode == 0 else REJECTED, "sentences": sentences}
