"""Writes a simulated patient to a folder, as volumes, a transform and a description."""

import gzip
import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib import version
from BSAFusionLib.files.texts import write_json
from BSAFusionLib.files.volumes import write_transform, write_volume
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionResearch.simulation.patient import Patient, best_rigid, brain_mask

OUTPUTS = ("fixed.nii.gz", "moving.nii.gz", "truth.h5", "labels.nii.gz", "simulation.json")
# Fields of a NIfTI-1 header, as nifti1.h places them: qform_code and sform_code, and the sform's three rows.
CODES_AT, SFORM_AT = 252, 280
SCANNER_COORDINATES = 1


def write_patient(patient: Patient, head: str, folder: Path) -> dict:
    """Write a patient's files into an existing folder.

    Args:
        patient: what was simulated.
        head: the name of the label file that it was made from, for the description.
        folder: gets the files of `OUTPUTS`.

    Returns:
        The content of simulation.json.

    Raises:
        FusionError: a file cannot be written.
    """
    for name in ("fixed", "moving", "labels"):
        image, path = getattr(patient, name), folder / f"{name}.nii.gz"
        write_volume(image, path)
        if not _is_right_angled(image):
            _set_sform(path, image)
    write_transform(patient.truth, folder / "truth.h5")
    brain = brain_mask(patient)
    description = {
        "head": head,
        "version": version,
        "settings": asdict(patient.settings),
        "drawn": patient.drawn,
        "brain_ml": float(np.sum(sitk.GetArrayViewFromImage(brain)) * np.prod(brain.GetSpacing()) / 1000),
        "error_in_brain_mm": {
            "before": error_mm(sitk.Transform(), patient.truth, brain),
            "best_rigid": error_mm(best_rigid(patient.truth, brain), patient.truth, brain),
        },
    }
    write_json(description, folder / "simulation.json")
    return description


def _is_right_angled(image: sitk.Image) -> bool:
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return np.allclose(direction.T @ direction, np.eye(3), atol=1e-6)


def _set_sform(path: Path, image: sitk.Image) -> None:
    """Write a sheared grid into a NIfTI header: ITK would make its axes right-angled."""
    affine = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    rows = np.diag([-1, -1, 1]) @ np.column_stack([affine, image.GetOrigin()])  # LPS to the header's RAS
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2h", content, CODES_AT, 0, SCANNER_COORDINATES)
    struct.pack_into("<12f", content, SFORM_AT, *rows.ravel())
    path.write_bytes(gzip.compress(bytes(content), compresslevel=6))
