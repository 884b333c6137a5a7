"""How far off the registration is expected to be, at every place and in regions."""

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions, lattice_over, voxel_centers
from BSAFusionLib.pipeline.posterior import Posterior
from BSAFusionLib.pipeline.report import ExpectedError
from BSAFusionLib.pipeline.slicing import resample_mask
from BSAFusionLib.pipeline.smooth_basis import AFFINE_FUNCTIONS

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose

SPACING_MM = 8.0  # of the map; the error is about as smooth as the displacement
SAMPLES = 64
SAMPLES_AT_ONCE = 16
BRAIN_RADIUS_MM = 60.0  # of a standard head, around the brain's center
SKULL_BASE_MM = (-60.0, -30.0)  # of a standard head, from the brain's center upwards


def expected_error(posterior: Posterior, applied: sitk.Image, fixed: sitk.Image) -> sitk.Image:
    """Compute the expected length of the difference between the true and the applied displacement.

    It is the mean over displacements drawn from the posterior. What the basis leaves out is drawn as noise.

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
    noise_mm = posterior.amplitudes.elastic * np.sqrt(np.maximum(left_out, 0))
    random = np.random.default_rng(0)
    total = np.zeros(left_out.shape)
    for deviations in np.array_split(posterior.deviations(SAMPLES), SAMPLES // SAMPLES_AT_ONCE):
        errors = too_little + basis.evaluate(deviations, axes)
        errors += noise_mm * random.standard_normal(errors.shape)
        total += np.linalg.norm(errors, axis=1).sum(axis=0)
    image = sitk.GetImageFromArray((total / SAMPLES).T.astype(np.float32))
    image.CopyInformation(grid)
    return image


def summarize_error(error: sitk.Image, head: sitk.Image, pose: "HeadPose") -> ExpectedError:
    """Average the expected error over the head, the brain and the skull base.

    Args:
        error: Of `expected_error`.
        head: Mask of the fixed head.
        pose: Of the fixed head; without a head that was found, there is no brain and no skull base.
    """
    values, inside = sitk.GetArrayFromImage(error), resample_mask(head, error)
    everywhere = float(values[inside].mean() if inside.any() else values.mean())
    if not pose.found:
        return ExpectedError(everywhere)
    standard = (voxel_centers(error) - pose.translation) @ pose.rotation / pose.scale
    sideways = np.linalg.norm(standard[..., :2], axis=-1) <= BRAIN_RADIUS_MM
    low, high = SKULL_BASE_MM
    brain = inside & (np.linalg.norm(standard, axis=-1) <= BRAIN_RADIUS_MM)
    skull_base = inside & sideways & (standard[..., 2] >= low) & (standard[..., 2] <= high)
    regions = _mean_in(values, brain), _mean_in(values, skull_base)
    return ExpectedError(everywhere, *regions)


def _mean_in(values: np.ndarray, region: np.ndarray) -> float | None:
    return float(values[region].mean()) if region.any() else None
