"""The whole pipeline on real volumes moved by known motions."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.geometry.fields import displacement_transform, error_mm
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation.known_motion import KnownMotion

moving_files = {"pet": "pet.nii.gz", "ct": "ct.nii.gz"}
degrees, mm, elastic_mm = 15.0, 20.0, 6.0  # the motions of the table
errors = ("before", "prealigned", "after")
motion_errors = ("motion_prealigned", "motion_after")


def known_motion_rows(
    folder: Path, seeds: int, weights: dict[str, Path], device: str, precision: str = Settings.precision
) -> Iterator[dict]:
    """One row a case, as it is measured: mean error in mm inside the head of the fixed volume.

    The first case of each pair is not moved at all: what is found there is how far the pair itself is taken to be off.
    The `errors` count that in, being measured against the motion alone. The `motion_errors` do not: they say how far
    the motion that was found differs from the true one, a point's truth being where that motion carries what was found
    for it unmoved, by the same means.

    Args:
        folder: with mri_t1.nii.gz, pet.nii.gz and ct.nii.gz of one head, in one space.
        seeds: known motions a pair.
        weights: a checkpoint for each modality.

    Raises:
        FusionError: volumes or weights are missing.
    """
    fixed = read_volume(folder / "mri_t1.nii.gz")
    head = head_mask(fixed)
    unmoved = KnownMotion(0, 0.0, 0.0, 0.0)
    motions = [unmoved, *(KnownMotion(seed, degrees, mm, elastic_mm) for seed in range(seeds))]
    for modality, file in moving_files.items():
        moving = sitk.Cast(read_volume(folder / file), sitk.sitkFloat32)
        own: list[sitk.Transform] = []  # what is found unmoved: by the pre-alignment, and after all
        for motion in motions:
            settings = Settings(modality, device=device, precision=precision, weights=weights[modality])
            result = register_and_fuse(fixed, motion.move(moving, fixed), settings)
            truth = motion.transform(fixed)
            found = [sitk.Transform(3, sitk.sitkIdentity), result.prealignment, displacement_transform(result.field)]
            own = own or found[1:]
            moved = [sitk.CompositeTransform([truth, each]) for each in own]  # the last one acts first
            yield {
                "pair": f"mri_t1 {modality}",
                "modality": modality,
                "seed": None if motion is unmoved else motion.seed,
                "degrees": motion.degrees,
                "mm": motion.mm,
                "elastic_mm": motion.elastic_mm,
                **dict(zip(errors, (error_mm(transform, truth, head) for transform in found), strict=True)),
                **{
                    name: error_mm(transform, expected, head)
                    for name, transform, expected in zip(motion_errors, found[1:], moved, strict=True)
                },
            }


def mean_errors(rows: list[dict], modality: str) -> dict[str, float]:
    """The means over the moved cases of one modality."""
    moved = [row for row in rows if row["modality"] == modality and row["seed"] is not None]
    return {name: float(np.mean([row[name] for row in moved])) for name in errors + motion_errors}
