"""Rigid initializations of simulated pairs that lie and look in all ways, and what the baselines make of them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.network.weights_file import read_parts, sha256
from BSAFusionLib.pipeline.doubt import Doubt, SecondOpinion, judge
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation.baselines import register
from BSAFusionResearch.evaluation.clock import clocks
from BSAFusionResearch.second_opinion.rigid_only import register_rigidly
from BSAFusionResearch.simulation.heads import REPORTED_HEADS, head_files, read_head
from BSAFusionResearch.simulation.patient import Patient, best_rigid, brain_mask, simulate_patient
from BSAFusionResearch.simulation.scanners import Scanner
from BSAFusionResearch.simulation.settings import MODALITIES, PatientSettings
from BSAFusionResearch.simulation.tissues import CONTRASTS

RIGHT_MM, NEAR_MM = 3.0, 10.0
ELASTIC_MM = 4.0
UPRIGHT_DEG = 30.0
SEED = 190

# Voxels are larger than usual, so that many pairs can be simulated; initializations are estimated at 3 mm and above.
FIXED_SCANNER = Scanner((1.5, 1.5, 2.0), "axial", (4.0, -3.0, 2.0), 0.0, 1.5, 0.025, 10.0)
MOVING_SCANNERS = {
    "ct": Scanner((1.5, 1.5, 3.0), "axial", (0.0, 0.0, 0.0), 0.0, 1.5, 6.0, 12.0),
    "pet": Scanner((3.0, 3.0, 3.0), "axial", (0.0, 0.0, 0.0), 0.0, 6.0, 0.07, 20.0),
    "spect": Scanner((4.0, 4.0, 4.0), "axial", (0.0, 0.0, 0.0), 0.0, 10.0, 0.07, 30.0),
}
TORSO_MM = {"ct": (150.0, 350.0), "pet": (200.0, 700.0), "spect": (50.0, 150.0)}


@dataclass(frozen=True)
class StartPair:
    """One simulated pair; all of it follows from its number.

    Attributes:
        number: From 0.
        head: Number of the labeled head.
    """

    number: int
    head: str

    @property
    def settings(self) -> PatientSettings:
        """The patient: half of the motions turn by up to 30 degrees, the others by any angle."""
        random = np.random.default_rng((SEED, self.number))
        modality = MODALITIES[self.number // len(REPORTED_HEADS) % len(MODALITIES)]
        torso = float(random.uniform(*TORSO_MM[modality])) if random.random() < 0.3 else 0.0
        view = str(random.choice(("head", "brain", "no-face", "slab"), p=(0.5, 0.2, 0.2, 0.1)))
        return PatientSettings(
            modality,
            contrast=str(random.choice((*CONTRASTS, "random"))),
            seed=self.number,
            rotation_deg=float(random.uniform(*((0, UPRIGHT_DEG) if random.random() < 0.5 else (UPRIGHT_DEG, 180)))),
            translation_mm=float(random.uniform(0, 60)),
            elastic_mm=ELASTIC_MM,
            torso_mm=torso,
            moving_view="head" if torso else view,
            fixed_view=str(random.choice(("head", "no-face"), p=(0.8, 0.2))),
            removed=str(random.choice(("nothing", "skull", "face"), p=(0.8, 0.1, 0.1))),
            coil=float(np.exp(random.uniform(0, np.log(8)))) if random.random() < 0.4 else 1.0,
            hot=float(random.uniform(5, 30)) if random.random() < 0.25 else 0.0,
            noise=float(random.uniform(0.5, 2.0)),
        )

    def patient(self, folder: Path) -> Patient:
        """Simulate the patient from the label files of a folder.

        Raises:
            FusionError: The head is missing or is no label map.
        """
        labels = read_head(head_files(folder, (self.head,))[0])
        settings = self.settings
        return simulate_patient(labels, settings, FIXED_SCANNER, MOVING_SCANNERS[settings.modality])


def start_pairs(count: int, heads: tuple[str, ...] = REPORTED_HEADS) -> list[StartPair]:
    """Return the first pairs of some heads, which take turns."""
    return [StartPair(number, heads[number % len(heads)]) for number in range(count)]


def measure_start(pair: StartPair, patient: Patient, settings: Settings) -> dict[str, Any]:
    """Estimate the rigid initialization of a pair and measure its error.

    Args:
        pair: Which pair.
        patient: Simulated for it.
        settings: Of the run, with weights, which the verdict asks.

    Returns:
        number, head, settings: The pair's.
        network: Hash of the weights, and the precision.
        error_mm: Mean error in the brain as placed, of the best rigid motion and of the initialization; this one is
            None where the pair was rejected.
        opinion: The fields of `SecondOpinion`, from which the verdict follows; None where the pair was rejected.
        message: Why it was rejected, or "".
        turns: How many turns of the moving volume were searched.
        seconds, cpu_seconds: Of the initialization with its verdict; None where the pair was rejected.
    """
    brain = brain_mask(patient)
    errors = {
        "placed": error_mm(sitk.Transform(), patient.truth, brain),
        "best_rigid": error_mm(best_rigid(patient.truth, brain), patient.truth, brain),
        "start": None,
    }
    row = {
        "number": pair.number,
        "head": pair.head,
        "settings": asdict(pair.settings),
        "network": [sha256(read_parts(Path(str(settings.weights)))), settings.precision],
        "error_mm": errors,
    }
    begun = clocks()
    try:
        outcome = register_rigidly(patient.fixed, patient.moving, settings)
    except FusionError as error:
        return {**row, "opinion": None, "message": str(error), "turns": None, "seconds": None, "cpu_seconds": None}
    seconds, cpu_seconds = clocks() - begun
    errors["start"] = error_mm(outcome.transform, patient.truth, brain)
    return {
        **row,
        "opinion": asdict(outcome.opinion),
        "message": "",
        "turns": outcome.heads.moving.turns,
        "seconds": float(seconds),
        "cpu_seconds": float(cpu_seconds),
    }


def doubt_of(row: dict[str, Any]) -> Doubt | None:
    """Judge a row of `measure_start` by today's rule; None where the pair was rejected."""
    return None if row["opinion"] is None else judge(SecondOpinion(**row["opinion"]))


def _doubtful(row: dict[str, Any]) -> bool:
    doubt = doubt_of(row)
    return doubt is not None and doubt.doubtful


def measure_rigid_baseline(patient: Patient, method: str, python: Path, threads: int) -> dict[str, Any]:
    """Register a pair rigidly by a baseline, one of `RIGID_TITLES`.

    Returns:
        `error_mm`, `seconds` and `cpu_seconds`; or `gave_up`, its message.
    """
    try:
        found = register(method, patient.fixed, patient.moving, python, threads)
    except FusionError as error:
        return {"gave_up": str(error)}
    distance_mm = error_mm(found.rigid, patient.truth, brain_mask(patient))
    return {"error_mm": distance_mm, "seconds": found.seconds, "cpu_seconds": found.cpu_seconds}


def distribution(errors: list[float | None], seconds: list[float | None]) -> dict[str, Any]:
    """Summarize errors of initializations.

    Args:
        errors: In mm; None where there was no result.
        seconds: CPU seconds of each; None where there was no result.

    Returns:
        pairs, median, percentile_90, within_3, within_10 (shares of all) and cpu_seconds (mean of those with a result).
    """
    known = np.array([np.inf if error is None else error for error in errors])
    return {
        "pairs": len(known),
        "median": float(np.median(known)),
        "percentile_90": float(np.sort(known)[int(np.ceil(0.9 * len(known))) - 1]),
        "within_3": float(np.mean(known < RIGHT_MM)),
        "within_10": float(np.mean(known < NEAR_MM)),
        "cpu_seconds": float(np.mean([taken for taken in seconds if taken is not None] or [np.nan])),
    }


def start_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the distributions of ours and, on the pairs that they ran on, of the baselines; and the verdict's errors.

    Args:
        rows: Those of `measure_start`; `baselines` holds those of `measure_rigid_baseline` by method, where measured.

    Returns:
        ours: Over all pairs.
        side_by_side: By method, over the pairs that all ran on; empty without baselines.
        side_by_side_upright: The same over those turned by up to `UPRIGHT_DEG`, which the baselines' searches reach.
        silent: Numbers of the pairs that are wrong by over `NEAR_MM` and not doubtful.
        falsely_doubtful: Numbers of the pairs that are right within `RIGHT_MM` and doubtful.
        right: How many are right within `RIGHT_MM`.
    """
    ours = [row["error_mm"]["start"] for row in rows]
    both = [row for row in rows if row.get("baselines")]
    upright = [row for row in both if row["settings"]["rotation_deg"] <= UPRIGHT_DEG]
    right = [row for row, error in zip(rows, ours, strict=True) if error is not None and error < RIGHT_MM]
    wrong = [row for row, error in zip(rows, ours, strict=True) if error is not None and error > NEAR_MM]
    return {
        "ours": distribution(ours, [row["cpu_seconds"] for row in rows]),
        "side_by_side": _by_method(both),
        "side_by_side_upright": _by_method(upright),
        "silent": [row["number"] for row in wrong if not _doubtful(row)],
        "falsely_doubtful": [row["number"] for row in right if _doubtful(row)],
        "right": len(right),
    }


def _by_method(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the distributions of ours and of each baseline over rows that hold them all; {} without rows."""
    if not rows:
        return {}
    methods = {"ours": distribution([row["error_mm"]["start"] for row in rows], [row["cpu_seconds"] for row in rows])}
    for method in rows[0]["baselines"]:
        found = [row["baselines"][method] for row in rows]
        errors, seconds = ([one.get(name) for one in found] for name in ("error_mm", "cpu_seconds"))
        methods[method] = distribution(errors, seconds)
    return methods
