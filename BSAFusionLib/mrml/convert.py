"""Convert volumes and transforms of a scene (RAS) to arrays and SimpleITK (LPS), and back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.util import arrayFromTransformMatrix, arrayFromVolume, arrayFromVTKMatrix, vtkMatrixFromArray
from vtkmodules.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkAbstractTransform, vtkGeneralTransform, vtkTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.placement import parent_to_world
from BSAFusionLib.worker.case import Deformation, deformation_of, matrix_of
from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

# Slicer's world is RAS, ITK's LPS: x and y change sign, either way.
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

GRID_LINES_ACROSS_VOLUME = 16
GRID_SPACING_BOUNDS_MM = 1.0, 100.0  # as far as the panel's slider reaches
MIN_LEGEND_RANGE_MM = 0.1  # a legend needs a range, also where all displacements are equal
MIN_VOLUME_SHARE = 1e-6  # of a box's volume, that a parallelepiped with the same edges must take


@dataclass(frozen=True)
class VolumeContent:
    """What a volume node is to hold: voxels (one component, or three for colour) and IJK to RAS, 4 x 4, mm."""

    voxels: vtkImageData
    ijk_to_ras: np.ndarray


@dataclass(frozen=True)
class TransformContent:
    """What a grid transform node is to hold: its transform from parent, mm, RAS, and how its grid is to be drawn.

    lines_mm: distance of the lines, by the volume's size. smallest_mm, largest_mm: lengths of the displacement.
    """

    from_parent: vtkAbstractTransform
    lines_mm: float
    smallest_mm: float
    largest_mm: float


def image_from_volume(volume: slicer.vtkMRMLVolumeNode) -> "sitk.Image":
    """Copy a volume node as `voxels_of` gives it into an image, a vector image where there are several components."""
    return voxels_of(volume).image()


def voxels_of(volume: slicer.vtkMRMLVolumeNode) -> Volume:
    """View the voxels of a volume node where they lie in the world; they are the node's own, not a copy.

    Linear parent transforms, however many, are part of where they lie.

    Raises:
        FusionError: a parent transform is not linear, or leaves no room between the slices, rows or columns.
    """
    ijk_to_ras = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ijk_to_ras)
    ijk_to_world = RAS_LPS @ parent_to_world(volume) @ arrayFromVTKMatrix(ijk_to_ras)
    spacing = np.linalg.norm(ijk_to_world[:3, :3], axis=0)
    if abs(np.linalg.det(ijk_to_world[:3, :3])) <= MIN_VOLUME_SHARE * np.prod(spacing):
        raise FusionError(
            f"'{volume.GetName()}' is flat: its axes or a transform leave no depth; fix that first."
        )
    direction = (ijk_to_world[:3, :3] / spacing).ravel()
    origin = ijk_to_world[:3, 3]
    return Volume(arrayFromVolume(volume), *(tuple(part.tolist()) for part in (origin, spacing, direction)))


def transform_from_node(node: slicer.vtkMRMLTransformNode) -> "sitk.AffineTransform":
    """A transform node that would carry the moving volume to the fixed one, as fixed point -> moving point, mm, LPS.

    A transform node over a volume says where its points go; ITK's resampling asks where they come from: the inverse.
    Raises FusionError where the node, or one above it, is not linear.
    """
    if not node.IsTransformToWorldLinear():
        raise FusionError(f"The transform '{node.GetName()}' is not linear: choose a linear one to start from.")
    import SimpleITK as sitk  # here, since Slicer's start and most runs do without it

    from_world = RAS_LPS @ np.linalg.inv(arrayFromTransformMatrix(node, toWorld=True)) @ RAS_LPS
    return sitk.AffineTransform(from_world[:3, :3].ravel().tolist(), from_world[:3, 3].tolist())


def content_from_image(image: "sitk.Image") -> VolumeContent:
    """Copy an image's voxels and its place in the world into what a volume node takes; may run on any thread."""
    return content_from_voxels(Volume.of(image))


def content_from_voxels(volume: Volume) -> VolumeContent:
    """Copy a volume into what a volume node takes; may run on any thread."""
    voxels = volume.voxels
    if voxels.dtype == np.int64:  # which Slicer cannot draw
        voxels = voxels.astype(np.float64)
    content = vtkImageData()
    content.SetDimensions(voxels.shape[2::-1])
    components = voxels.shape[3] if voxels.ndim == 4 else 1
    content.AllocateScalars(get_vtk_array_type(voxels.dtype), components)
    vtk_to_numpy(content.GetPointData().GetScalars()).reshape(voxels.shape)[:] = voxels
    return VolumeContent(content, RAS_LPS @ _ijk_to_world(volume))


def transform_from_field(
    field: "sitk.Image", prealignment: "sitk.Transform", moving_to_world: np.ndarray
) -> vtkGeneralTransform:
    """Return a field and the linear transform that follows it (mm, LPS) as a node's transform from parent, mm, RAS."""
    return _transform(Volume.of(field), matrix_of(prealignment), moving_to_world)


def content_from_fields(
    field: "sitk.Image", network_field: "sitk.Image", prealignment: "sitk.Transform", moving_to_world: np.ndarray
) -> TransformContent:
    """Return the transform of `transform_from_field` and how to draw it, from what Result holds."""
    return content_from_deformation(deformation_of(field, network_field, prealignment), moving_to_world)


def content_from_deformation(deformation: Deformation, moving_to_world: np.ndarray) -> TransformContent:
    """Return what a grid transform node is to hold instead of `moving_to_world`; may run on any thread."""
    return TransformContent(
        _transform(deformation.displacement, deformation.prealignment, moving_to_world),
        # What the panel's slider can show.
        min(100.0, max(1.0, round(deformation.extent_mm / GRID_LINES_ACROSS_VOLUME, 1))),
        deformation.shortest_mm,
        max(deformation.shortest_mm + MIN_LEGEND_RANGE_MM, deformation.longest_mm),
    )


def _transform(displacement: Volume, prealignment: np.ndarray, moving_to_world: np.ndarray) -> vtkGeneralTransform:
    """Return a displacement and the 4 x 4 matrix that follows it (mm, LPS) as a node's transform from parent, mm, RAS.

    That node takes the place of what the moving volume's parent transforms amount to, `moving_to_world` (4 x 4, RAS):
    the volume's own points are then asked for, so a fixed point x goes to
    inverse(moving_to_world)(prealignment(x + displacement(x))). It is a vtkOrientedGridTransform, interpolated by
    cubics, as Slicer does with grids that it reads from files, and then a linear one, which also acts beyond the grid.
    """
    # The linear part stands by itself for Slicer's inverse, too. To harden, it inverts a grid step by step, which
    # leads there as long as displacements change by less than the points do; a turn of 60 degrees in them ends that.
    turn_and_shift = np.linalg.inv(moving_to_world) @ RAS_LPS @ prealignment @ RAS_LPS
    linear = vtkTransform()
    linear.SetMatrix(vtkMatrixFromArray(turn_and_shift))
    both = vtkGeneralTransform()
    both.PostMultiply()
    both.Concatenate(_grid_transform(displacement))
    both.Concatenate(linear)
    return both


def _grid_transform(displacement: Volume) -> slicer.vtkOrientedGridTransform:
    """Return the transform, RAS, that carries a point x to x + displacement(x)."""
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
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(volume.direction, (3, 3)) * volume.spacing
    matrix[:3, 3] = volume.origin
    return matrix
