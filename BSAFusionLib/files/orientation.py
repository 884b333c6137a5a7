"""Where a NIfTI file places its volume, and what a user should know about that; needs numpy only, for Slicer too."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from BSAFusionLib.files.header_fields import header_fields
from BSAFusionLib.files.nifti_header import NiftiHeader
from BSAFusionLib.files.units import length_unit

CONFLICT_MM = 1.0  # apart, anywhere in the volume, at which two places contradict each other
MAX_ROUNDING_MM = 0.5  # that a matrix written with few digits may be off a right-angled one, anywhere in the volume
# Slicer's and NIfTI's world is RAS, ITK's LPS: x and y change sign, either way.
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Placement:
    """The place that a header states.

    Attributes:
        matrix: 4 x 4, voxel index to mm, LPS; it may be sheared.
        remarks: What the user should know about it, a sentence each.
        stated: Whether the header states a place; else the axes are taken for LPS and the origin for 0, as ITK does.
    """

    matrix: np.ndarray
    remarks: tuple[str, ...]
    stated: bool = True


def placement_of(header: NiftiHeader, name: str) -> Placement:
    """Return the place that a header states: the sform where its code is above 0, else the qform.

    Args:
        header: The header.
        name: Of the file, for the remarks.

    Source: nibabel, SPM and FSL prefer the sform likewise.
    """
    size = header.size[:3]
    spacing = np.abs(header.fields["pixdim"][1:4])
    unit, unit_remarks = length_unit(float(np.max(np.multiply(size, spacing))), header.unit_mm, name)
    sform, qform = (matrix if matrix is None else in_lps(matrix, unit) for matrix in (header.sform(), header.qform()))
    if sform is None or qform is None:
        only = qform if sform is None else sform
        if only is not None:
            return Placement(only, unit_remarks)
        unplaced = np.diag([*np.where(spacing > 0, spacing, 1.0) * unit, 1.0])
        return Placement(unplaced, (says_nothing(f"The file {name}"), *unit_remarks), stated=False)
    apart = farthest(sform, qform, size)
    if apart <= CONFLICT_MM or right_angled(sform, size)[1] > MAX_ROUNDING_MM:  # a qform cannot hold a shear
        return Placement(sform, unit_remarks)
    remark = (
        f"The header of {name} places the volume twice, {apart:.1f} mm apart (qform and sform); the sform was taken, "
        "as nibabel, SPM and FSL do."
    )
    return Placement(sform, (remark, *unit_remarks))


def says_nothing(subject: str) -> str:
    """Return the remark for a file without orientation."""
    return (
        f"{subject} does not say how the head lies in it, so left and right may be exchanged; check them in the result."
    )


def read_elsewhere(name: str) -> str:
    """Return the remark for a file that Slicer places otherwise."""
    return (
        f"Slicer reads {name} at another place than was taken here, so the saved transform does not fit there; use the "
        "registered volume, or correct the header."
    )


def in_lps(matrix: np.ndarray, unit_mm: float) -> np.ndarray:
    """Convert a matrix of a NIfTI header, from voxel index to RAS in its unit, to mm, LPS."""
    scaled: np.ndarray = np.diag([unit_mm, unit_mm, unit_mm, 1.0]) @ RAS_LPS @ matrix
    return scaled


def farthest(first: np.ndarray, second: np.ndarray, size: tuple[int, ...]) -> float:
    """Return the largest distance in mm between the places that two matrices give a voxel of a volume."""
    corners = np.array(list(product(*((0, count - 1) for count in size))), float)
    points = np.column_stack([corners, np.ones(len(corners))]) @ (first - second).T
    return float(np.linalg.norm(points[:, :3], axis=1).max())


def right_angled(matrix: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Return the nearest matrix whose axes are at right angles, and how far off it is anywhere in the volume, in mm."""
    axes = matrix[:3, :3]
    left, _, right = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    directions = left @ right
    center = (np.array(size) - 1) / 2
    result = np.eye(4)
    result[:3, :3] = directions * (directions * axes).sum(axis=0)
    result[:3, 3] = matrix[:3, 3] + (axes - result[:3, :3]) @ center
    return result, farthest(matrix, result, size)


def states_no_orientation(path: Path) -> bool:
    """Tell whether a volume that is no NIfTI does not say how its axes lie in the patient.

    A NRRD needs its space and directions, a MetaImage its matrix; of other formats MINC and ITK's HDF5 have them.
    """
    fields = header_fields(path)
    if fields is None:
        return path.suffix.lower() not in (".mnc", ".h5", ".hdf5")
    if "ndims" in fields:
        return fields.keys().isdisjoint(("transformmatrix", "rotation", "orientation"))
    return not {"space", "space directions"} <= fields.keys()
