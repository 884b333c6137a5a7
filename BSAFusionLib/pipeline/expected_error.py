"""How far off the registration is expected to be, at every place and in regions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions, lattice_over, voxel_centers
from BSAFusionLib.pipeline.brain_only import BRAIN_RADIUS_MM
from BSAFusionLib.pipeline.calibration import LENGTH_PER_RMS
from BSAFusionLib.pipeline.posterior import Posterior
from BSAFusionLib.pipeline.report import ExpectedError
from BSAFusionLib.pipeline.slicing import resample_mask
from BSAFusionLib.pipeline.smooth_basis import AFFINE_FUNCTIONS

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose

SPACING_MM = 8.0  # of the map; the error is about as smooth as the displacement
OUTLINE_SPACING_MM = 2.0  # of the map inside the head
NEAR_BRAIN_MM = 90.0  # the brain's furthest ends, from its center
MIDDLE_MM = 20.0  # to either side of the brain's center, not yet called left or right, front or back, upper or lower
# Of the MRI. On simulated heads, the error was 0.7 to 1.1 times the expected one with slices of 5 mm, and up to 1.4 and
# 1.7 times with 7 and 9 mm (`Testing/benchmarks/thick_slices.py`).
THICK_MM = 6.0
SKULL_BASE_MM = (-60.0, -30.0)  # of a standard head, from the brain's center upwards


def expected_error(posterior: Posterior, applied: sitk.Image, fixed: sitk.Image) -> sitk.Image:
    """Compute the expected length of the difference between the true and the applied displacement.

    The length is that of a normal vector with the posterior's variance, equal in all directions, and the calibration
    sets it right. What the basis leaves out counts with its variance; what of the posterior's mean was not applied is
    added in squares.

    Args:
        posterior: Of the displacement.
        applied: The displacement that was applied, mm, LPS; it covers the fixed volume.
        fixed: The fixed volume.

    Returns:
        float32, mm, on a lattice over the fixed volume.
    """
    grid = lattice_over(fixed, [SPACING_MM] * 3)
    basis = posterior.basis
    axes = basis.along(basis.places_on(grid))
    on_grid = sitk.GetArrayFromImage(sitk.Resample(applied, grid, sitk.Transform(), sitk.sitkLinear))
    too_little = basis.evaluate(posterior.mean, axes) - (on_grid @ directions(grid)).T
    elastic = np.arange(basis.size) >= AFFINE_FUNCTIONS
    left_out = 1 - basis.evaluate(elastic.astype(float), [axis**2 for axis in axes])
    variances = posterior.variances(axes) + 3 * posterior.amplitudes.elastic**2 * np.maximum(left_out, 0)
    unknown = posterior.calibration.expected_lengths(LENGTH_PER_RMS * np.sqrt(variances))
    lengths = np.hypot(np.linalg.norm(too_little, axis=0), unknown)
    image = sitk.GetImageFromArray(lengths.T.astype(np.float32))
    image.CopyInformation(grid)
    return image


def remarks_on_slices(fixed: sitk.Image) -> tuple[str, ...]:
    """Return a remark where the fixed volume's slices are thicker than those that the expected error was fitted at."""
    thickest = max(fixed.GetSpacing())
    if thickest <= THICK_MM:
        return ()
    return (
        f"The MRI's slices are {thickest:.2g} mm apart: the expected error was fitted at thin slices; with 7 and 9 mm, "
        "the true one was up to 1.7 times as large.",
    )


def inside_head(error: sitk.Image, head: sitk.Image) -> sitk.Image:
    """Restrict the expected error to the head, where alone there is evidence.

    Args:
        error: Of `expected_error`.
        head: Mask of the fixed head.

    Returns:
        float32, mm, on a lattice over the same volume that is fine enough for the head's outline; NaN outside.
    """
    grid = lattice_over(head, [OUTLINE_SPACING_MM] * 3)
    # With values beyond the last voxels, where a grid's end may lie by rounding.
    values = sitk.Resample(error, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
    inside = resample_mask(head, grid)
    masked = sitk.GetImageFromArray(np.where(inside, sitk.GetArrayFromImage(values), np.float32(np.nan)))
    masked.CopyInformation(grid)
    return masked


def summarize_error(error: sitk.Image, head: sitk.Image, pose: "HeadPose") -> ExpectedError:
    """Average the expected error over the head, the brain and the skull base, and find the worst place.

    Args:
        error: Of `expected_error`.
        head: Mask of the fixed head.
        pose: Of the fixed head; without a head that was found, there is no brain and no skull base.
    """
    values, inside = sitk.GetArrayFromImage(error), resample_mask(head, error)
    inside = inside if inside.any() else np.ones_like(inside)
    everywhere, centers = float(values[inside].mean()), voxel_centers(error)
    if not pose.found:
        largest, place, part = _worst_place(values, inside, centers, centers - centers[inside].mean(axis=0))
        return ExpectedError(everywhere, None, None, largest, place, part)
    standard = (centers - pose.translation) @ pose.rotation / pose.scale
    sideways = np.linalg.norm(standard[..., :2], axis=-1) <= BRAIN_RADIUS_MM
    low, high = SKULL_BASE_MM
    outward = np.linalg.norm(standard, axis=-1)
    brain = inside & (outward <= BRAIN_RADIUS_MM)
    skull_base = inside & sideways & (standard[..., 2] >= low) & (standard[..., 2] <= high)
    near = inside & (outward <= NEAR_BRAIN_MM) & (standard[..., 2] >= low)
    largest, place, part = _worst_place(values, near if near.any() else inside, centers, standard)
    regions = _mean_in(values, brain), _mean_in(values, skull_base)
    return ExpectedError(everywhere, *regions, largest, place, part)


def _mean_in(values: np.ndarray, region: np.ndarray) -> float | None:
    return float(values[region].mean()) if region.any() else None


def _worst_place(
    values: np.ndarray, region: np.ndarray, centers: np.ndarray, standard: np.ndarray
) -> tuple[float, tuple[float, float, float], str]:
    """Return the largest error in a region, its place in mm (right, anterior, superior) and the part of the head."""
    worst = np.unravel_index(np.where(region, values, -np.inf).argmax(), values.shape)
    x, y, z = centers[worst].tolist()
    return float(values[worst]), (-x, -y, z), _part_of_head(standard[worst].tolist())


def _part_of_head(place: Sequence[float]) -> str:
    """Name the part of the head that a place (left, back, up) in mm from the brain's center lies in."""
    left, back, up = (0 if abs(value) < MIDDLE_MM else int(np.sign(value)) for value in place)
    words = ("", "upper", "lower")[up], ("", "left", "right")[left], ("", "back", "front")[back]
    named = [word for word in words if word]
    if not named:
        return "middle"
    return " ".join(named if back else [*named, "side"])
