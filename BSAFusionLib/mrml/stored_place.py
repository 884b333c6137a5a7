"""Where the file of a volume places it, beside where Slicer put it when it read the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import slicer

from BSAFusionLib.files.content import HEADER_SUFFIXES
from BSAFusionLib.files.nifti_header import nifti_header
from BSAFusionLib.files.orientation import (
    CONFLICT_MM,
    MAX_ROUNDING_MM,
    RAS_LPS,
    farthest,
    placement_of,
    right_angled,
    says_nothing,
    states_no_orientation,
)
from BSAFusionLib.mrml.placement import as_slicer_reads, ijk_to_ras


def remarks_on_file(volume: slicer.vtkMRMLVolumeNode) -> tuple[str, ...]:
    """Return what differs between a volume node and its file, and what the file does not say, a sentence each.

    Only the header of a NIfTI, Analyze, NRRD or MetaImage file is read. A volume without a file gets no remark, nor
    one whose file changed its size since.
    """
    storage = volume.GetStorageNode()
    path = Path(storage.GetFullNameFromFileName()) if storage is not None and storage.GetFileName() else None
    if path is None or not path.is_file():
        return ()
    try:
        header = nifti_header(path)
        if header is None:
            known = path.suffix.lower() in HEADER_SUFFIXES
            return (says_nothing(f"The file {path.name}"),) if known and states_no_orientation(path) else ()
        placement = placement_of(header, path.name)
    except (OSError, EOFError, ValueError, struct.error, zlib.error):
        return ()  # it changed since Slicer read it
    size = header.size[:3]
    if size != tuple(volume.GetImageData().GetDimensions()):
        return ()
    if not placement.stated:
        return placement.remarks
    matrix = RAS_LPS @ ijk_to_ras(volume)
    places = [place for place in (header.sform(), header.qform()) if place is not None]
    # Of two places that mirror each other, Slicer may have read the right-handed one.
    left_handed = all(np.linalg.det(place[:3, :3]) < 0 for place in places)
    stated = as_slicer_reads(placement.matrix, size, matrix) if left_handed else placement.matrix
    apart = farthest(matrix, stated, size)
    if apart > CONFLICT_MM:
        return (_differs(volume.GetName(), path.name, placement.matrix, size, apart),)
    return (_ambiguous(volume.GetName(), path.name),) if _mirror_along_slices(places, size, header.unit_mm) else ()


def _mirror_along_slices(places: list[np.ndarray], size: tuple[int, ...], unit_mm: float) -> bool:
    """Return True where the left-handed qform, as Slicer reads it, has the matrix of the right-handed sform.

    The node's matrix does not tell then whether Slicer reversed the slices.
    """
    if len(places) < 2 or np.linalg.det(places[0][:3, :3]) < 0 or np.linalg.det(places[1][:3, :3]) > 0:
        return False
    sform, qform = places
    return farthest(as_slicer_reads(qform, size, sform), sform, size) * unit_mm <= CONFLICT_MM


def _ambiguous(node: str, file: str) -> str:
    return (
        f"The header of {file} places the volume twice, mirrored along its slices (qform and sform), and Slicer may "
        f"have read '{node}' the other way round than nibabel, SPM and FSL do; check its orientation, and correct the "
        "header."
    )


def _differs(node: str, file: str, matrix: np.ndarray, size: tuple[int, ...], apart: float) -> str:
    if right_angled(matrix, size)[1] > MAX_ROUNDING_MM:
        return (
            f"The slices of {file} are shifted against each other by its header (a tilted gantry?), but not in "
            f"'{node}', which is up to {apart:.1f} mm off; straighten the file with another program, or register it "
            "with: run.py fuse"
        )
    return (
        f"'{node}' lies up to {apart:.1f} mm from where the header of {file} places it for nibabel, SPM and FSL; it "
        "was taken where it lies. If it was not moved on purpose, correct the header."
    )
