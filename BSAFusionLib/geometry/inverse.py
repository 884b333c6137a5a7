"""Transforms the other way: for points exactly, for images as a transform."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError

STEP_MM = 0.05  # of the finite differences
TOLERANCE_MM = 1e-4
MOST_ITERATIONS = 50
FIELD_TOLERANCE_MM = 1e-3
FIELD_ITERATIONS = 100


def carry_points(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Carry points (n, 3), mm, LPS, through a transform."""
    return np.array([transform.TransformPoint(point) for point in points.tolist()]).reshape(-1, 3)


def carry_points_back(transform: sitk.Transform, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the points that a transform carries to given ones, by Newton's method for each.

    Args:
        transform: Best free of folds, where several points may be carried to one.
        points: (n, 3), mm, LPS.

    Returns:
        The points found, (n, 3), mm, LPS, and how far from the given ones they are carried (n,), mm: less than a ten
        thousandth, but where the transform folds or leads nowhere near.
    """
    target = np.array(points, dtype=float).reshape(-1, 3)
    found, missing = target.copy(), np.full(len(target), np.inf)
    open_ones = np.arange(len(target))
    for _ in range(MOST_ITERATIONS):
        guess = found[open_ones]
        step = target[open_ones] - carry_points(transform, guess)
        missing[open_ones] = np.linalg.norm(step, axis=1)
        far = missing[open_ones] > TOLERANCE_MM
        open_ones, guess, step = open_ones[far], guess[far], step[far]
        if len(open_ones) == 0:
            break
        found[open_ones] = guess + np.einsum("nij,nj->ni", np.linalg.pinv(_jacobian(transform, guess)), step)
    return found, missing


def _jacobian(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Return the derivative of a transform at points (n, 3) by central differences, (n, 3, 3)."""
    offsets = STEP_MM * np.eye(3)
    sides = [carry_points(transform, points + step) - carry_points(transform, points - step) for step in offsets]
    return np.stack(sides, axis=-1) / (2 * STEP_MM)


def invert(transform: sitk.Transform) -> sitk.CompositeTransform:
    """Invert a transform of linear parts and displacement fields.

    A field's inverse is a field on its grid (ITK's InvertDisplacementFieldImageFilter), zero at the border and beyond,
    as the fields of this program are.

    Args:
        transform: Fixed point to moving point, mm, LPS.

    Returns:
        Moving point to fixed point.

    Raises:
        FusionError: A part has no inverse.
    """
    # A composite applies its last part first, so the inverse has the parts' inverses in the other order.
    return sitk.CompositeTransform([_inverse_part(part) for part in reversed(_parts(transform))])


def _parts(transform: sitk.Transform) -> list[sitk.Transform]:
    part = transform.Downcast()
    if not isinstance(part, sitk.CompositeTransform):
        return [part]
    inner = [part.GetNthTransform(number) for number in range(part.GetNumberOfTransforms())]
    return [each for transform in inner for each in _parts(transform)]


def _inverse_part(part: sitk.Transform) -> sitk.Transform:
    try:
        if not isinstance(part, sitk.DisplacementFieldTransform):
            inverse: sitk.Transform = part.GetInverse()
            return inverse
        field = sitk.Cast(part.GetDisplacementField(), sitk.sitkVectorFloat64)
        inverted = sitk.InvertDisplacementField(
            field,
            maximumNumberOfIterations=FIELD_ITERATIONS,
            maxErrorToleranceThreshold=FIELD_TOLERANCE_MM,
            meanErrorToleranceThreshold=FIELD_TOLERANCE_MM / 10,
            enforceBoundaryCondition=True,
        )
        return sitk.DisplacementFieldTransform(inverted)
    except RuntimeError as error:
        raise FusionError(
            f"The transform has a part ({part.GetName()}) without an inverse; apply it without --inverse."
        ) from error
