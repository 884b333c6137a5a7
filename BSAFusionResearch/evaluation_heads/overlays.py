"""Measure what can be read from the overlay and from the network's fused volume, of templates and simulated heads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS, head_mask
from BSAFusionLib.report.overlay_volume import overlay_volume
from BSAFusionLib.settings import Settings
from BSAFusionLib.worker.case import compute_case
from BSAFusionResearch.evaluation.known_motion import KnownMotion
from BSAFusionResearch.evaluation.legibility import measure_legibility
from BSAFusionResearch.evaluation.volumes import DEGREES, ELASTIC_MM, MM
from BSAFusionResearch.evaluation_heads.cases import MOTIONS, HeadCase
from BSAFusionResearch.simulation.heads import REPORTED_HEADS

TRACER_MODALITIES = ("pet", "spect")
HEADS = REPORTED_HEADS[:2]
HEAD_ELASTIC_MM = 4.0
SPECT_FWHM_MM = 10.0  # of the blur that makes a PET look like a SPECT


@dataclass(frozen=True)
class OverlayPair:
    """Two volumes to register and to show.

    Attributes:
        name: Of the row.
        modality: Of the moving volume.
        fixed: The MRI.
        moving: The PET or SPECT.
    """

    name: str
    modality: str
    fixed: sitk.Image
    moving: sitk.Image


def overlay_pairs(volumes: Path, heads: Path) -> Iterator[OverlayPair]:
    """Yield the templates, and two simulated heads, each with a PET and a SPECT.

    Args:
        volumes: Holds mri_t1.nii.gz and pet.nii.gz in one space. The PET is moved by a known motion, and blurred for a
            SPECT.
        heads: The label files.

    Raises:
        FusionError: A file is missing.
    """
    fixed, pet = (read_volume(volumes / f"{name}.nii.gz") for name in ("mri_t1", "pet"))
    pet = sitk.Cast(pet, sitk.sitkFloat32)
    motion = KnownMotion(0, DEGREES, MM, ELASTIC_MM)
    yield OverlayPair("templates, PET", "pet", fixed, motion.move(pet, fixed))
    blurred = sitk.SmoothingRecursiveGaussian(pet, SPECT_FWHM_MM / 2.355)
    yield OverlayPair("templates, PET blurred", "spect", fixed, motion.move(blurred, fixed))
    for head in HEADS:
        for modality in TRACER_MODALITIES:
            patient = HeadCase(head, modality, *MOTIONS[1], HEAD_ELASTIC_MM).patient(heads)
            yield OverlayPair(f"head {head}, {modality.upper()}", modality, patient.fixed, patient.moving)


def measure_overlay(pair: OverlayPair, settings: Settings) -> dict:
    """Register a pair and measure both pictures over the head of the MRI.

    Args:
        pair: The volumes.
        settings: Of the registration, with the pair's modality.

    Returns:
        The row: `name`, `modality`, and `Legibility` as a dictionary under `overlay` and `fused`.
    """
    case = compute_case(pair.fixed, pair.moving, settings)
    registered = case.result.registered
    head = sitk.GetArrayFromImage(head_mask(pair.fixed)) > 0
    uptake, mri = (sitk.GetArrayFromImage(image)[head].astype(float) for image in (registered, pair.fixed))
    pictures = {
        "overlay": overlay_volume(pair.fixed, registered, case.pictures.overlay),
        "fused": case.result.fused,
    }
    measured = {
        name: measure_legibility(_luminance(picture)[head], uptake, mri)._asdict() for name, picture in pictures.items()
    }
    return {"name": pair.name, "modality": pair.modality, **measured}


def _luminance(picture: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(picture).astype(np.float32) @ LUMINANCE_WEIGHTS
