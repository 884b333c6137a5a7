"""Kinds 05, 08 to 10 and 13: files whose header or values mean something else than at first sight."""

import bz2
import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionResearch.wild import plain_files
from BSAFusionResearch.wild.cases import FOUND, SAID, Pair, WildCase
from BSAFusionResearch.wild.sources import Sources, carried, rigid

WINDOW_WORDS = (r"window", r"-?\d")
ORIENTATION_WORDS = ("qform",)


def read_cases() -> list[WildCase]:
    """Return the cases of the kinds 05, 08 to 10 and 13."""
    return [*_windows(), *_tilts(), *_packings(), *_conflicts(), *_words()]


def _windows() -> list[WildCase]:
    given = "05-nothing-in-the-window"
    cases = [
        _given_case("05", "given-twice", f"{given}/ct_intercept_twice.nii.gz", "ct", SAID, WINDOW_WORDS),
        _given_case("05", "given-window", f"{given}/ct_hu.nii.gz", "ct", SAID, WINDOW_WORDS, ct_window=(1064.0, 80.0)),
    ]
    values: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "1024-added": lambda hounsfield: (hounsfield + 1024).astype(np.int16),
        "0-to-1": lambda hounsfield: ((hounsfield + 1024) / 4096).astype(np.float32),
        "wrapped": lambda hounsfield: np.where(hounsfield < 0, hounsfield + 65536, hounsfield).astype(np.uint16),
        "below-minus-900": lambda hounsfield: np.minimum(hounsfield, -900).astype(np.int16),
    }
    for name, change in values.items():
        cases.append(WildCase("05", f"template-{name}", SAID, partial(_changed_ct, change=change), WINDOW_WORDS))
    cases += [
        WildCase(
            "05", "template-air-set-to-0", SAID, partial(_changed_ct, change=lambda hu: np.maximum(hu, 0)), ("air",)
        )
    ]
    windows = {
        "metal": (1.0, (3000.0, 100.0)),
        "other-units": (2e-5, (40.0, 80.0)),
        "one-gray": (1.0, (40.0, 1e6)),
    }
    for name, (factor, window) in windows.items():
        make = partial(
            _changed_ct,
            change=lambda hu, factor=factor: (hu * factor).astype(np.float32),
            choices={"ct_window": window},
        )
        cases.append(WildCase("05", f"template-window-of-{name}", SAID, make, WINDOW_WORDS))
    return cases


def _tilts() -> list[WildCase]:
    given = "08-gantry-tilt-nifti"
    cases = [
        _given_case("08", f"given-{name.replace('_', '-')}", f"{given}/ct_tilt_{name}.nii.gz", "ct", FOUND, true=True)
        for name in ("sform_only", "sform_and_qform")
    ]
    for degrees, with_qform in ((15.0, True), (-20.0, False), (25.0, False)):
        make = partial(_sheared_ct, degrees=degrees, with_qform=with_qform)
        cases.append(WildCase("08", f"template-{degrees:.0f}deg", FOUND, make, ("shear|tilt|straight",)))
    for head, degrees in (("12", 18.0), ("13", -12.0)):
        make = partial(_sheared_patient, head=head, degrees=degrees)
        cases.append(WildCase("08", f"head{head}-{degrees:.0f}deg", FOUND, make, ("shear|tilt|straight",)))
    return cases


def _packings() -> list[WildCase]:
    given = "09-name-and-packing"
    cases = [
        _given_case("09", name.replace("_", "-"), f"{given}/{name}{ending}", "pet", FOUND, true=True)
        for name, ending in (("plain_named", ".nii.gz"), ("packed_named", ".nii"))
    ]
    for role in ("fixed", "moving"):
        for name in ("plain.nii.gz", "packed.nii", "two.nii", "two-plain.nii.gz"):
            cases.append(WildCase("09", f"{role}-{name}", FOUND, partial(_packed, role=role, name=name)))
    for held, name in (("nrrd", "scan.nii.gz"), ("mha", "scan.nrrd"), ("mha", "scan.mhd"), ("nii", "scan.img")):
        make = partial(_named_otherwise, held=held, name=name)
        cases.append(WildCase("09", f"{held}-named-{name}", FOUND, make))
    for compress, held in (("gzip", "nrrd"), ("bz2", "nrrd"), ("bz2", "nii")):
        make = partial(_named_otherwise, held=held, name=f"scan.{held}", compress=compress)
        cases.append(WildCase("09", f"{compress}-named-{held}", FOUND, make))
    return [*cases, WildCase("09", "only-the-img-packed", FOUND, _half_packed)]


def _conflicts() -> list[WildCase]:
    cases = [
        _given_case(
            "10", "given", "10-qform-sform-conflict/pet_conflict.nii.gz", "pet", FOUND, ORIENTATION_WORDS, true=True
        )
    ]
    conflicts = {
        "shifted-40mm": rigid((0.0, 0.0, 0.0), (0.0, 40.0, 0.0)),
        "turned": rigid((0.0, 0.0, 180.0)),
        "oblique": rigid((20.0, 0.0, -30.0), (10.0, 0.0, 0.0)),
        "mirrored-far": rigid((180.0, 0.0, 0.0), (0.0, 0.0, 500.0)),
    }
    for name, motion in conflicts.items():
        make = partial(_conflicting, motion=motion, codes=(1, 2), true_form="sform")
        cases.append(WildCase("10", name, FOUND, make, ORIENTATION_WORDS))
    make = partial(_conflicting, motion=conflicts["shifted-40mm"], codes=(1, 0), true_form="qform")
    cases.append(WildCase("10", "sform-code-0", FOUND, make))
    return [*cases, WildCase("10", "sform-of-two-decimals", FOUND, _two_decimals)]


def _words() -> list[WildCase]:
    cases = [_given_case("13", "given", "13-window-in-words/ct_0_to_1.nii.gz", "ct", SAID, (r"0\.\d\d",))]
    for name, factor in (("attenuation-per-mm", 2e-6), ("percent", 0.025), ("millionths", 1e-9)):
        make = partial(_changed_ct, change=lambda hu, factor=factor: ((hu + 1024) * factor).astype(np.float32))
        cases.append(WildCase("13", name, SAID, make, (r"\d\.?\d*e-\d|0\.0*[1-9]\d|[1-9]\.?\d",)))
    for name, factor in (("thousands", 40.0), ("millions", 2e4)):
        make = partial(_changed_ct, change=lambda hu, factor=factor: ((hu + 1024) * factor).astype(np.float32))
        cases.append(WildCase("13", name, SAID, make, (r"[1-9]\d",)))
    return cases


def _given_case(
    kind: str,
    name: str,
    file: str,
    modality: str,
    expected: str,
    words: tuple[str, ...] = (),
    true: bool = False,
    **choices: Any,
) -> WildCase:
    def make(sources: Sources, folder: Path) -> Pair:
        truth = sources.template_truth(modality) if true else None
        return Pair(sources.template_path("mri_t1"), sources.wild / file, modality, choices, truth)

    return WildCase(kind, name, expected, make, words)


def hounsfield(sources: Sources) -> sitk.Image:
    """Return the template CT of the given case, in Hounsfield units, as float32."""
    path = sources.wild / "05-nothing-in-the-window" / "ct_hu.nii.gz"
    return sitk.ReadImage(str(path), sitk.sitkFloat32)


def _changed_ct(
    sources: Sources,
    folder: Path,
    change: Callable[[np.ndarray], np.ndarray],
    choices: dict[str, Any] | None = None,
) -> Pair:
    image = hounsfield(sources)
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    changed.CopyInformation(image)
    moving = plain_files.write_nifti(changed, folder / "moving.nii")
    return Pair(sources.template_path("mri_t1"), moving, "ct", choices or {})


def _sheared_ct(sources: Sources, folder: Path, degrees: float, with_qform: bool) -> Pair:
    image, shear = hounsfield(sources), float(np.tan(np.radians(degrees)))
    path = plain_files.write_nifti(
        plain_files.sheared(image, shear),
        folder / "moving.nii",
        qform_code=int(with_qform),
        sform_code=1,
        sform=plain_files.sform_of(image, shear),
    )
    return Pair(sources.template_path("mri_t1"), path, "ct", truth=sources.template_truth("ct"))


def _sheared_patient(sources: Sources, folder: Path, head: str, degrees: float) -> Pair:
    patient = sources.patient(head, "ct", gantry_deg=degrees)
    fixed = plain_files.write_nifti(patient.fixed, folder / "fixed.nii")
    upright = sitk.Image(patient.moving)
    upright.SetDirection(np.eye(3).ravel().tolist())
    path = plain_files.write_nifti(
        upright, folder / "moving.nii", qform_code=0, sform_code=1, sform=plain_files.sform_of(patient.moving)
    )
    return Pair(fixed, path, "ct", truth=sources.patient_truth(patient))


def _packed(sources: Sources, folder: Path, role: str, name: str) -> Pair:
    """Write one of the templates under a name that says another packing, or as NIfTI-2."""
    image = sources.template("mri_t1" if role == "fixed" else "pet")
    if name.startswith("two"):
        plain = plain_files.write_nifti_2(image, folder / "plain.nii")
    else:
        plain = plain_files.write_nifti(image, folder / "plain.nii")
    path = plain_files.pack(plain, folder / name) if name == "packed.nii" else plain.rename(folder / name)
    files = {"fixed": sources.template_path("mri_t1"), "moving": sources.template_path("pet"), role: path}
    return Pair(**files, modality="pet", truth=sources.template_truth("pet"))


def _named_otherwise(sources: Sources, folder: Path, held: str, name: str, compress: str = "") -> Pair:
    """Write the PET in one format under the name of another, or compressed as a whole under a name without it."""
    plain = folder / f"plain.{held}"
    sitk.WriteImage(sources.template("pet"), str(plain))
    content = plain.read_bytes()
    (folder / name).write_bytes(
        {"gzip": gzip.compress, "bz2": bz2.compress}[compress](content) if compress else content
    )
    return Pair(sources.template_path("mri_t1"), folder / name, "pet", truth=sources.template_truth("pet"))


def _half_packed(sources: Sources, folder: Path) -> Pair:
    """Write the PET in two files, and compress the voxels alone under their own name."""
    header = plain_files.write_nifti(sources.template("pet"), folder / "scan.hdr")
    voxels = folder / "scan.img"
    voxels.write_bytes(gzip.compress(voxels.read_bytes()))
    return Pair(sources.template_path("mri_t1"), header, "pet", truth=sources.template_truth("pet"))


def _conflicting(
    sources: Sources, folder: Path, motion: sitk.Euler3DTransform, codes: tuple[int, int], true_form: str
) -> Pair:
    """Write a PET whose qform and sform differ by a motion; one of them is right."""
    image = sources.template("pet")
    wrong = carried(image, motion)
    in_qform, in_sform = (wrong, image) if true_form == "sform" else (image, wrong)
    path = plain_files.write_nifti(
        in_qform,
        folder / "moving.nii",
        qform_code=codes[0],
        sform_code=codes[1],
        sform=plain_files.sform_of(in_sform),
    )
    return Pair(sources.template_path("mri_t1"), path, "pet", truth=sources.template_truth("pet"))


def _two_decimals(sources: Sources, folder: Path) -> Pair:
    motion = rigid((7.0, -4.0, 11.0))
    image = carried(sources.template("pet"), motion)
    rounded = np.round(plain_files.sform_of(image), 2).tolist()
    path = plain_files.write_nifti(image, folder / "moving.nii", qform_code=0, sform_code=1, sform=rounded)
    return Pair(sources.template_path("mri_t1"), path, "pet", truth=sources.template_truth("pet", motion))
