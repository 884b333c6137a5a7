"""Measure the whole pipeline on real volumes moved by known motions."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.geometry.fields import displacement_transform, error_mm
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation.known_motion import KnownMotion

DEGREES, MM, ELASTIC_MM = 15.0, 20.0, 6.0
"""Sizes of the known motions."""

ERRORS = ("before", "prealigned", "after")
MOTION_ERRORS = ("motion_prealigned", "motion_after")


def moving_files(folder: Path) -> dict[str, Path]:
    """Return the moving volumes in a folder, by modality.

    Raises:
        FusionError: The folder has none.
    """
    files = {name: folder / f"{name}.nii.gz" for name in ("pet", "ct", *MODALITIES)}  # in the order of earlier tables
    found = {name: path for name, path in files.items() if path.is_file()}
    if not found:
        names = ", ".join(path.name for path in files.values())
        raise FusionError(f"There is no moving volume in {folder}; name a folder with one or more of {names}.")
    return found


def known_motion_rows(
    folder: Path, seeds: int, weights: dict[str, Path], device: str, precision: str = Settings.precision
) -> Iterator[dict]:
    """Yield one row a case as it is measured: mean errors in mm inside the head of the fixed volume.

    The first case of each pair is not moved: its estimate is how far the pair itself is off. The `ERRORS`, measured
    against the motion alone, include that. The `MOTION_ERRORS` do not: there, a point's truth is where the motion
    carries the estimate for the unmoved pair.

    Args:
        folder: Holds mri_t1.nii.gz and moving volumes of one head, in one space, see `moving_files`.
        seeds: Known motions a pair.
        weights: A checkpoint for each modality.
        device: Of `Settings`.
        precision: Of `Settings`.

    Raises:
        FusionError: Volumes or weights are missing.
    """
    fixed = read_volume(folder / "mri_t1.nii.gz")
    head = head_mask(fixed)
    unmoved = KnownMotion(0, 0.0, 0.0, 0.0)
    motions = [unmoved, *(KnownMotion(seed, DEGREES, MM, ELASTIC_MM) for seed in range(seeds))]
    for modality, path in moving_files(folder).items():
        moving = sitk.Cast(read_volume(path), sitk.sitkFloat32)
        own: list[sitk.Transform] = []  # estimates for the unmoved pair: initial and final
        for motion in motions:
            settings = Settings(modality, device=device, precision=precision, weights=weights[modality])
            result = register_and_fuse(fixed, motion.move(moving, fixed), settings)
            truth = motion.transform(fixed)
            found = [sitk.Transform(3, sitk.sitkIdentity), result.searched, displacement_transform(result.field)]
            own = own or found[1:]
            moved = [sitk.CompositeTransform([truth, transform]) for transform in own]  # the last one acts first
            yield {
                "pair": f"mri_t1 {modality}",
                "modality": modality,
                "seed": None if motion is unmoved else motion.seed,
                "degrees": motion.degrees,
                "mm": motion.mm,
                "elastic_mm": motion.elastic_mm,
                **dict(zip(ERRORS, (error_mm(transform, truth, head) for transform in found), strict=True)),
                **{
                    name: error_mm(transform, expected, head)
                    for name, transform, expected in zip(MOTION_ERRORS, found[1:], moved, strict=True)
                },
            }


def mean_errors(rows: list[dict], modality: str) -> dict[str, float]:
    """Return the mean errors over the moved cases of one modality."""
    moved = [row for row in rows if row["modality"] == modality and row["seed"] is not None]
    return {name: float(np.mean([row[name] for row in moved])) for name in ERRORS + MOTION_ERRORS}
