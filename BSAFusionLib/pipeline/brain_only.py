"""Show what a brain alone shows: without a coil's ramp, and without what is hotter than the brain."""

import numpy as np
import SimpleITK as sitk

BRAIN_RADIUS_MM = 60.0  # of a standard head's brain, from its center
RADIUS_MM = 72.0  # of a ball around a brain's center that holds most of it and little else
PERCENTILES = (1.0, 92.0)  # of the ball's intensities, between which a brain is shown
RAMP_FLOOR = 0.15  # of the ball's median: darker voxels are air or bone and say nothing of a coil
RAMP_REACH = 1.3  # radii of the ball, beyond which the ramp is continued as a constant
RAMP_ROUNDS = 5
MIN_VOXELS = 100


def brain_ball(image: sitk.Image, center: tuple[float, ...], radius_mm: float = RADIUS_MM) -> sitk.Image:
    """Return a mask of the ball around a brain's center, on the volume's grid.

    Args:
        image: A volume.
        center: The brain's, mm, LPS.
        radius_mm: Of the ball.

    Returns:
        1 in the ball, else 0; uint8.
    """
    mask = sitk.GetImageFromArray((np.linalg.norm(_offsets(image, center), axis=-1) <= radius_mm).astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def brain_only(image: sitk.Image, center: tuple[float, ...]) -> sitk.Image:
    """Limit intensities to the range of most of the brain.

    Args:
        image: A scalar volume.
        center: The brain's, mm, LPS.

    Returns:
        The clamped volume, float32; the volume itself where no voxel lies in the ball.
    """
    inside = np.linalg.norm(_offsets(image, center), axis=-1) <= RADIUS_MM
    if not inside.any():
        return image
    low, high = np.percentile(sitk.GetArrayViewFromImage(image)[inside], PERCENTILES)
    clamped: sitk.Image = sitk.Clamp(image, sitk.sitkFloat32, float(low), float(high))
    return clamped


def divide_ramp(image: sitk.Image, center: tuple[float, ...]) -> sitk.Image:
    """Divide a volume by the exponential ramp that its brain follows.

    The ramp is fitted to the logarithm of the intensities in the ball, reweighted with Cauchy's weights.

    Args:
        image: An MRI of nonnegative intensities.
        center: The brain's, mm, LPS.

    Returns:
        The volume without the ramp, float32; the volume itself where too little shows in the ball.
    """
    values = sitk.GetArrayFromImage(image)
    offsets = _offsets(image, center) / RADIUS_MM
    length = np.linalg.norm(offsets, axis=-1, keepdims=True)
    shown = length[..., 0] <= 1
    if shown.any():
        shown &= values > RAMP_FLOOR * np.median(values[shown])
    if shown.sum() < MIN_VOXELS:
        return image
    terms, logarithms = np.column_stack([np.ones(shown.sum()), offsets[shown]]), np.log(values[shown])
    weights = np.ones(len(terms))
    for _ in range(RAMP_ROUNDS):
        ramp = np.linalg.lstsq(terms * weights[:, None], logarithms * weights, rcond=None)[0]
        residual = logarithms - terms @ ramp
        weights = 1 / np.sqrt(1 + (residual / max(1.5 * np.median(np.abs(residual)), 1e-6)) ** 2)
    reached = offsets / np.maximum(1, length / RAMP_REACH)
    result = sitk.GetImageFromArray((values * np.exp(-(reached @ ramp[1:]))).astype(np.float32))
    result.CopyInformation(image)
    return result


def _offsets(image: sitk.Image, center: tuple[float, ...]) -> np.ndarray:
    """Return vectors from a point to every voxel, (D, H, W, 3), mm, LPS."""
    grid = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat32, image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
    )
    return sitk.GetArrayFromImage(grid) - np.array(center, dtype=np.float32)
