"""Kind 11: DICOM series out of the ordinary; of kind 02, those whose orientation is wrong."""

import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread, uid

from BSAFusionResearch.wild import dicom
from BSAFusionResearch.wild.cases import FOUND, Pair, Truth, WildCase
from BSAFusionResearch.wild.kinds_read import hounsfield
from BSAFusionResearch.wild.sources import Sources, carried, rigid

PREAMBLE_BYTES = 132
MOTION = rigid((6.0, 4.0, -8.0), (7.0, -12.0, 9.0))

Writer = Callable[[sitk.Image, Path], Path]
"""Writes a CT as a series into a folder, and returns what is given to the program."""


def dicom_cases() -> list[WildCase]:
    """Return the cases of the kind 11, and those of the kind 02 that are DICOM."""
    words = {"ct_two_spacings": ("distance|spacing",), "ct_exported_twice": (), "ct_monochrome1": ()}
    cases = [
        WildCase("11", f"given-{name.removeprefix('ct_').replace('_', '-')}", FOUND, partial(_given, name=name), said)
        for name, said in words.items()
    ]
    writers: dict[str, tuple[Writer, tuple[str, ...]]] = {
        "plain": (_plain, ()),
        "positions-of-one-decimal": (_rounded, ()),
        "monochrome1": (_inverted, ()),
        "positions-that-jitter": (_jittering, ()),
        "exported-twice": (_twice, ()),
        "with-localizer": (_with_localizer, ("left out",)),
        "without-preamble": (_without_preamble, ()),
        "two-distances": (_two_distances, ("distance|spacing",)),
        "one-file-of-it": (_one_file, ()),
        "tilted-gantry": (_tilted, ("shear|tilt|straight",)),
    }
    cases += [
        WildCase("11", name, FOUND, partial(_series, write=write), said) for name, (write, said) in writers.items()
    ]
    for name, degrees in (("feet-first", (0.0, 180.0, 0.0)), ("prone", (0.0, 0.0, 180.0))):
        make = partial(_series, write=_plain, motion=rigid(degrees, (20.0, -30.0, 60.0)))
        cases.append(WildCase("02", f"dicom-ct-{name}", FOUND, make))
    return [*cases, WildCase("11", "without-places", FOUND, _without_places, ("does not say how the head lies",))]


def _given(sources: Sources, folder: Path, name: str) -> Pair:
    for archive in ("mr", name):
        with zipfile.ZipFile(sources.wild / "11-dicom" / f"{archive}.zip") as packed:
            packed.extractall(folder)
    return Pair(folder / "mr", folder / name, "ct", truth=sources.template_truth("ct"))


def _series(sources: Sources, folder: Path, write: Writer, motion: sitk.Euler3DTransform = MOTION) -> Pair:
    fixed = dicom.write_series(sources.template("mri_t1") * 1000, folder / "mr", "MR")
    moving = write(carried(hounsfield(sources), motion), folder / "ct")
    truth: Truth = sources.template_truth("ct", motion)
    return Pair(fixed, moving, "ct", truth=truth)


def _without_places(sources: Sources, folder: Path) -> Pair:
    """Write an upright CT whose images have numbers, but neither orientation nor position."""
    fixed = dicom.write_series(sources.template("mri_t1") * 1000, folder / "mr", "MR")
    placed = sitk.DICOMOrient(hounsfield(sources), "LPS")
    moving = dicom.write_series(placed, folder / "ct", "CT", dicom.without_place)
    return Pair(fixed, moving, "ct", truth=sources.template_truth("ct", placed=placed))


def _plain(image: sitk.Image, folder: Path) -> Path:
    return dicom.write_series(image, folder, "CT")


def _rounded(image: sitk.Image, folder: Path) -> Path:
    return dicom.write_series(image, folder, "CT", dicom.rounded_position)


def _inverted(image: sitk.Image, folder: Path) -> Path:
    return dicom.write_series(image, folder, "CT", dicom.inverted)


def _jittering(image: sitk.Image, folder: Path) -> Path:
    return dicom.write_series(image, folder, "CT", dicom.jittering_position)


def _with_localizer(image: sitk.Image, folder: Path) -> Path:
    """Add a sagittal image to the series."""
    dicom.write_series(image, folder, "CT")
    localizer = dcmread(folder / "0010.dcm")
    localizer.ImageOrientationPatient, localizer.InstanceNumber = [0, 1, 0, 0, 0, -1], 1000
    localizer.SOPInstanceUID = localizer.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    localizer.save_as(folder / "localizer.dcm")
    return folder


def _without_preamble(image: sitk.Image, folder: Path) -> Path:
    for path in dicom.write_series(image, folder, "CT").iterdir():
        path.write_bytes(path.read_bytes()[PREAMBLE_BYTES:])
    return folder


def _twice(image: sitk.Image, folder: Path) -> Path:
    dicom.write_series(image, folder / "a", "CT")
    shutil.copytree(folder / "a", folder / "b")
    return folder


def _two_distances(image: sitk.Image, folder: Path) -> Path:
    """Leave out every other slice above the middle, as a protocol with two slice distances does."""
    dicom.write_series(image, folder, "CT")
    for number in range(image.GetSize()[2] // 2 + 1, image.GetSize()[2], 2):
        (folder / f"{number:04d}.dcm").unlink()
    return folder


def _one_file(image: sitk.Image, folder: Path) -> Path:
    return dicom.write_series(image, folder, "CT") / "0007.dcm"


def _tilted(image: sitk.Image, folder: Path) -> Path:
    """Tilt the gantry by 14 degrees: each slice lies in its plane, but the table moves along z."""
    tilt = np.radians(14.0)
    upright = sitk.DICOMOrient(image, "LPS")
    axes = np.reshape(upright.GetDirection(), (3, 3))
    turned = np.column_stack([axes[:, 0], np.cos(tilt) * axes[:, 1] + np.sin(tilt) * axes[:, 2], axes[:, 2]])
    grid = sitk.Image(upright.GetSize(), sitk.sitkFloat32)
    grid.SetSpacing(upright.GetSpacing())
    grid.SetOrigin(upright.GetOrigin())
    grid.SetDirection(turned.ravel().tolist())
    return dicom.write_series(sitk.Resample(upright, grid, sitk.Transform(), sitk.sitkLinear, -1000.0), folder, "CT")
