"""What is measured on each case, and what the rows come to."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.fields import compose_transform, error_mm
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation.baselines import HEAD_SETTINGS, HEAD_TITLES, register
from BSAFusionResearch.evaluation.clock import clocks
from BSAFusionResearch.evaluation_heads.cases import ELASTIC_MM, HeadCase
from BSAFusionResearch.evaluation_heads.expected import compare_expected, expected_summary
from BSAFusionResearch.simulation.patient import best_rigid, brain_mask
from BSAFusionResearch.simulation.settings import MODALITIES

HARM_MM = 0.05
"""A case whose final error is larger than the rigid search's by more than this was harmed."""

ERRORS = ("before", "best_rigid", "search", "initialization", "undamped", "final")


def measure_case(case: HeadCase, folder: Path, settings: Settings) -> dict:
    """Register one simulated patient and measure the mean error in the brain after each step.

    Args:
        case: which patient.
        folder: the label files of the heads.
        settings: of the registration; the modality is the case's.

    Returns:
        The row: the case's own fields, `error_mm` by the names of `ERRORS` (search: the rigid transform that the
        network went on from; initialization: after it corrected shift and turn; undamped: its whole field, before the
        checks reduce it), `expected` (see `compare_expected`), wall and CPU seconds of the registration, and
        its report.

    Raises:
        FusionError: the head or the weights are missing.
    """
    patient = case.patient(folder)
    begun = clocks()
    result = register_and_fuse(patient.fixed, patient.moving, replace(settings, modality=case.modality))
    seconds, cpu_seconds = clocks() - begun
    brain = brain_mask(patient)
    transforms = {
        "before": sitk.Transform(),
        "best_rigid": best_rigid(patient.truth, brain),
        "search": result.searched,
        "initialization": result.prealignment,
        "undamped": compose_transform(result.estimated_field, result.prealignment),
        "final": result.transform(),
    }
    return {
        "name": case.name,
        **asdict(case),
        "error_mm": {name: error_mm(transform, patient.truth, brain) for name, transform in transforms.items()},
        "expected": compare_expected(result, patient.truth, brain),
        "seconds": float(seconds),
        "cpu_seconds": float(cpu_seconds),
        "report": result.report.as_dict(),
    }


def measure_baseline(case: HeadCase, folder: Path, method: str, python: Path, threads: int) -> dict:
    """Register one simulated patient with a baseline, one of `HEAD_TITLES`, by the settings for its modality.

    Returns:
        `settings`; `error_mm` of its rigid part and of all, wall and CPU seconds; or `gave_up` with what it said.
    """
    patient = case.patient(folder)
    brain, settings = brain_mask(patient), HEAD_SETTINGS[method][case.modality]
    try:
        found = register(method, patient.fixed, patient.moving, python, threads, **settings)
    except FusionError as error:
        return {"settings": settings, "gave_up": str(error)}
    errors = {
        "rigid": error_mm(found.rigid, patient.truth, brain),
        "final": error_mm(found.whole, patient.truth, brain),
    }
    return {
        "settings": settings,
        "error_mm": errors,
        "seconds": found.seconds,
        "cpu_seconds": found.cpu_seconds,
    }


def summary(rows: list[dict]) -> dict[str, float | int | None]:
    """Return the means of the errors over some rows and what follows from them.

    `residual_removed` is 1 - mean(final) / mean(best rigid); None where the motions are rigid, as no residual is left
    there to remove.
    """
    means = {name: float(np.mean([row["error_mm"][name] for row in rows])) for name in ERRORS}
    changes = [row["error_mm"]["final"] - row["error_mm"]["search"] for row in rows]
    return {
        "cases": len(rows),
        **means,
        "residual_removed": 1 - means["final"] / means["best_rigid"] if means["best_rigid"] > 1e-3 else None,
        "initialization_excess": means["initialization"] - means["best_rigid"],
        "worst_final": max(row["error_mm"]["final"] for row in rows),
        "worst_change": max(changes),
        "share_harmed": float(np.mean([change > HARM_MM for change in changes])),
        "seconds": float(np.mean([row["seconds"] for row in rows])),
    }


def summaries(rows: list[dict]) -> dict[str, dict]:
    """Return the summary of every modality at every elastic size that there are rows of, and of all."""
    return {name: summary(group) for name, group in _by_group(rows).items()}


def expected_summaries(rows: list[dict]) -> dict[str, dict]:
    """Return, by modality, how far the expected error agrees with the true one, of the rows that hold one."""
    by_modality: dict[str, list[dict]] = {}
    for row in rows:
        if row.get("expected"):
            by_modality.setdefault(row["modality"], []).append(row)
    return {modality: expected_summary(chosen) for modality, chosen in by_modality.items()}


def baseline_summaries(rows: list[dict], baselines: dict[str, dict[str, dict]]) -> dict[str, dict[str, dict]]:
    """Return, by group and method, mean errors and seconds on the cases that every baseline finished.

    Args:
        rows: those measured by us; other cases do not count.
        baselines: by the case's name and the method.

    Returns:
        By group, of `ours` and each baseline: `cases` compared, how many it `gave_up`, mean errors in mm after its
        `rigid` part (ours: after the search) and at the end (`final`), and mean `seconds`.
    """
    figures: dict[str, dict[str, dict]] = {}
    for group, chosen in _by_group(rows).items():
        tried = [row for row in chosen if set(HEAD_TITLES) <= baselines.get(row["name"], {}).keys()]
        shared = [row for row in tried if all("error_mm" in baselines[row["name"]][method] for method in HEAD_TITLES)]
        if not shared:
            continue
        ours = [{**row, "error_mm": {"rigid": row["error_mm"]["search"], **row["error_mm"]}} for row in shared]
        methods = {"ours": ours}
        methods |= {method: [baselines[row["name"]][method] for row in shared] for method in HEAD_TITLES}
        figures[group] = {
            method: {
                "cases": len(shared),
                "gave_up": sum("gave_up" in baselines[row["name"]].get(method, ()) for row in tried),
                **{part: float(np.mean([one["error_mm"][part] for one in measured])) for part in ("rigid", "final")},
                "seconds": float(np.mean([one["seconds"] for one in measured])),
            }
            for method, measured in methods.items()
        }
    return figures


def _by_group(rows: list[dict]) -> dict[str, list[dict]]:
    """Return the rows of every modality at every elastic size, and all of them; groups without rows are left out."""
    groups = {
        f"{modality.upper()}, {elastic:g} mm": [
            row for row in rows if (row["modality"], row["elastic_mm"]) == (modality, elastic)
        ]
        for modality in MODALITIES
        for elastic in ELASTIC_MM
    }
    return {name: group for name, group in {**groups, "all": rows}.items() if group}
