"""Label maps are recognized by their voxels in every type and however small their objects, and no scan is one."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.pipeline.guess import is_surely_labels, looks_like_labels
from BSAFusionLib.resources import SAMPLE_DATA
from Testing.phantoms import labeled_head

size = (60, 64, 56)


def scattered(labels: list[int], sides: tuple[int, ...]) -> np.ndarray:
    """Return boxes of random places and sides, one for each label."""
    random = np.random.default_rng(0)
    voxels = np.zeros(size, np.int16)
    for label in labels:
        k, j, i = random.integers(4, 50, 3)
        depth, height, width = random.choice(sides, 3)
        voxels[k : k + depth, j : j + height, i : i + width] = label
    return voxels


def radius() -> np.ndarray:
    """Return the distance from the middle, 1 at the faces of the volume."""
    axes = [np.linspace(-1, 1, count) for count in size]
    return np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))


def parcels() -> np.ndarray:
    """Return 200 parcels of a ribbon three voxels thick, with codes as FreeSurfer's."""
    random = np.random.default_rng(0)
    seeds = random.uniform(-1, 1, (200, 3))
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, count) for count in size], indexing="ij"), -1)
    nearest = np.empty(size, int)
    for plane, where in zip(nearest, points, strict=True):
        plane[:] = ((where[..., None, :] - seeds) ** 2).sum(-1).argmin(-1)
    codes = 1000 + random.permutation(1500)[:200]
    return np.where(np.abs(radius() - 0.8) < 0.05, codes[nearest], 0)


label_maps = {
    "mask of lesions": scattered([1] * 40, (1, 2)),
    "mask of single voxels": scattered([255] * 40, (1,)),
    "shell": (np.abs(radius() - 0.8) < 0.02).astype(np.uint8),
    "numbered lesions": scattered(list(range(1, 40)), (2, 3)),
    "numbered contacts": scattered(list(range(1, 30)), (1,)),
    "three tissues around each other": np.digitize(-radius(), [-0.8, -0.6, -0.3]),
    "parcels": parcels(),
}


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("name", label_maps)
def test_labels_look_like_labels_in_every_type(name: str, kind: type) -> None:
    assert looks_like_labels(label_maps[name].astype(kind))


@pytest.mark.parametrize("step", [1, 2])
def test_a_head_of_tissues_is_a_label_map(step: int) -> None:
    voxels = sitk.GetArrayFromImage(labeled_head())[::step, ::step, ::step]
    assert looks_like_labels(voxels)
    assert looks_like_labels(voxels[10:-10, 10:-10, 10:-10])  # without most of the background


def scan(name: str) -> np.ndarray:
    """Return a sample volume from 0 to 1."""
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(SAMPLE_DATA / name))).astype(np.float64)
    return np.clip(voxels / np.quantile(voxels, 0.999), 0, 1)


def of_levels(name: str, levels: int) -> np.ndarray:
    return np.rint(scan(name) * levels).astype(np.int16)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize("levels", [8, 13, 25, 60, 255, 4000])
@pytest.mark.parametrize("name", ["mri_t1.nii.gz", "pet_fdg.nii.gz"])
def test_a_scan_is_no_label_map_also_masked_or_thresholded(name: str, levels: int, kind: type) -> None:
    voxels = of_levels(name, levels).astype(kind)
    assert not looks_like_labels(voxels)
    assert not looks_like_labels(16 * voxels)
    assert not looks_like_labels(np.where(scan(name) > 0.15, voxels, 0))
    assert not looks_like_labels(np.where(scan(name) > 0.4, voxels, 0))


@pytest.mark.parametrize("counts", [0.3, 1, 3, 10, 100])
def test_a_spect_of_low_counts_is_no_label_map(counts: float) -> None:
    head = scan("pet_fdg.nii.gz") * counts
    measured = np.random.default_rng(0).poisson(head)
    assert not looks_like_labels(measured)
    assert not looks_like_labels(np.where(head > 0.2 * counts, measured, 0))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(measured * 1.0), 1.5))
    assert not looks_like_labels(np.rint(smooth * 12 / smooth.max()).astype(np.int16))


@pytest.mark.parametrize("window", [(-100, 300), (0, 80), (-1000, 1000)])
def test_a_windowed_ct_is_no_label_map(window: tuple[int, int]) -> None:
    """Of which most voxels outside the background may be clipped."""
    tissue = np.select([radius() < 0.7, radius() < 0.8, radius() < 0.9], [35.0, 900.0, 40.0], -1000.0)
    noisy = tissue + np.random.default_rng(0).normal(0, 8, size)
    low, high = window
    gray = np.rint(np.clip((noisy - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    assert not looks_like_labels(gray)
    assert not looks_like_labels(np.where(noisy > 300, noisy, 0).astype(np.int16))


def test_the_hottest_part_of_a_pet_is_no_label_map() -> None:
    """It fills as little of the volume as small labels do."""
    voxels = of_levels("pet_fdg.nii.gz", 30000)
    hottest = np.where(voxels >= np.quantile(voxels, 0.9985), voxels, 0)
    assert 0 < (hottest > 0).mean() < 0.002
    assert not looks_like_labels(hottest)


@pytest.mark.parametrize(
    "voxels", [np.zeros(size), np.full(size, np.nan), scan("pet_fdg.nii.gz"), np.zeros((*size, 3))]
)
def test_one_value_fractions_and_colors_are_no_labels(voxels: np.ndarray) -> None:
    assert not looks_like_labels(voxels)


def test_labels_in_a_background_that_is_not_finite_are_labels() -> None:
    labels = sitk.GetArrayFromImage(labeled_head()).astype(np.float32)
    labels[labels == 0] = np.nan
    assert looks_like_labels(labels)


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
def test_labels_are_sure_in_every_type_and_shades_are_not(kind: type) -> None:
    fine = np.kron(sitk.GetArrayFromImage(labeled_head()), np.ones((2, 2, 2), np.uint8))
    assert is_surely_labels(fine.astype(kind))
    assert not is_surely_labels(of_levels("pet_fdg.nii.gz", 60).astype(kind))
