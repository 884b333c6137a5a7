"""Measure whether the expected error holds for other scans than those that it was fitted on, on simulated heads.

    .venv/bin/python Testing/benchmarks/other_scans.py HEADS --json scans.json

HEADS is the folder of labeled heads. The expected error was fitted on T1 MRIs of whole heads with voxels of 1 mm, and
FDG or perfusion. Here the MRI or the other scan is of another kind: without skull, of other contrast, a slab, with a
tumor, and so on. The patients are of the heads that choose (11 and 12) or, with --reported, of those that report (13 to
15), moved by 8 degrees and 12 mm, with 4 mm of elastic displacement at most. Prints the mean error in the brain in mm
after the best rigid motion, after the rigid search and in the end, the expected one, and true over expected.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation.tables import markdown_table
from BSAFusionResearch.evaluation_heads.expected import compare_expected
from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, REPORTED_HEADS, head_files, read_head
from BSAFusionResearch.simulation.patient import best_rigid, brain_mask, simulate_patient
from BSAFusionResearch.simulation.settings import PatientSettings

KINDS: dict[str, dict] = {
    "as fitted": {},
    "MRI without skull": {"removed": "skull"},
    "MRI without face": {"removed": "face"},
    "MRI of T2 contrast": {"contrast": "t2"},
    "FLAIR": {"contrast": "flair"},
    "slices of 3 mm": {"slice_thickness_mm": 3.0},
    "noise three times as strong": {"noise": 3.0},
    "MRI of a slab": {"fixed_view": "slab"},
    "moving scan of a slab": {"moving_view": "slab"},
    "scan to the chest": {"torso_mm": 150.0},
    "tumor": {"lesion": "tumor"},
    "craniotomy": {"lesion": "craniotomy"},
    "atrophy": {"atrophy_mm": 4.0},
    "amyloid": {"tracer": "amyloid"},
    "dopamine transporters": {"tracer": "dopamine"},
}
ONLY = {"amyloid": "pet", "dopamine transporters": "spect"}


def measured(head: Path, settings: PatientSettings) -> dict:
    """Register one patient and return its errors, its warnings and whether the result is called doubtful."""
    patient = simulate_patient(read_head(head), settings)
    brain = brain_mask(patient)
    errors = {"best_rigid": error_mm(best_rigid(patient.truth, brain), patient.truth, brain)}
    try:
        result = register_and_fuse(patient.fixed, patient.moving, Settings(settings.modality, device="cpu"))
    except FusionError as error:
        return {"error_mm": errors, "rejected": str(error)}
    compared = compare_expected(result, patient.truth, brain) or {"true": [], "expected": []}
    errors["search"] = error_mm(result.searched, patient.truth, brain)
    errors["final"] = error_mm(result.transform(), patient.truth, brain)
    report = result.report.as_dict()
    return {"error_mm": errors, **compared, "report": report}


def line(kind: str, modality: str, rows: list[dict]) -> list[str]:
    """Return the cells of one kind and modality."""
    finished = [row for row in rows if "report" in row]
    cells = [kind, modality, f"{len(finished)} of {len(rows)}"]
    for name in ("best_rigid", "search", "final"):
        cells.append(f"{np.mean([row['error_mm'][name] for row in finished]):.2f}" if finished else "")
    true, expected = (np.concatenate([row[name] for row in finished] or [[]]) for name in ("true", "expected"))
    if len(true) == 0:
        return [*cells, "", "", ""]
    ratios = [np.mean(row["true"]) / np.mean(row["expected"]) for row in finished if row["true"]]
    return [*cells, f"{expected.mean():.2f}", f"{true.mean() / expected.mean():.2f}", f"{max(ratios):.2f}"]


def main() -> None:
    """Measure what the file lacks, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path, metavar="HEADS")
    parser.add_argument("--reported", action="store_true", help="of heads 13 to 15")
    parser.add_argument("--elastic", type=float, default=4.0, metavar="MM")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="every case; goes on from there")
    arguments = parser.parse_args()
    rows = json.loads(arguments.json.read_text()) if arguments.json.is_file() else {}
    heads = head_files(arguments.heads, REPORTED_HEADS if arguments.reported else CHOOSING_HEADS)
    lines = []
    for kind in arguments.kinds:
        for number, modality in enumerate(MODALITIES):
            if ONLY.get(kind, modality) != modality:
                continue
            chosen = []
            for head in heads:
                name = f"{kind}, {modality}, {head.name[:2]}, {arguments.elastic:g} mm"
                if name not in rows:
                    settings = PatientSettings(modality, seed=500 + number, elastic_mm=arguments.elastic)
                    rows[name] = measured(head, replace(settings, **KINDS[kind]))
                    arguments.json.write_text(json.dumps(rows))
                    print(name, {n: round(e, 2) for n, e in rows[name]["error_mm"].items()}, flush=True)
                chosen.append(rows[name])
            lines.append(line(kind, modality, chosen))
            print(*lines[-1], sep=" | ", flush=True)
    titles = ["kind", "modality", "finished", "best rigid", "rigid search", "final", "expected", "ratio", "largest"]
    print(markdown_table(titles, lines))


if __name__ == "__main__":
    main()
