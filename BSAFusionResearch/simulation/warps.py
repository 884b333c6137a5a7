"""Changes the anatomy of a head by large smooth diffeomorphic warps: shape, size, atrophy, the push of a mass."""

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_dilation, gaussian_filter

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionResearch.simulation.fields import exponential, smooth_noise
from BSAFusionResearch.simulation.tissues import BRAIN_CODES, CODES

WARP_SPACING_MM = 4.0
SHAPE_NODES_MM = 50.0
ATROPHY_SMOOTHING_MM = 4.0
VENTRICLES = (CODES["ventricles"],)
FLUID = (CODES["cerebrospinal fluid"], CODES["artery"], CODES["vein"], CODES["optic nerve"])


def changed_anatomy(
    labels: sitk.Image, shape_mm: float, size: float, atrophy_mm: float, random: np.random.Generator
) -> sitk.Image:
    """Return the labels of a head of another shape, size and age.

    Args:
        labels: codes on an upright LPS grid.
        shape_mm: largest length of a smooth random velocity field, which is integrated to a diffeomorphism.
        size: factor of the head's size, the same in all directions.
        atrophy_mm: how far fluid grows into the brain, from ventricles and surface, at most.
        random: draws the shape.

    Returns:
        The warped labels (nearest neighbor) on a grid that holds them whole, of the same spacing.
    """
    margin = max(0.0, shape_mm) + 4
    grid = _grid_around(labels, max(1.0, size), margin)
    coarse = coarse_grid(grid)
    points = voxel_centers(coarse)
    # The warp carries a point of the new head to one of the old: shrinking it makes the new head larger.
    velocity = -np.log(size) * (points - center_of_brain(labels))
    if shape_mm > 0:
        noise = np.stack([smooth_noise(coarse, SHAPE_NODES_MM, random) for _ in range(3)], axis=-1)
        velocity = velocity + noise * (shape_mm / np.linalg.norm(noise, axis=-1).max())
    warped = warp(labels, exponential(velocity, np.array(coarse.GetSpacing())), coarse, grid)
    if atrophy_mm > 0:
        coarse = coarse_grid(warped)
        shrinking = atrophy_mm * _towards_fluid(warped, coarse)
        warped = warp(warped, exponential(shrinking, np.array(coarse.GetSpacing())), coarse, warped)
    return warped


def displaced_by_mass(labels: sitk.Image, center: np.ndarray, radius_mm: float, push_mm: float) -> sitk.Image:
    """Return the labels with the brain pushed away from a growing mass, the skull in its place.

    Args:
        labels: codes on an upright LPS grid.
        center: of the mass, (3,), mm, LPS.
        radius_mm: its radius; the push falls off over about twice that.
        push_mm: the largest displacement.
    """
    coarse = coarse_grid(labels)
    away = voxel_centers(coarse) - center
    distance = np.linalg.norm(away, axis=-1, keepdims=True)
    # r exp(-r^2 / 2 s^2) is largest at r = s, with the value s exp(-1/2).
    falling = np.exp(0.5 - distance**2 / (2 * radius_mm**2)) / radius_mm
    velocity = -push_mm * away * falling * _within_skull(labels, coarse)[..., None]
    return warp(labels, exponential(velocity, np.array(coarse.GetSpacing())), coarse, labels)


def warp(labels: sitk.Image, displacement: np.ndarray, coarse: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Sample labels on a grid through a displacement (new point -> old point) given on a coarse grid, mm, LPS."""
    field = sitk.GetImageFromArray(displacement.astype(np.float64), isVector=True)
    field.CopyInformation(coarse)
    transform = sitk.DisplacementFieldTransform(field)
    return sitk.Resample(labels, grid, transform, sitk.sitkNearestNeighbor, 0)


def center_of_brain(labels: sitk.Image) -> np.ndarray:
    """Return the centroid of the brain's voxels, (3,), mm, LPS."""
    brain = np.isin(sitk.GetArrayViewFromImage(labels), BRAIN_CODES)
    places = [np.average(np.arange(brain.shape[axis]), weights=brain.sum(axis=_others(axis))) for axis in (2, 1, 0)]
    return np.array(labels.TransformContinuousIndexToPhysicalPoint(places))


def coarse_grid(grid: sitk.Image) -> sitk.Image:
    """Return an empty image over an upright grid, with voxels of `WARP_SPACING_MM`."""
    spacing = np.array(grid.GetSpacing())
    size = np.ceil(spacing * (np.array(grid.GetSize()) - 1) / WARP_SPACING_MM).astype(int) + 1
    coarse = sitk.Image(np.maximum(size, 2).tolist(), sitk.sitkUInt8)
    coarse.SetSpacing([WARP_SPACING_MM] * 3)
    coarse.SetOrigin(grid.GetOrigin())
    return coarse


def _towards_fluid(labels: sitk.Image, coarse: sitk.Image) -> np.ndarray:
    """Return a field of length 1 at most that points from the brain's borders into the fluid, and is 0 at the skull."""
    tissue = tuple(code for code in BRAIN_CODES if code not in VENTRICLES)
    share = _share(labels, coarse, tissue)
    smooth = gaussian_filter(share, ATROPHY_SMOOTHING_MM / WARP_SPACING_MM)
    gradient = np.stack(np.gradient(smooth, WARP_SPACING_MM)[::-1], axis=-1)
    field = -gradient * _within_skull(labels, coarse)[..., None]
    return field / max(np.linalg.norm(field, axis=-1).max(), 1e-6)


def _within_skull(labels: sitk.Image, coarse: sitk.Image) -> np.ndarray:
    """Return a smooth weight: 1 within the skull, 0 from the inner table outwards; (slice, row, column)."""
    inside = _share(labels, coarse, (*BRAIN_CODES, *FLUID))
    outside = binary_dilation(inside < 0.5)
    return np.minimum(gaussian_filter((~outside).astype(np.float32), 1.0), ~outside)


def _share(labels: sitk.Image, coarse: sitk.Image, codes: tuple[int, ...]) -> np.ndarray:
    """Return the share of some codes in each voxel of a coarse grid, 0 to 1."""
    mask = sitk.GetImageFromArray(np.isin(sitk.GetArrayViewFromImage(labels), codes).astype(np.float32))
    mask.CopyInformation(labels)
    blocks = [max(1, round(WARP_SPACING_MM / spacing)) for spacing in labels.GetSpacing()]
    means = sitk.BinShrink(mask, blocks)
    return sitk.GetArrayFromImage(sitk.Resample(means, coarse, sitk.Transform(), sitk.sitkLinear, 0.0))


def _grid_around(labels: sitk.Image, size: float, margin_mm: float) -> sitk.Image:
    """Return the grid of the labels, larger by a factor about the brain's center and by a margin."""
    spacing, center = np.array(labels.GetSpacing()), center_of_brain(labels)
    first = np.array(labels.GetOrigin())
    last = first + spacing * (np.array(labels.GetSize()) - 1)
    low, high = center + size * (first - center) - margin_mm, center + size * (last - center) + margin_mm
    grid = sitk.Image((np.ceil((high - low) / spacing).astype(int) + 1).tolist(), sitk.sitkUInt8)
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin(low.tolist())
    return grid


def _others(axis: int) -> tuple[int, ...]:
    return tuple({0, 1, 2} - {axis})
