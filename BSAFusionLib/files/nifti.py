"""Voxels of NIfTI and Analyze files, through a private copy where ITK would not read the file as it is."""

import math
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.content import opened, packing_of
from BSAFusionLib.files.nifti_header import (
    FIELDS_1,
    HEADER_BYTES_1,
    HEADER_BYTES_2,
    NiftiHeader,
    header_file,
    voxel_file,
)
from BSAFusionLib.files.orientation import right_angled
from BSAFusionLib.files.paths import private_folder, readable_by_itk

BLOCK_BYTES = 1 << 20  # read or copied at once
EXTENSION_BYTES = 4  # behind the header of a NIfTI, at least
COPY_START = 352  # of the voxels in the private copy: the header of NIfTI-1, and four bytes for no extensions
MAX_SIZE_1 = 32767  # along an axis in NIfTI-1
FLOATS = {16: "f4", 64: "f8"}  # by the code of the data type (nifti1.h)


def read_nifti(path: Path, header: NiftiHeader) -> sitk.Image:
    """Read the voxels of a file; its place in space is to be set by the header.

    Voxels that are not finite become NaN, which ITK's NIfTI library replaces by 0; in a label map by its header, they
    stay 0.

    Raises:
        FusionError: Its voxels are missing, or fewer than its header says; ITK would fill these in without a warning.
        RuntimeError: ITK cannot read it.
    """
    voxels = voxel_file(path, header)
    if not voxels.is_file():
        raise FusionError(f"The voxels of {path} are missing: put {voxels.name} beside it.")
    non_finite = _check_voxels(path, voxels, header)
    if read_by_itk(path, header):
        with readable_by_itk(path) as name:
            image = sitk.ReadImage(name)
    else:
        with private_folder() as folder:
            copy = folder / "volume.nii"
            _copy(voxels, header, copy)
            image = sitk.ReadImage(str(copy))
    return image if header.is_label_map or not non_finite else _with_nan(image, non_finite)


def read_by_itk(path: Path, header: NiftiHeader) -> bool:
    """Tell whether ITK, and so Slicer, reads a file under its own name: packed as the name says, and with a place.

    Source: itkNiftiImageIO.cxx: only an orthonormal sform is taken, and without a qform there is no other.
    """
    names = (".nii",) if header.with_voxels else (".hdr", ".img")
    packing = ".gz" if path.name.endswith(".gz") else ""
    packings = {packing_of(file) for file in (header_file(path), voxel_file(path, header))}
    if header.version == 2 or packings != {packing} or not path.name.removesuffix(packing).endswith(names):
        return False
    # ITK's library takes some bytes of the header for voxels, and adds an intercept also where a slope of 0 says none.
    slope, intercept = header.fields["scale"]
    stated = int(header.fields["start"]) == _start(voxel_file(path, header), header)
    if not stated or (slope == 0 and intercept != 0):
        return False
    sform = header.sform()
    return sform is None or header.qform() is not None or right_angled(sform, header.size[:3])[1] < 1e-3


def _check_voxels(path: Path, voxels: Path, header: NiftiHeader) -> list[tuple[int, np.ndarray]]:
    """Check that a file holds all voxels, and return which of them are not finite.

    Returns:
        Parts with such voxels: the number of their first voxel in the file, and a flag for each voxel.

    Raises:
        FusionError: It holds fewer voxels than its header says.
    """
    count, kind = math.prod(header.size), FLOATS.get(header.fields["datatype"])
    float_type = np.dtype(header.order + kind) if kind else None
    length, non_finite = 0, []
    with opened(voxels) as file:
        file.seek(_start(voxels, header))
        while part := file.read(BLOCK_BYTES):
            if float_type is not None:
                first = length // float_type.itemsize
                values = np.frombuffer(part, float_type, min(len(part) // float_type.itemsize, max(count - first, 0)))
                finite = np.isfinite(values)
                if not finite.all():
                    non_finite.append((first, ~finite))
            length += len(part)
    if length < header.voxel_bytes:
        raise FusionError(
            f"The file {path} cannot be read: it is cut short, and has fewer voxels than its header says; give a whole "
            "one."
        )
    return non_finite


def _with_nan(image: sitk.Image, non_finite: list[tuple[int, np.ndarray]]) -> sitk.Image:
    """Return an image with NaN in the voxels that `_check_voxels` found."""
    values, components = sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel()
    in_file = values.reshape(-1, components).T.flat  # a NIfTI holds the components one after the other
    for first, flags in non_finite:
        in_file[first + np.flatnonzero(flags)] = np.nan
    marked = sitk.GetImageFromArray(values, isVector=components > 1)
    marked.CopyInformation(image)
    return marked


def _copy(voxels: Path, header: NiftiHeader, copy: Path) -> None:
    """Write a plain NIfTI-1 file with the same voxels, which states no place."""
    fields = header.fields
    if max(header.size) > MAX_SIZE_1:
        raise FusionError(f"The file {voxels} has over {MAX_SIZE_1} voxels along an axis; crop the volume.")
    content = bytearray(COPY_START)
    struct.pack_into(f"{header.order}i", content, 0, HEADER_BYTES_1)
    pixdim = [abs(value) for value in fields["pixdim"]]
    unplaced = {"pixdim": pixdim, "start": COPY_START, "magic": b"n+1", "qform_code": 0, "sform_code": 0, "units": 0}
    if fields["scale"][0] == 0:  # no scale at all, by nifti1.h
        unplaced["scale"] = (0.0, 0.0)
    for name in ("dim", "intent_code", "datatype", "bits", "pixdim", "start", "scale", "units", "magic"):
        code, offset = FIELDS_1[name]
        value = unplaced.get(name, fields[name])
        struct.pack_into(header.order + code, content, offset, *(value if isinstance(value, list | tuple) else [value]))
    with opened(voxels) as source, copy.open("wb") as target:
        target.write(content)
        source.seek(_start(voxels, header))
        shutil.copyfileobj(source, target, BLOCK_BYTES)


def _start(voxels: Path, header: NiftiHeader) -> int:
    """Return where the voxels begin in their file.

    A place within the header, usually 0, says nothing: they follow the four bytes for extensions, as in nibabel, or the
    header itself where the file is too short for these.
    """
    start = float(header.fields["start"])
    if not 0 <= start < 1 << 40:
        raise ValueError("voxels begin outside of the file")
    header_bytes = HEADER_BYTES_2 if header.version == 2 else HEADER_BYTES_1
    if not header.with_voxels or start >= header_bytes:
        return int(start)
    with opened(voxels) as file:
        length = file.seek(0, os.SEEK_END)
    behind = header_bytes + EXTENSION_BYTES
    return behind if length >= behind + header.voxel_bytes else header_bytes
