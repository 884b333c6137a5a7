"""NIfTI files as tools of all kinds write them, made from a whole one by changing single fields of its header."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.files.nifti_header import FIELDS_1, FIELDS_2

HEADER_2 = 544  # bytes before the voxels of a NIfTI-2 file
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def example() -> sitk.Image:
    """Return a volume of random whole numbers, 84 x 75 x 90 mm, turned and off the origin."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(-1000, 1000, (18, 25, 28)).astype(np.int16))
    image.SetSpacing((3.0, 3.0, 5.0))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.1, -0.2, 0.3)
    image.SetDirection(turn.GetMatrix())
    image.SetOrigin((-40.0, 30.0, 20.0))
    return image


def write_nifti(path: Path, image: sitk.Image, **fields: Any) -> Path:
    """Write a plain NIfTI-1 file with some fields of its header changed; named as in `FIELDS_1`."""
    plain = path.with_name("plain.nii")
    sitk.WriteImage(image, str(plain))
    content = bytearray(plain.read_bytes())
    plain.unlink()
    for name, value in fields.items():
        code, offset = FIELDS_1[name]
        struct.pack_into("<" + code, content, offset, *np.atleast_1d(np.asarray(value)).tolist())
    path.write_bytes(content)
    return path


def write_nifti2(path: Path, image: sitk.Image) -> Path:
    """Write a NIfTI-2 file whose sform states the place."""
    content = bytearray(HEADER_2)
    struct.pack_into("<i4s4s", content, 0, 540, b"n+2\0", b"\r\n\x1a\n")
    values = {
        "dim": (3, *image.GetSize(), 1, 1, 1, 1),
        "datatype": 4,
        "bits": 16,
        "pixdim": (1, *image.GetSpacing(), 1, 1, 1, 1),
        "start": HEADER_2,
        "scale": (1, 0),
        "sform_code": 1,
        "rows": sform_rows(index_to_lps(image)),
        "units": 2,
    }
    for name, value in values.items():
        code, offset = FIELDS_2[name]
        struct.pack_into("<" + code, content, offset, *np.atleast_1d(np.asarray(value)).tolist())
    path.write_bytes(bytes(content) + sitk.GetArrayFromImage(image).astype("<i2").tobytes())
    return path


def index_to_lps(image: sitk.Image) -> np.ndarray:
    """Return the 4 x 4 matrix from voxel index to mm, LPS, by ITK's own transform of points."""
    matrix = np.eye(4)
    matrix[:3, 3] = image.TransformIndexToPhysicalPoint((0, 0, 0))
    units = np.eye(3, dtype=int).tolist()
    matrix[:3, :3] = np.transpose([image.TransformIndexToPhysicalPoint(unit) - matrix[:3, 3] for unit in units])
    return matrix


def sform_rows(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix to mm, LPS, as the sform's 12 numbers, which are RAS."""
    return (RAS_LPS @ matrix)[:3].ravel()
