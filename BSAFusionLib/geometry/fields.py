"""Displacement fields in space (float64 vectors, mm, LPS): scaled, faded, composed, measured and applied."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions, voxel_centers

MARGIN_PER_DISPLACEMENT = 3.0  # mm of margin for each mm at the border, so that fading does not fold
LARGEST_MARGIN = 1 / 8  # of the volume's longest side, so that memory at most doubles; folds are removed later
WIDEST_IN_FLOAT32 = 2  # bytes of the integers that it holds exactly
ROUNDED_PLANES = 32  # resampled at once
FLOATS = {  # by whether integers are wider than that, and in vectors
    (False, False): sitk.sitkFloat32,
    (False, True): sitk.sitkVectorFloat32,
    (True, False): sitk.sitkFloat64,
    (True, True): sitk.sitkVectorFloat64,
}


def _field_like(vectors: np.ndarray, field: sitk.Image) -> sitk.Image:
    """Make a field of vectors (slice, row, column, 3) on another field's grid."""
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.CopyInformation(field)
    return image


def scale(field: sitk.Image, factors: np.ndarray | float) -> sitk.Image:
    """Multiply a field by a number, or by an array that broadcasts to (slice, row, column, 3)."""
    return _field_like(sitk.GetArrayFromImage(field) * factors, field)


def remove_global_scaling(field: sitk.Image, inside: np.ndarray, estimated_along: np.ndarray) -> sitk.Image:
    """Remove the part of a field that enlarges or shrinks a region as a whole.

    That part is the multiple of the distance from the region's center that fits the field best, by least squares.

    Args:
        field: mm, LPS.
        inside: The region's voxels (slice, row, column), bool.
        estimated_along: The directions (3, n), LPS, one a column, in which displacements were estimated at all;
            distances count and displacements change along these alone.
    """
    points, vectors = voxel_centers(field), sitk.GetArrayFromImage(field)
    projection = estimated_along @ np.linalg.pinv(estimated_along)
    away = (points - points[inside].mean(axis=0)) @ projection.T
    growth = (away[inside] * vectors[inside]).sum() / (away[inside] ** 2).sum()
    return _field_like(vectors - growth * away, field)


def limit_length(field: sitk.Image, longest: float) -> tuple[sitk.Image, float]:
    """Shorten the vectors of a field that are longer than a limit, keeping their direction.

    Returns:
        The field, the same one where none is longer, and the length of the longest vector before, in mm.
    """
    lengths = np.linalg.norm(sitk.GetArrayViewFromImage(field), axis=-1, keepdims=True)
    longest_before = float(lengths.max())
    if longest_before <= longest:
        return field, longest_before
    return scale(field, longest / np.maximum(lengths, longest)), longest_before


def fade_to_zero(field: sitk.Image) -> sitk.Image:
    """Add a margin to a field, in which it fades smoothly to zero at the outermost voxels.

    Outside a field's grid ITK takes zero, and Slicer the nearest value; a field that ends in zeros is the same to both.
    The margin is as wide as the largest displacement at the border asks for, at least one voxel and at most
    `LARGEST_MARGIN`.

    Args:
        field: mm, LPS.

    Returns:
        A field whose inner voxels keep their place and value.
    """
    vectors = sitk.GetArrayViewFromImage(field)
    faces = [np.take(vectors, end, axis) for axis in range(3) for end in (0, -1)]
    largest = max(float(np.linalg.norm(face, axis=-1).max()) for face in faces)
    longest_side = max(np.multiply(field.GetSize(), field.GetSpacing()))
    reach = min(MARGIN_PER_DISPLACEMENT * largest, LARGEST_MARGIN * longest_side)
    width = [max(1, int(np.ceil(reach / spacing))) for spacing in field.GetSpacing()]
    padded = sitk.ZeroFluxNeumannPad(field, width, width)
    ramps = []
    for count, margin in zip(field.GetSize(), width, strict=True):
        rise = (1 - np.cos(np.pi * np.arange(margin) / margin)) / 2
        ramps.append(np.concatenate([rise, np.ones(count), rise[::-1]]))
    faded = sitk.GetArrayFromImage(padded)
    in_plane = (ramps[1][:, None] * ramps[0])[..., None]
    for plane, factor in zip(faded, ramps[2], strict=True):
        plane *= in_plane * factor
    return _field_like(faded, padded)


def compose_transform(field: sitk.Image, transform: sitk.Transform) -> sitk.CompositeTransform:
    """Compose a field u and the transform T that follows it to x -> T(x + u(x)), mm, LPS."""
    return sitk.CompositeTransform([transform, displacement_transform(field)])  # the last one acts first


def compose_field(field: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Compose a field u and the transform T that follows it to one field d(x) = T(x + u(x)) - x, on u's grid."""
    return field_from_transform(compose_transform(field, transform), field)


def field_from_transform(transform: sitk.Transform, grid: sitk.Image) -> sitk.Image:
    """Sample a transform as d(x) = T(x) - x on a grid (float64 vectors, mm, LPS)."""
    field: sitk.Image = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    return field


def displacement_transform(field: sitk.Image) -> sitk.DisplacementFieldTransform:
    """Make a transform of a field, which stays usable: SimpleITK's transform takes over the image that it is given."""
    return sitk.DisplacementFieldTransform(sitk.Image(field))


def error_mm(transform: sitk.Transform, truth: sitk.Transform, mask: sitk.Image) -> float:
    """Measure how far apart two transforms carry the points inside a mask.

    Args:
        transform: Fixed point to moving point, mm, LPS.
        truth: The same kind of transform, known to be right.
        mask: Image on the fixed volume's grid; voxels above zero count.

    Returns:
        The mean distance in mm.
    """
    inside = sitk.GetArrayViewFromImage(mask) > 0
    difference = sitk.GetArrayFromImage(field_from_transform(transform, mask) - field_from_transform(truth, mask))
    return float(np.linalg.norm(difference[inside], axis=-1).mean())


def resample_through(
    moving: sitk.Image, grid: sitk.Image, transform: sitk.Transform, interpolator: int = sitk.sitkLinear
) -> sitk.Image:
    """Resample a moving volume on a grid through a transform, in its pixel type.

    Integers are rounded: ITK alone cuts off their fraction, a bias of half a unit on average.

    Args:
        moving: Any pixel type, scalar or vector.
        grid: Where to resample it.
        transform: Grid point to moving point, mm, LPS.
        interpolator: One of SimpleITK's.

    Returns:
        The volume; outside the moving volume it has that one's lowest value.
    """
    view = sitk.GetArrayViewFromImage(moving)
    kind, lowest = moving.GetPixelID(), float(view.min())
    if interpolator == sitk.sitkNearestNeighbor or view.dtype.kind not in "iu":
        return sitk.Resample(moving, grid, transform, interpolator, lowest, kind)
    wide, vector = view.dtype.itemsize > WIDEST_IN_FLOAT32, moving.GetNumberOfComponentsPerPixel() > 1
    between = FLOATS[wide, vector]
    depth = grid.GetSize()[2]
    # In slabs, so that no second volume in float is needed; a spline would be fitted again for each.
    planes = depth if interpolator == sitk.sitkBSpline else ROUNDED_PLANES
    slabs = (grid[:, :, first : first + planes] for first in range(0, depth, planes))
    parts = (sitk.Resample(moving, slab, transform, interpolator, lowest, between) for slab in slabs)
    voxels = np.concatenate([_rounded(part, view.dtype) for part in parts])
    registered = sitk.GetImageFromArray(voxels, isVector=vector)
    registered.CopyInformation(grid)
    return registered


def _rounded(image: sitk.Image, kind: np.dtype) -> np.ndarray:
    """Return the values of a float volume rounded to an integer type and clipped to that type's limits."""
    values = sitk.GetArrayFromImage(image)
    limits = np.iinfo(kind)
    # The last float below the first integer that is too large: the largest of 64 bits is no float.
    largest = np.nextafter(values.dtype.type(float(limits.max) + 1), values.dtype.type(0))
    np.rint(values, out=values)
    integers: np.ndarray = np.clip(values, values.dtype.type(limits.min), largest, out=values).astype(kind)
    return integers


def jacobian_determinant(field: sitk.Image) -> sitk.Image:
    """Compute the determinant of the derivative of x + d(x) at every voxel (float32).

    ITK's filter differentiates along the index axes as if they were x, y and z. So it is given the vectors in that
    frame; the determinant is the same in every frame.
    """
    if np.array_equal(directions(field), np.eye(3)):
        upright = sitk.Cast(field, sitk.sitkVectorFloat32)
    else:
        to_index_axes = np.linalg.inv(directions(field))
        parts = [sitk.Cast(sitk.VectorIndexSelectionCast(field, n), sitk.sitkFloat32) for n in range(3)]
        upright = sitk.Compose([sum(float(row[n]) * parts[n] for n in range(3)) for row in to_index_axes])
        upright.SetDirection(np.eye(3).ravel().tolist())
    determinant: sitk.Image = sitk.DisplacementFieldJacobianDeterminant(upright)
    determinant.SetDirection(field.GetDirection())
    return determinant
