"""Kinds 01 to 04, 06 and 07: the head lies, or looks, otherwise than a registration expects."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from BSAFusionResearch.simulation.patient import Patient
from BSAFusionResearch.wild import plain_files
from BSAFusionResearch.wild.cases import FOUND, Pair, WildCase
from BSAFusionResearch.wild.sources import (
    Sources,
    carried,
    rigid,
    with_hot_ball,
    with_ramp,
    without_geometry,
)
from BSAFusionResearch.wild.surroundings import with_bladder_and_arms, with_table_and_arms

GIVEN = {
    "01": "01-nifti-codes-0",
    "02": "02-header-turned",
    "03": "03-ct-head-neck-chest",
    "04": "04-pet-whole-body",
    "06": "06-mri-bright-at-the-back",
    "07": "07-hot-glands",
}
NO_CODES = {"qform_code": 0, "sform_code": 0}

MOVED = rigid((8.0, -5.0, 10.0), (12.0, -8.0, 10.0))
"""The motion of the given cases' truth.tfm."""

# Where the three index axes of a file lead, as scanners and converters store them; all are right-handed, since whoever
# reads a file without an orientation can take it for nothing else.
STORED = {
    "right-front-top": "RAS",
    "upside-down": "LAI",
    "feet-first": "RPI",
    "coronal": "LIP",
    "sagittal": "PIR",
}


def placed_cases() -> list[WildCase]:
    """Return the cases of the kinds 01 to 04, 06 and 07."""
    return [*_unoriented(), *_turned(), *_long_views(), *_bright_sides(), *_hot_spots()]


def _unoriented() -> list[WildCase]:
    cases = [WildCase("01", "given", FOUND, partial(_given, kind="01", name="pet_codes0", stored="right-front-top"))]
    templates = (
        ("pet", "nifti", "sagittal"),
        ("ct", "nifti", "feet-first"),
        ("pet", "analyze", "coronal"),
        ("ct", "nrrd", "upside-down"),
    )
    for modality, kind, stored in templates:
        make = partial(_unoriented_template, modality=modality, kind=kind, stored=stored)
        cases.append(WildCase("01", f"template-{modality}-{kind}-{stored}", FOUND, make))
    patients = (("11", "spect", "right-front-top"), ("13", "pet", "sagittal"), ("14", "ct", "coronal"))
    for head, modality, stored in patients:
        make = partial(_unoriented_patient, head=head, modality=modality, stored=stored)
        cases.append(WildCase("01", f"head{head}-{modality}-{stored}", FOUND, make))
    return cases


def _turned() -> list[WildCase]:
    half_turn = rigid((0.0, 0.0, 180.0))
    cases = [
        WildCase("02", f"given-{name}", FOUND, partial(_given, kind="02", name=f"{name}_turned180", motion=half_turn))
        for name in ("pet", "ct")
    ]
    turns = {
        "pet-x180": (180.0, 0.0, 0.0),
        "ct-y180": (0.0, 180.0, 0.0),
        "ct-z90": (0.0, 0.0, 90.0),
        "pet-oblique": (60.0, -70.0, 130.0),
    }
    for name, degrees in turns.items():
        make = partial(_turned_template, modality=name[:3].strip("-"), degrees=degrees)
        cases.append(WildCase("02", f"template-{name}", FOUND, make))
    patients = (("12", "ct", 150.0), ("13", "pet", 90.0), ("14", "ct", 180.0), ("15", "spect", 120.0))
    for head, modality, degrees in patients:
        settings = {"rotation_deg": degrees, "translation_mm": 30.0}
        cases.append(_simulated("02", f"{degrees:.0f}deg", head, modality, **settings))
    return cases


def _long_views() -> list[WildCase]:
    cases = []
    for kind, name, shift in (("03", "cta_aligned", -88.0), ("04", "fdg_aligned", 162.0)):
        cases.append(WildCase(kind, "given", FOUND, partial(_given, kind=kind, name=name)))
        make = partial(_given, kind=kind, name=name, motion=rigid((0.0, 0.0, 0.0), (0.0, 0.0, shift)), carry=True)
        cases.append(WildCase(kind, f"given-{abs(shift):.0f}mm", FOUND, make))
    still = {"rotation_deg": 0.0, "translation_mm": 0.0}
    chests = (
        ("11", "aligned", {**still, "torso_mm": 300.0}),
        ("12", "20deg", {"rotation_deg": 20.0, "translation_mm": 30.0, "torso_mm": 400.0}),
        ("13", "170deg", {"rotation_deg": 170.0, "translation_mm": 60.0, "torso_mm": 250.0}),
        ("14", "t2", {"contrast": "t2", "torso_mm": 350.0}),
        ("15", "90mm", {"rotation_deg": 10.0, "translation_mm": 90.0, "torso_mm": 300.0}),
    )
    bodies = (
        ("11", "aligned", {**still, "torso_mm": 900.0}),
        ("12", "15deg", {"rotation_deg": 15.0, "translation_mm": 40.0, "torso_mm": 700.0}),
        ("13", "160mm", {"translation_mm": 160.0, "torso_mm": 800.0}),
        ("14", "flair", {"contrast": "flair", "torso_mm": 700.0}),
        ("15", "amyloid", {"tracer": "amyloid", "torso_mm": 600.0}),
    )
    cases += [_simulated("03", name, head, "ct", **settings) for head, name, settings in chests]
    cases += [_simulated("04", name, head, "pet", **settings) for head, name, settings in bodies]
    for kind, modality, change, views in (
        ("03", "ct", with_table_and_arms, (("11", 650.0, 400.0), ("12", 500.0, 120.0), ("15", 350.0, 50.0))),
        ("04", "pet", with_bladder_and_arms, (("11", 900.0, 300.0), ("12", 800.0, 60.0), ("14", 700.0, 500.0))),
    ):
        for head, torso_mm, shift_mm in views:
            cases.append(
                _simulated(
                    kind,
                    f"arms-{shift_mm:.0f}mm",
                    head,
                    modality,
                    change,
                    rotation_deg=12.0,
                    translation_mm=shift_mm,
                    torso_mm=torso_mm,
                )
            )
    return cases


def _bright_sides() -> list[WildCase]:
    cases = [WildCase("06", "given", FOUND, _given_bright)]
    ramps = (
        ("pet", "back", 4.0, (0.0, 1.0, 0.0)),
        ("ct", "left", 4.0, (1.0, 0.0, 0.0)),
        ("pet", "top", 8.0, (0.0, 0.0, 1.0)),
        ("ct", "front", 8.0, (0.0, -1.0, 0.2)),
    )
    for modality, side, ratio, toward in ramps:
        make = partial(_bright_template, modality=modality, ratio=ratio, toward=toward)
        cases.append(WildCase("06", f"template-{modality}-{side}-{ratio:.0f}", FOUND, make))
    for modality in ("pet", "ct"):
        make = partial(_bright_template, modality=modality, ratio=8.0, toward=(0.3, 0.0, -1.0), noise=0.03)
        cases.append(WildCase("06", f"template-{modality}-below-8-noise", FOUND, make))
    patients = (("11", "pet", 4.0), ("12", "ct", 8.0), ("13", "spect", 4.0), ("14", "ct", 4.0), ("15", "pet", 8.0))
    for head, modality, ratio in patients:
        cases.append(_simulated("06", f"coil{ratio:.0f}", head, modality, coil=ratio, rotation_deg=12.0))
    return cases


def _hot_spots() -> list[WildCase]:
    cases = [WildCase("07", "given", FOUND, partial(_given, kind="07", name="pet_hot_region", motion=MOVED))]
    spots = {
        "jaw": ((20.0, -50.0, -50.0), 36.0),
        "temple": ((-62.0, -40.0, 0.0), 36.0),
        "crown": ((10.0, 20.0, 85.0), 36.0),
        "tumor-in-the-brain": ((25.0, -10.0, 40.0), 15.0),
        "large-tumor": ((-30.0, 20.0, 35.0), 60.0),
        "eye": ((32.0, -75.0, -5.0), 7.0),
    }
    for place, (center, ml) in spots.items():
        cases.append(WildCase("07", f"template-{place}", FOUND, partial(_hot_template, center=center, ml=ml)))
    patients = (("11", "pet", {}), ("13", "pet", {}), ("14", "spect", {}), ("15", "pet", {"tracer": "amyloid"}))
    for head, modality, settings in patients:
        cases.append(_simulated("07", "glands", head, modality, hot=30.0, **settings))
    return cases


def _simulated(
    kind: str,
    name: str,
    head: str,
    modality: str,
    change: Callable[[sitk.Image], sitk.Image] | None = None,
    **settings: Any,
) -> WildCase:
    make: Callable[[Sources, Path], Pair] = partial(
        _patient, head=head, modality=modality, settings=settings, change=change
    )
    return WildCase(kind, f"head{head}-{modality}-{name}", FOUND, make)


def _given(
    sources: Sources,
    folder: Path,
    kind: str,
    name: str,
    stored: str | None = None,
    motion: sitk.Euler3DTransform | None = None,
    carry: bool = False,
) -> Pair:
    """Take a given file, where asked with its header carried by the motion."""
    path = sources.wild / GIVEN[kind] / f"{name}.nii.gz"
    modality = "ct" if name.startswith("ct") else "pet"
    placed = None
    if stored is not None:
        template = sources.template(modality)
        grid = sitk.Image(61, 73, 61, sitk.sitkUInt8)
        grid.SetSpacing((3.0, 3.0, 3.0))
        grid.SetOrigin(template.GetOrigin())
        grid.SetDirection(template.GetDirection())
        placed = sitk.DICOMOrient(grid, STORED[stored])
    if carry and motion is not None:
        sitk.WriteImage(carried(sitk.ReadImage(str(path)), motion), str(folder / "moving.nii"))
        path = folder / "moving.nii"
    truth = sources.template_truth(modality, motion, placed)
    return Pair(sources.template_path("mri_t1"), path, modality, truth=truth)


def _given_bright(sources: Sources, folder: Path) -> Pair:
    given = sources.wild / GIVEN["06"]
    truth = sources.template_truth("pet", MOVED)
    return Pair(given / "mri_bias3.nii.gz", given / "pet_moved.nii.gz", "pet", truth=truth)


def _unoriented_template(sources: Sources, folder: Path, modality: str, kind: str, stored: str) -> Pair:
    placed = sitk.DICOMOrient(sources.template(modality), STORED[stored])
    path = _write_without_geometry(placed, folder, kind)
    return Pair(sources.template_path("mri_t1"), path, modality, truth=sources.template_truth(modality, placed=placed))


def _unoriented_patient(sources: Sources, folder: Path, head: str, modality: str, stored: str) -> Pair:
    patient = sources.patient(head, modality)
    placed = sitk.DICOMOrient(patient.moving, STORED[stored])
    path = _write_without_geometry(placed, folder, "nifti")
    truth = sources.patient_truth(patient, placed=placed)
    return Pair(_write_fixed(patient, folder), path, modality, truth=truth)


def _write_without_geometry(image: sitk.Image, folder: Path, kind: str) -> Path:
    bare = without_geometry(image)
    if kind == "nrrd":
        return plain_files.write_nrrd_without_space(bare, folder / "moving.nrrd")
    if kind == "analyze":
        return plain_files.write_nifti(bare, folder / "moving.hdr", **NO_CODES, magic=b"\0\0\0\0")
    return plain_files.write_nifti(bare, folder / "moving.nii", **NO_CODES)


def _turned_template(sources: Sources, folder: Path, modality: str, degrees: tuple[float, float, float]) -> Pair:
    motion = rigid(degrees, (5.0, -9.0, 14.0))
    path = plain_files.write_nifti(carried(sources.template(modality), motion), folder / "moving.nii")
    return Pair(sources.template_path("mri_t1"), path, modality, truth=sources.template_truth(modality, motion))


def _bright_template(
    sources: Sources,
    folder: Path,
    modality: str,
    ratio: float,
    toward: tuple[float, float, float],
    noise: float = 0.0,
) -> Pair:
    bright = with_ramp(sources.template("mri_t1"), ratio, toward)
    if noise:
        bright = abs(sitk.AdditiveGaussianNoise(bright, noise, 0.0, 1))
    fixed = plain_files.write_nifti(bright, folder / "fixed.nii")
    moving = plain_files.write_nifti(carried(sources.template(modality), MOVED), folder / "moving.nii")
    return Pair(fixed, moving, modality, truth=sources.template_truth(modality, MOVED))


def _hot_template(sources: Sources, folder: Path, center: tuple[float, float, float], ml: float) -> Pair:
    hot = with_hot_ball(sources.template("pet"), center, ml, times=30.0)
    path = plain_files.write_nifti(carried(hot, MOVED), folder / "moving.nii")
    return Pair(sources.template_path("mri_t1"), path, "pet", truth=sources.template_truth("pet", MOVED))


def _patient(
    sources: Sources,
    folder: Path,
    head: str,
    modality: str,
    settings: dict[str, Any],
    change: Callable[[sitk.Image], sitk.Image] | None = None,
) -> Pair:
    patient = sources.patient(head, modality, **settings)
    scan = change(patient.moving) if change else patient.moving
    moving = plain_files.write_nifti(scan, folder / "moving.nii")
    return Pair(_write_fixed(patient, folder), moving, modality, truth=sources.patient_truth(patient))


def _write_fixed(patient: Patient, folder: Path) -> Path:
    return plain_files.write_nifti(patient.fixed, folder / "fixed.nii")
