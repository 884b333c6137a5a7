"""The displacement field in space: scaled, joined to the pre-alignment, measured and applied."""

import numpy as np
import SimpleITK as sitk


def scaled(field: sitk.Image, factors: np.ndarray | float) -> sitk.Image:
    """A field times a number, or times an array that broadcasts to (slice, row, column, 3)."""
    image = sitk.GetImageFromArray(sitk.GetArrayFromImage(field) * factors, isVector=True)
    image.CopyInformation(field)
    return image


def of_one_size(field: sitk.Image, inside: np.ndarray, seen: np.ndarray) -> sitk.Image:
    """A field (mm, LPS) less the growing or shrinking that it makes of what is inside as a whole.

    inside: the voxels of its grid (slice, row, column) over which that is fitted, by least squares: the multiple of the
    distance from their middle that a displacement holds. seen: the directions (3, n), LPS, one a column, in which there
    are displacements at all; distances count and displacements change along these alone.
    """
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, field.GetSize(), field.GetOrigin(), field.GetSpacing(), field.GetDirection()
    )
    points, vectors = sitk.GetArrayFromImage(source), sitk.GetArrayFromImage(field)
    away = (points - points[inside].mean(axis=0)) @ (seen @ np.linalg.pinv(seen)).T
    growth = (away[inside] * vectors[inside]).sum() / (away[inside] ** 2).sum()
    image = sitk.GetImageFromArray(vectors - growth * away, isVector=True)
    image.CopyInformation(field)
    return image


def no_longer_than(field: sitk.Image, longest: float) -> tuple[sitk.Image, float]:
    """A field whose longer vectors are cut to that length, direction kept, and how long the longest one was; mm."""
    lengths = np.linalg.norm(sitk.GetArrayViewFromImage(field), axis=-1, keepdims=True)
    found = float(lengths.max())
    return (scaled(field, longest / np.maximum(lengths, longest)) if found > longest else field), found


def compose(field: sitk.Image, prealignment: sitk.Transform) -> sitk.Image:
    """The one field d(x) = T(x + u(x)) - x of a field u and the transform T that follows it (mm, LPS, on u's grid)."""
    return field_of(joined(field, prealignment), field)


def field_of(transform: sitk.Transform, grid: sitk.Image) -> sitk.Image:
    """d(x) = T(x) - x on a grid (float64 vectors, mm, LPS)."""
    return sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )


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
    difference = sitk.GetArrayFromImage(field_of(transform, mask) - field_of(truth, mask))
    return float(np.linalg.norm(difference[inside], axis=-1).mean())


def joined(field: sitk.Image, prealignment: sitk.Transform) -> sitk.CompositeTransform:
    """x -> T(x + u(x)) of a field u and the transform T that follows it (mm, LPS)."""
    return sitk.CompositeTransform([prealignment, displacement_transform(field)])  # the last one acts first


def displacement_transform(field: sitk.Image) -> sitk.DisplacementFieldTransform:
    """A field as a transform; the field itself stays usable (SimpleITK's transform takes over what it is given)."""
    return sitk.DisplacementFieldTransform(sitk.Image(field))


def resample_through(moving: sitk.Image, grid: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """The moving volume on a grid, carried by a transform (grid point -> moving point), in its pixel type.

    Where it has no values it gets the lowest of those it has.
    """
    lowest = float(sitk.GetArrayViewFromImage(moving).min())
    return sitk.Resample(moving, grid, transform, sitk.sitkLinear, lowest, moving.GetPixelID())


def jacobian_determinant(field: sitk.Image) -> sitk.Image:
    """Determinant of the derivative of x + d(x) at every voxel (float32).

    ITK's filter differentiates along the index axes as if they were x, y and z, so it is given the vectors in that
    frame; the determinant is the same in every frame.
    """
    turned = np.linalg.inv(np.array(field.GetDirection()).reshape(3, 3))
    parts = [sitk.Cast(sitk.VectorIndexSelectionCast(field, n), sitk.sitkFloat32) for n in range(3)]
    upright = sitk.Compose([sum(float(row[n]) * parts[n] for n in range(3)) for row in turned])
    upright.SetDirection(np.eye(3).ravel().tolist())
    determinant = sitk.DisplacementFieldJacobianDeterminant(upright)
    determinant.SetDirection(field.GetDirection())
    return determinant
