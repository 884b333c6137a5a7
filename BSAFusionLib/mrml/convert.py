"""Convert volumes and transforms of a scene (RAS) to arrays and SimpleITK (LPS), and back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.util import arrayFromTransformMatrix, arrayFromVolume, vtkMatrixFromArray
from vtkmodules.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonTransforms import vtkAbstractTransform, vtkGeneralTransform, vtkTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.orientation import RAS_LPS
from BSAFusionLib.mrml.placement import ijk_to_ras, parent_to_world
from BSAFusionLib.worker.case import Deformation, deformation_of, matrix_of
from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

GRID_LINES_ACROSS_VOLUME = 16
GRID_SPACING_BOUNDS_MM = 1.0, 100.0  # as far as the panel's slider reaches
MIN_LEGEND_RANGE_MM = 0.1  # a legend needs a range, also where all displacements are equal
MIN_VOLUME_SHARE = 1e-6  # of a box's volume, that a parallelepiped with the same edges must take


@dataclass(frozen=True)
class VolumeContent:
    """Content of a volume node.

    Attributes:
        voxels: One component, or three for color.
        ijk_to_ras: 4 x 4, mm, RAS.
    """

    voxels: vtkImageData
    ijk_to_ras: np.ndarray


@dataclass(frozen=True)
class TransformContent:
    """Content of a grid transform node, and how its grid is drawn.

    Attributes:
        from_parent: Transform from parent, mm, RAS.
        lines_mm: Distance of the grid lines, chosen by the volume's size.
        smallest_mm: Length of the smallest displacement.
        largest_mm: Length of the largest displacement.
        rigid_from_parent: The linear part alone, 4 x 4, mm, RAS.
        network_from_parent: The grid alone, which acts before the linear part; None where it moves nothing.
    """

    from_parent: vtkAbstractTransform
    lines_mm: float
    smallest_mm: float
    largest_mm: float
    rigid_from_parent: np.ndarray
    network_from_parent: vtkAbstractTransform | None


def image_from_volume(volume: slicer.vtkMRMLVolumeNode) -> "sitk.Image":
    """Copy a volume node into an image at its place in the world.

    Args:
        volume: Scalar or vector volume, under linear parent transforms at most.

    Returns:
        mm, LPS; a vector image where there are several components.

    Raises:
        FusionError: As `voxels_of`.
    """
    return voxels_of(volume).image()


def voxels_of(volume: slicer.vtkMRMLVolumeNode) -> Volume:
    """Return the voxels of a volume node, without copying them, and their place in the world.

    Args:
        volume: Scalar or vector volume; its linear parent transforms are part of its place.

    Returns:
        Voxels (k, j, i) or (k, j, i, components); geometry in mm, LPS.

    Raises:
        FusionError: A parent transform is not linear, or the axes of the volume lie in one plane.
    """
    ijk_to_world = RAS_LPS @ parent_to_world(volume) @ ijk_to_ras(volume)
    return volume_at(arrayFromVolume(volume), ijk_to_world, volume.GetName())


def volume_at(voxels: np.ndarray, ijk_to_world: np.ndarray, name: str) -> Volume:
    """Return voxels at a place in the world.

    Args:
        voxels: (k, j, i) or (k, j, i, components).
        ijk_to_world: 4 x 4, mm, LPS.
        name: For the message.

    Raises:
        FusionError: The axes of the volume lie in one plane.
    """
    spacing = np.linalg.norm(ijk_to_world[:3, :3], axis=0)
    if _is_flat(ijk_to_world):
        raise FusionError(f"'{name}' is flat: its axes or a transform leave no depth; fix that first.")
    direction = (ijk_to_world[:3, :3] / spacing).ravel()
    origin = ijk_to_world[:3, 3]
    return Volume(voxels, *(tuple(part.tolist()) for part in (origin, spacing, direction)))


def _is_flat(matrix: np.ndarray) -> bool:
    """Return True for a matrix, 4 x 4, whose axes lie in one plane."""
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    return bool(abs(np.linalg.det(matrix[:3, :3])) <= MIN_VOLUME_SHARE * np.prod(lengths))


def transform_from_node(node: slicer.vtkMRMLTransformNode) -> "sitk.AffineTransform":
    """Convert a transform node into ITK's transform from fixed points to moving points.

    A transform node maps the points of the volume below it to the world; ITK's resampling maps the other way, so the
    result is the inverse.

    Args:
        node: A linear transform that carries the moving volume, from its place in the world, to the fixed one.

    Returns:
        Fixed point to moving point, mm, LPS.

    Raises:
        FusionError: The node, or one above it, is not linear, leaves no depth, or mirrors.
    """
    if not node.IsTransformToWorldLinear():
        raise FusionError(
            f"The transform '{node.GetName()}' is not linear; choose a linear one as the initial transform."
        )
    to_world = arrayFromTransformMatrix(node, toWorld=True)
    if _is_flat(to_world):
        raise FusionError(
            f"The transform '{node.GetName()}' is flat: it leaves no depth; choose another initial transform."
        )
    if np.linalg.det(to_world[:3, :3]) < 0:
        raise FusionError(
            f"The transform '{node.GetName()}' mirrors (its determinant is below 0); choose another initial "
            "transform, or correct the header of a volume that is mirrored."
        )
    import SimpleITK as sitk  # here, since Slicer starts, and most runs finish, without it

    from_world = RAS_LPS @ np.linalg.inv(to_world) @ RAS_LPS
    return sitk.AffineTransform(from_world[:3, :3].ravel().tolist(), from_world[:3, 3].tolist())


def content_from_image(image: "sitk.Image") -> VolumeContent:
    """Copy an image (mm, LPS) into content for a volume node (mm, RAS), on any thread."""
    return content_from_voxels(Volume.of(image))


def content_from_voxels(volume: Volume) -> VolumeContent:
    """Copy a volume (mm, LPS) into content for a volume node (mm, RAS), on any thread."""
    voxels = volume.voxels
    if voxels.dtype == np.int64:  # which Slicer cannot draw
        voxels = voxels.astype(np.float64)
    if voxels.dtype == np.int8:  # whose VTK type Slicer does not save
        voxels = voxels.astype(np.int16)
    content = vtkImageData()
    content.SetDimensions(voxels.shape[2::-1])
    components = voxels.shape[3] if voxels.ndim == 4 else 1
    content.AllocateScalars(get_vtk_array_type(voxels.dtype), components)
    vtk_to_numpy(content.GetPointData().GetScalars()).reshape(voxels.shape)[:] = voxels
    return VolumeContent(content, RAS_LPS @ _ijk_to_world(volume))


def transform_from_field(
    field: "sitk.Image", prealignment: "sitk.Transform", moving_to_world: np.ndarray
) -> vtkGeneralTransform:
    """Convert a displacement field and the linear transform that follows it into a node's transform from parent.

    Args:
        field: Displacement of fixed points, mm, LPS.
        prealignment: Linear transform that is applied after the field, mm, LPS.
        moving_to_world: 4 x 4, mm, RAS: the parents of the moving volume, which the transform replaces.

    Returns:
        Fixed point to a point of the moving volume's own coordinates, mm, RAS.
    """
    return _composed(_grid_transform(Volume.of(field)), _linear_part(matrix_of(prealignment), moving_to_world))


def content_from_fields(
    field: "sitk.Image", network_field: "sitk.Image", prealignment: "sitk.Transform", moving_to_world: np.ndarray
) -> TransformContent:
    """Convert the fields and the initial transform of a `Result` into content for a grid transform node.

    Args:
        field: Whole displacement of fixed points, mm, LPS.
        network_field: The network's part of it, mm, LPS, whose lengths color the grid.
        prealignment: Linear transform that is applied after the field, mm, LPS.
        moving_to_world: 4 x 4, mm, RAS: the parents of the moving volume, which the transform replaces.
    """
    return content_from_deformation(deformation_of(field, network_field, prealignment), moving_to_world)


def content_from_deformation(deformation: Deformation, moving_to_world: np.ndarray) -> TransformContent:
    """Convert a deformation into content for a grid transform node, on any thread.

    Args:
        deformation: Displacement and initial transform, mm, LPS.
        moving_to_world: 4 x 4, mm, RAS: the parents of the moving volume, which the transform replaces.
    """
    least, most = GRID_SPACING_BOUNDS_MM
    grid = _grid_transform(deformation.displacement)
    linear = _linear_part(deformation.prealignment, moving_to_world)
    return TransformContent(
        _composed(grid, linear),
        min(most, max(least, round(deformation.extent_mm / GRID_LINES_ACROSS_VOLUME, 1))),
        deformation.shortest_mm,
        max(deformation.shortest_mm + MIN_LEGEND_RANGE_MM, deformation.longest_mm),
        linear,
        grid if np.any(deformation.displacement.voxels) else None,
    )


def _linear_part(prealignment: np.ndarray, moving_to_world: np.ndarray) -> np.ndarray:
    """Return x -> inverse(moving_to_world)(prealignment(x)), 4 x 4, mm, RAS; the initial transform is in LPS."""
    linear: np.ndarray = np.linalg.inv(moving_to_world) @ RAS_LPS @ prealignment @ RAS_LPS
    return linear


def _composed(grid: vtkAbstractTransform, linear_part: np.ndarray) -> vtkGeneralTransform:
    """Return x -> linear_part(grid(x)) as a transform from parent, mm, RAS; outside the grid the linear part alone."""
    # The linear part is separate for Slicer's inverse, too. Hardening inverts a grid iteratively, which converges
    # only while displacements change by less than the points do; a rotation of 60 degrees in them would prevent that.
    linear = vtkTransform()
    linear.SetMatrix(vtkMatrixFromArray(linear_part))
    both = vtkGeneralTransform()
    both.PostMultiply()
    both.Concatenate(grid)
    both.Concatenate(linear)
    return both


def _grid_transform(displacement: Volume) -> slicer.vtkOrientedGridTransform:
    """Return the transform x -> x + displacement(x), mm, RAS.

    Its interpolation is cubic, as Slicer makes it for grids that it reads from files.
    """
    ijk_to_world = RAS_LPS @ _ijk_to_world(displacement)
    vectors = np.empty(displacement.voxels.shape, np.float32)
    for out, plane in zip(vectors, displacement.voxels, strict=True):
        out[:] = plane * (-1, -1, 1)

    grid = vtkImageData()
    grid.SetDimensions(vectors.shape[2::-1])
    grid.SetOrigin(ijk_to_world[:3, 3])
    grid.SetSpacing(displacement.spacing)
    grid.GetPointData().SetScalars(numpy_to_vtk(vectors.reshape(-1, 3), deep=True))
    directions = np.eye(4)
    directions[:3, :3] = ijk_to_world[:3, :3] / displacement.spacing
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    transform.SetGridDirectionMatrix(vtkMatrixFromArray(directions))
    transform.SetInterpolationModeToCubic()
    return transform


def _ijk_to_world(volume: Volume) -> np.ndarray:
    """Return the matrix, 4 x 4, from voxel indices to mm, LPS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(volume.direction, (3, 3)) * volume.spacing
    matrix[:3, 3] = volume.origin
    return matrix
