"""Makes a scan of an anatomy: tissue values, sharpness, sampling, then what the scanner adds."""

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from BSAFusionResearch.simulation.anatomy import Anatomy, Part
from BSAFusionResearch.simulation.fields import smooth_noise
from BSAFusionResearch.simulation.scanners import finer_along_slices

FWHM = 2 * np.sqrt(2 * np.log(2))  # full widths at half maximum per standard deviation
VARIATION_NODES_MM = 30.0
BIAS_NODES_MM = 90.0
LOWEST_HU, HIGHEST_HU = -1024, 3071
BACKGROUND_ACTIVITY = 0.01  # whose noise an empty place has

# A volume and a grid -> the volume on that grid, through the map of one scan; the number is what lies beyond it.
Sampler = Callable[[sitk.Image, sitk.Image, int, float], sitk.Image]


def through_rigid(transform: sitk.Transform) -> Sampler:
    """Sample through a transform, point of the scan -> point of the anatomy, mm, LPS."""
    return lambda image, grid, kind, beyond: sitk.Resample(image, grid, transform, kind, beyond)


def through_displacement(displacement: Callable[[sitk.Image], np.ndarray]) -> Sampler:
    """Sample through x + e(x), point of the scan -> point of the anatomy; `displacement` gives e on a grid."""

    def sample(image: sitk.Image, grid: sitk.Image, kind: int, beyond: float) -> sitk.Image:
        field = sitk.GetImageFromArray(displacement(grid).astype(np.float64), isVector=True)
        field.CopyInformation(grid)
        return sitk.Warp(
            image, field, kind, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection(), beyond
        )

    return sample


def scanned(
    anatomy: Anatomy,
    table: np.ndarray,
    variation: float,
    resolution_mm: float,
    grid: sitk.Image,
    sample: Sampler,
    random: np.random.Generator,
) -> np.ndarray:
    """Return the noiseless signal of a scan on its grid.

    The point spread acts in the anatomy, which a rigid motion does not change, and includes the voxel's own; thick
    slices are means of thin ones.

    Args:
        anatomy: the patient.
        table: value of each tissue by code.
        variation: standard deviation of the slow regional variation, as a fraction; it leaves air as it is.
        resolution_mm: full width at half maximum; 0 samples the nearest label's value.
        grid: the scanner's grid.
        sample: the map of this scan, from its points to the anatomy's.
        random: draws the variation.

    Returns:
        (slice, row, column), float32.
    """
    fine, parts = finer_along_slices(grid) if resolution_mm > 0 else (grid, 1)
    kind = sitk.sitkLinear if resolution_mm > 0 else sitk.sitkNearestNeighbor
    signal = np.full(fine.GetSize()[::-1], table[0], np.float32)
    for part in anatomy.parts:
        image = _blurred(_varied(part, table, variation, random), part.labels, resolution_mm)
        sampled = sitk.GetArrayFromImage(sample(image, fine, kind, float("nan")))
        np.copyto(signal, sampled, where=~np.isnan(sampled))
    return signal.reshape(-1, parts, *signal.shape[1:]).mean(axis=1)


def labels_on(anatomy: Anatomy, grid: sitk.Image, sample: Sampler) -> sitk.Image:
    """Return the head's codes on a scan's grid, nearest neighbor, uint8."""
    labels = sample(anatomy.head.labels, grid, sitk.sitkNearestNeighbor, 0)
    labels.CopyInformation(grid)
    return labels


def as_mri(
    signal: np.ndarray, grid: sitk.Image, bias: float, coil: float, noise: float, random: np.random.Generator
) -> np.ndarray:
    """Add what an MRI scanner does: a bias field, a coil's sensitivity and Rician noise.

    Args:
        signal: fractions of full scale, (slice, row, column).
        grid: the scan's grid.
        bias: largest change by the smooth field, as a fraction.
        coil: ratio of sensitivity from one side of the volume to the other, in a random direction.
        noise: standard deviation of each of the two channels, as a fraction of full scale.
        random: draws all of it.

    Returns:
        int16, at a random gain.
    """
    field = smooth_noise(grid, BIAS_NODES_MM, random)
    logarithm = field * (float(np.log1p(bias)) / float(np.abs(field).max()))
    sides = random.standard_normal(3)
    if coil > 1:
        extent = [np.linspace(-0.5, 0.5, size) for size in signal.shape]
        ramp = sum(side * along for side, along in zip(sides / np.linalg.norm(sides), np.ix_(*extent), strict=True))
        logarithm += float(np.log(coil)) * ((ramp - ramp.max()) / np.ptp(ramp)).astype(np.float32)
    received = signal * np.exp(logarithm)
    real, imaginary = (noise * random.standard_normal(signal.shape, np.float32) for _ in range(2))
    return _rounded(random.uniform(400, 1500) * np.hypot(received + real, imaginary), np.int16)


def as_ct(signal: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """Add a CT scanner's noise, in HU, and its limits; int16."""
    noisy = signal + noise * random.standard_normal(signal.shape, np.float32)
    return _rounded(np.clip(noisy, LOWEST_HU, HIGHEST_HU), np.int16)


def as_emission(
    signal: np.ndarray, grid: sitk.Image, resolution_mm: float, noise: float, random: np.random.Generator
) -> np.ndarray:
    """Add the noise of a PET or SPECT: it grows with the activity's square root, smooth as a third of the resolution.

    Returns:
        float32, not negative, in arbitrary counts.
    """
    white = random.standard_normal(signal.shape, np.float32)
    sigma = [resolution_mm / 3 / FWHM / spacing for spacing in reversed(grid.GetSpacing())]
    smooth = gaussian_filter(white, sigma)
    smooth /= smooth.std()
    noisy = signal + noise * np.sqrt(np.maximum(signal, BACKGROUND_ACTIVITY)) * smooth
    return np.maximum(noisy, 0) * np.float32(random.uniform(3_000, 30_000))


def _varied(part: Part, table: np.ndarray, variation: float, random: np.random.Generator) -> np.ndarray:
    """Return the tissue values of a part with the slow regional variation of one scan."""
    values = part.values(table)
    if variation > 0:
        change = 1 + variation * smooth_noise(part.labels, VARIATION_NODES_MM, random)
        np.multiply(values, np.maximum(change, 0.2), out=values, where=values > -300)  # HU of air do not vary
    return values


def _blurred(values: np.ndarray, labels: sitk.Image, resolution_mm: float) -> sitk.Image:
    """Return values as an image on the grid of the labels, at the resolution; no sharper than the labels' voxels."""
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(labels)
    # Without any blur, the steps of the labels' voxels would show at borders.
    sigma = [max(resolution_mm / FWHM, 0.5 * spacing) for spacing in labels.GetSpacing()]
    return sitk.SmoothingRecursiveGaussian(image, sigma) if resolution_mm > 0 else image


def _rounded(values: np.ndarray, kind: type) -> np.ndarray:
    limits = np.iinfo(kind)
    return np.clip(np.round(values), limits.min, limits.max).astype(kind)
