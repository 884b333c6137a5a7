"""Names which labeled heads may be used for what, and reads them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import read_volume
from BSAFusionResearch.simulation.tissues import BRAIN_CODES, FILE_CODES

TRAINING_HEADS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10")
"""Heads that networks are trained on."""

CHOOSING_HEADS = ("11", "12")
"""Heads that settings are chosen, calibrated, fitted and tuned on, the baselines' too."""

LENGTH_HEADS = (*TRAINING_HEADS, *CHOOSING_HEADS)
"""Heads that the lengths of the expected error are fitted on: two heads differ too much, and networks trained on a head
err no less on other patients made of it (research log)."""

REPORTED_HEADS = ("13", "14", "15")
"""Heads that are only measured and reported, never used to choose anything; the research log names one exception."""

FIRST_PATIENT = 900
"""Number that head 00 would have as a patient in slices; the atlas's patients have lower ones."""


def patient_number(head: str) -> int:
    """Return the number of a labeled head's patients in slices: 913 for head 13."""
    return FIRST_PATIENT + int(head)


def refuse_reported(patients: Iterable[int]) -> None:
    """Keep the heads that are only reported out of training and of its validation.

    Args:
        patients: Numbers in the slices that are trained or validated on.

    Raises:
        FusionError: Some are those of REPORTED_HEADS.
    """
    if reported := sorted(set(patients) & {patient_number(head) for head in REPORTED_HEADS}):
        raise FusionError(
            f"The slices of --data are also of patients {', '.join(map(str, reported))}, the simulated heads "
            f"{', '.join(REPORTED_HEADS)}, which are only for reporting with `evaluate`; make the folder again with "
            "`cut_slices` without --reported, or give other patients other numbers."
        )


def head_files(folder: Path, heads: tuple[str, ...]) -> list[Path]:
    """Return the label files of some heads in a folder, such as those of TRAINING_HEADS.

    Raises:
        FusionError: one of them is not there.
    """
    files = [Path(folder) / f"{head}.nii.gz" for head in heads]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise FusionError(f"The folder {folder} lacks the label file {missing[0]}; give the folder of labeled heads.")
    return files


def read_head(path: Path | str) -> sitk.Image:
    """Read a label file as uint8 codes on an upright LPS grid.

    Raises:
        FusionError: the file is no readable volume, or holds anything but codes of `tissues`.
    """
    return checked_labels(read_volume(path), f"The file {path}")


def checked_labels(labels: sitk.Image, name: str = "The label map") -> sitk.Image:
    """Return a label map as uint8 on an upright LPS grid.

    Raises:
        FusionError: it is not three-dimensional, holds other codes, stands obliquely, or holds no brain.
    """
    if labels.GetDimension() != 3 or labels.GetNumberOfComponentsPerPixel() != 1:
        raise FusionError(f"{name} is not a label map of three dimensions; give a head of tissue codes 0 to 27.")
    values = sitk.GetArrayViewFromImage(labels)
    if values.size == 0 or not np.isin(np.unique(values), FILE_CODES).all():
        raise FusionError(f"{name} holds values that are not tissue codes; give a label map with codes 0 to 27.")
    upright = sitk.DICOMOrient(sitk.Cast(labels, sitk.sitkUInt8), "LPS")
    if not np.allclose(upright.GetDirection(), np.eye(3).ravel(), atol=1e-3):
        raise FusionError(f"{name} lies on an oblique grid; resample it to an upright one, with nearest neighbors.")
    upright.SetDirection(np.eye(3).ravel().tolist())
    if not np.isin(sitk.GetArrayViewFromImage(upright), BRAIN_CODES).any():
        raise FusionError(f"{name} holds no brain (codes 1 to 14 and 16); give a labeled head.")
    return upright
