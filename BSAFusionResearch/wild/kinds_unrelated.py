"""Kind 12: volumes that do not belong together."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionResearch.wild import plain_files
from BSAFusionResearch.wild.cases import SAID, UNRELATED, Pair, WildCase
from BSAFusionResearch.wild.kinds_read import hounsfield
from BSAFusionResearch.wild.sources import Sources, carried, noise_like, rigid, with_hot_ball

PHANTOM_RADII_MM = np.array([70.0, 90.0, 75.0])
HEADLESS = 0.45  # of a long field of view, from below, that holds no head


def unrelated_cases() -> list[WildCase]:
    """Return the cases of the kind 12."""
    cases = [
        WildCase("12", "given-noise", UNRELATED, _given_noise),
        WildCase("12", "given-roles-exchanged", SAID, _exchanged, ("hounsfield", "exchange")),
        WildCase("12", "given-same-file", SAID, _same_file, ("same",)),
    ]
    for seed, sigma_mm in ((1, 0.0), (2, 4.0), (3, 12.0)):
        make = partial(_noise, seed=seed, sigma_mm=sigma_mm)
        cases.append(WildCase("12", f"noise-{sigma_mm:.0f}mm", UNRELATED, make))
    cases += [WildCase("12", "skull-phantom", UNRELATED, _skull_phantom), WildCase("12", "animal", UNRELATED, _animal)]
    torsos: dict[str, dict[str, Any]] = {
        "chest-ct": {"file": "03-ct-head-neck-chest/cta_aligned.nii.gz", "modality": "ct", "up_mm": 200.0},
        "body-pet": {"file": "04-pet-whole-body/fdg_aligned.nii.gz", "modality": "pet", "up_mm": 550.0},
        "chest-ct-below": {"file": "03-ct-head-neck-chest/cta_aligned.nii.gz", "modality": "ct", "up_mm": 80.0},
    }
    for name, chosen in torsos.items():
        cases.append(WildCase("12", name, UNRELATED, partial(_torso, **chosen)))
    for ml in (150.0, 900.0):
        cases.append(WildCase("12", f"phantom-{ml:.0f}ml", UNRELATED, partial(_phantom, ml=ml)))
    return cases


def _given_noise(sources: Sources, folder: Path) -> Pair:
    path = sources.wild / "12-nothing-in-common" / "noise.nii.gz"
    return Pair(sources.template_path("mri_t1"), path, "pet")


def _exchanged(sources: Sources, folder: Path) -> Pair:
    path = sources.wild / "05-nothing-in-the-window" / "ct_hu.nii.gz"
    return Pair(path, sources.template_path("mri_t1"), "ct")


def _same_file(sources: Sources, folder: Path) -> Pair:
    return Pair(sources.template_path("mri_t1"), sources.template_path("mri_t1"), "pet")


def _noise(sources: Sources, folder: Path, seed: int, sigma_mm: float) -> Pair:
    image = carried(noise_like(sources.template("pet"), seed, sigma_mm), rigid((5.0, 0.0, 8.0), (9.0, -14.0, 6.0)))
    return _with_mri(sources, image, folder, "pet")


def _torso(sources: Sources, folder: Path, file: str, modality: str, up_mm: float) -> Pair:
    """Take the part of a body that holds no head, and lay it onto the head's place."""
    body = sitk.ReadImage(str(sources.wild / file))
    lower = body[:, :, : int(HEADLESS * body.GetSize()[2])]
    return _with_mri(sources, carried(lower, rigid((0.0, 0.0, 0.0), (0.0, 0.0, up_mm))), folder, modality)


def _phantom(sources: Sources, folder: Path, ml: float) -> Pair:
    empty = noise_like(sources.template("pet"), seed=4)
    return _with_mri(sources, with_hot_ball(empty, (8.0, -5.0, 25.0), ml, times=20.0), folder, "pet")


def _skull_phantom(sources: Sources, folder: Path) -> Pair:
    """Make a CT of an ellipsoid of water in a shell of bone, as large as a head."""
    template = sources.template("ct")
    radius = np.linalg.norm((voxel_centers(template) - (0.0, -15.0, 15.0)) / PHANTOM_RADII_MM, axis=-1)
    noise = np.random.default_rng(1).normal(0, 10, radius.shape)
    hounsfield_units = np.select([radius < 0.9, radius < 1.0, radius < 1.08], [30.0, 1000.0, 40.0], -1000.0)
    phantom = sitk.GetImageFromArray((hounsfield_units + noise).astype(np.float32))
    phantom.CopyInformation(template)
    return _with_mri(sources, phantom, folder, "ct")


def _animal(sources: Sources, folder: Path) -> Pair:
    """Shrink the template CT to less than half, the size of a monkey's head."""
    small = hounsfield(sources)
    small.SetSpacing([0.45 * spacing for spacing in small.GetSpacing()])
    small.SetOrigin((-40.0, 40.0, -10.0))
    return _with_mri(sources, small, folder, "ct")


def _with_mri(sources: Sources, image: sitk.Image, folder: Path, modality: str) -> Pair:
    return Pair(sources.template_path("mri_t1"), plain_files.write_nifti(image, folder / "moving.nii"), modality)
