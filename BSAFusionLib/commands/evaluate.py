"""Measures how far off registered volumes still are, on known motions of real volumes."""

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.deformation import displacement_transform
from BSAFusionLib.errors import FusionError
from BSAFusionLib.evaluation.known_motion import KnownMotion, error_mm
from BSAFusionLib.files import read_volume
from BSAFusionLib.intensities import head_mask
from BSAFusionLib.pipeline import register_and_fuse
from BSAFusionLib.settings import Settings

moving_files = {"pet": "pet.nii.gz", "ct": "ct.nii.gz"}
degrees, mm, elastic_mm = 15.0, 20.0, 6.0  # the motions of the table
errors = ("before", "prealigned", "after")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--volumes",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder with mri_t1.nii.gz, pet.nii.gz and ct.nii.gz of one head, in one space",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="known motions a pair (default: %(default)s)")
    parser.add_argument("--weights", metavar="FILE", help="a checkpoint (default: the shipped one for each modality)")
    parser.add_argument("--device", default=Settings.device, help="auto, cpu, cuda, cuda:0, mps (default: auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def run(arguments: argparse.Namespace) -> int:
    """Print the table and write it where asked; FusionError where volumes or weights are missing."""
    if arguments.seeds < 1:
        raise FusionError(f"There must be 1 known motion or more, not {arguments.seeds}.")
    rows = known_motion_rows(arguments.volumes, arguments.seeds, arguments.weights, arguments.device)
    if arguments.json:
        save_json({"volumes": rows}, arguments.json)
    return 0


def known_motion_rows(folder: Path, seeds: int, weights: str | None, device: str) -> list[dict]:
    """One row a case, printed as it is measured: mean error in mm inside the head of the fixed volume.

    The first case of each pair is not moved at all: what the pre-alignment leaves there is how far mutual information
    finds the pair itself to be off.
    """
    fixed = read_volume(folder / "mri_t1.nii.gz")
    head = head_mask(fixed)
    unmoved = KnownMotion(0, 0.0, 0.0, 0.0)
    motions = [unmoved, *(KnownMotion(seed, degrees, mm, elastic_mm) for seed in range(seeds))]
    print(
        f"Mean error inside the head in mm; motions of {degrees:g} degrees and {mm:g} mm, elastic up to {elastic_mm:g}"
    )
    print(f"{'pair':<12}{'motion':<10}" + "".join(f"{name:>12}" for name in errors))
    rows = []
    for modality, file in moving_files.items():
        moving = sitk.Cast(read_volume(folder / file), sitk.sitkFloat32)
        for motion in motions:
            result = register_and_fuse(
                fixed, motion.move(moving, fixed), Settings(modality, device=device, weights=weights)
            )
            truth = motion.transform(fixed)
            found = (sitk.Transform(3, sitk.sitkIdentity), result.prealignment, displacement_transform(result.field))
            row = {
                "pair": f"mri_t1 {modality}",
                "modality": modality,
                "seed": None if motion is unmoved else motion.seed,
                "degrees": motion.degrees,
                "mm": motion.mm,
                "elastic_mm": motion.elastic_mm,
                **dict(zip(errors, (error_mm(transform, truth, head) for transform in found), strict=True)),
            }
            rows.append(row)
            _print(row["pair"], "none" if motion is unmoved else f"seed {motion.seed}", row)
        moved = [row for row in rows if row["modality"] == modality and row["seed"] is not None]
        _print(f"mri_t1 {modality}", "mean", {name: float(np.mean([row[name] for row in moved])) for name in errors})
    return rows


def _print(pair: str, motion: str, row: dict) -> None:
    print(f"{pair:<12}{motion:<10}" + "".join(f"{row[name]:>12.2f}" for name in errors), flush=True)
