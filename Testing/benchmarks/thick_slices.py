"""Measure what the slices of the other two axes bring where an MRI's own slices are thick, on simulated heads.

    .venv/bin/python Testing/benchmarks/thick_slices.py HEADS --millimeters 5 7 9

HEADS is the folder of labeled heads. The patients are of the heads that choose (11 and 12) or, with --reported, of
those that report (13 to 15), with 8 mm of elastic displacement at most and an MRI of thick axial slices. Prints the
mean error in the brain in mm after the rigid search and in the end, of one axis and of three, and the expected one.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation.tables import markdown_table
from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, REPORTED_HEADS, head_files, read_head
from BSAFusionResearch.simulation.patient import Patient, brain_mask, simulate_patient
from BSAFusionResearch.simulation.settings import PatientSettings


def row(patient: Patient, modality: str) -> list[float]:
    """Return the errors after the rigid search and in the end with one and three axes, and the two expected ones."""
    brain, errors, expected = brain_mask(patient), [], []
    for three_axes in (False, True):
        settings = Settings(modality, device="cpu", three_axes=three_axes)
        result = register_and_fuse(patient.fixed, patient.moving, settings)
        errors.append(error_mm(result.transform(), patient.truth, brain))
        volume = sitk.Resample(result.expected_error, brain, sitk.Transform(), sitk.sitkLinear)
        inside = sitk.GetArrayViewFromImage(brain) > 0
        expected.append(float(np.nanmean(sitk.GetArrayFromImage(volume)[inside])))
    return [error_mm(result.searched, patient.truth, brain), *errors, *expected]


def main() -> None:
    """Print a line a patient, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path, metavar="HEADS")
    parser.add_argument("--millimeters", type=float, nargs="+", default=[5.0, 7.0, 9.0], metavar="MM")
    parser.add_argument("--reported", action="store_true", help="of heads 13 to 15")
    arguments = parser.parse_args()
    heads = REPORTED_HEADS if arguments.reported else CHOOSING_HEADS
    rows = []
    for number, thickness_mm in enumerate(arguments.millimeters):
        for modality in MODALITIES:
            head = head_files(arguments.heads, heads)[number % len(heads)]
            settings = PatientSettings(
                modality,
                seed=number,
                elastic_mm=8.0,
                rotation_deg=8.0,
                translation_mm=12.0,
                slice_thickness_mm=thickness_mm,
            )
            rows.append(
                [thickness_mm, modality, head.name[:2], *row(simulate_patient(read_head(head), settings), modality)]
            )
            print(*rows[-1], flush=True)
    cells = [[part if isinstance(part, str) else f"{part:.2f}" for part in line] for line in rows]
    titles = ["slices, mm", "modality", "head", "rigid search", "one axis", "three", "expected, one", "three"]
    print(markdown_table(titles, cells))


if __name__ == "__main__":
    main()
