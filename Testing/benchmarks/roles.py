"""Measure how the network's modality classifier tells scans in their roles from exchanged ones, on simulated heads.

    .venv/bin/python Testing/benchmarks/roles.py HEADS --pairs 54

HEADS is the folder of labeled heads. Pairs are those of `run.py evaluate --heads HEADS --starts N`, of the heads that
choose (11 and 12) or, with --reported, of those that report (13 to 15), each as it should be and with the two volumes
exchanged, laid onto one another by their best rigid motion. Prints the median slice's logarithm of the odds that the
moving volume is of its modality, and not an MRI.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.case import prepare_case
from BSAFusionLib.pipeline.roles import LEAST_LOG_ODDS, median_log_odds
from BSAFusionLib.pipeline.slicing import slice_axis
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation_heads.starts import start_pairs
from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, REPORTED_HEADS
from BSAFusionResearch.simulation.patient import best_rigid, brain_mask


def measure(fixed: sitk.Image, moving: sitk.Image, modality: str, transform: sitk.Transform) -> float | None:
    """Return the median slice's log odds; None where the volumes are rejected for their roles or show nothing."""
    try:
        case = prepare_case(fixed, moving, Settings(modality, device="cpu"))
    except FusionError:
        return None
    grid = case.network_input.registration_grid(slice_axis(case.fixed, "auto"), case.network.size)
    stack = case.network_input.stack(grid, transform)
    return median_log_odds(case.network.runner, stack)


def main() -> None:
    """Print a line a pair and the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path, metavar="HEADS")
    parser.add_argument("--pairs", type=int, default=54, metavar="N", help="number of pairs (default: %(default)s)")
    parser.add_argument("--reported", action="store_true", help="of heads 13 to 15")
    arguments = parser.parse_args()
    found: dict[tuple[str, bool], list[float]] = {}
    for pair in start_pairs(arguments.pairs, REPORTED_HEADS if arguments.reported else CHOOSING_HEADS):
        patient, modality = pair.patient(arguments.heads), pair.settings.modality
        motion = best_rigid(patient.truth, brain_mask(patient))
        volumes = patient.fixed, patient.moving
        for exchanged in (False, True):
            fixed, moving = reversed(volumes) if exchanged else volumes
            log_odds = measure(fixed, moving, modality, motion.GetInverse() if exchanged else motion)
            if log_odds is not None:
                found.setdefault((modality, exchanged), []).append(log_odds)
            shown = "rejected" if log_odds is None else f"{log_odds:.2f}"
            print(
                pair.number, modality, pair.settings.contrast, "exchanged" if exchanged else "right", shown, flush=True
            )
    for (modality, exchanged), values in sorted(found.items()):
        said = sum(value < LEAST_LOG_ODDS for value in values)
        low, middle, high = np.percentile(values, (0, 50, 100))
        print(
            f"{modality}, {'exchanged' if exchanged else 'right'}: {said} of {len(values)} called an MRI; "
            f"least {low:.2f}, median {middle:.2f}, largest {high:.2f}"
        )


if __name__ == "__main__":
    main()
