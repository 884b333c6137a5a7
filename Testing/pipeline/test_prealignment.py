"""Rigid registration aligns volumes that lie up to 15 degrees and 20 mm apart."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.pipeline.intensities import head_mask, measure_intensities
from BSAFusionLib.pipeline.rigid import prealign_rigidly
from BSAFusionResearch.evaluation.known_motion import KnownMotion


def seen(image: sitk.Image, modality: str) -> sitk.Image:
    return measure_intensities(image, modality)[0].luminance(image)


@pytest.mark.parametrize("modality", ["pet", "ct"])
def test_a_phantom_that_moved_rigidly_is_found_again(modality, mri, ct, pet):
    motion = KnownMotion(seed=3, degrees=15.0, mm=20.0, elastic_mm=0.0)
    moved = motion.move({"pet": pet, "ct": ct}[modality], mri)
    found = prealign_rigidly(seen(mri, "mri"), seen(moved, modality))
    assert error_mm(found, motion.transform(mri), head_mask(mri)) < 1.5


def test_half_a_head_is_found_in_the_whole_one(mri, pet):
    motion = KnownMotion(seed=5, degrees=8.0, mm=10.0, elastic_mm=0.0)
    upper_half = motion.move(pet, mri)[:, :, 18:]
    found = prealign_rigidly(seen(mri, "mri"), seen(upper_half, "pet"))
    assert error_mm(found, motion.transform(mri), head_mask(mri)) < 3.0


@pytest.mark.parametrize(("modality", "seed"), [("pet", 0), ("ct", 1)])
def test_real_templates_come_within_3_and_a_half_mm(modality, seed, shared):
    folder = shared / "data/volumes"
    fixed = sitk.ReadImage(str(folder / "mri_t1.nii.gz"))
    motion = KnownMotion(seed, degrees=15.0, mm=20.0, elastic_mm=6.0)
    moved = motion.move(sitk.ReadImage(str(folder / f"{modality}.nii.gz")), fixed)
    found = prealign_rigidly(seen(fixed, "mri"), seen(moved, modality))
    assert error_mm(found, motion.transform(fixed), head_mask(fixed)) < 3.5


def test_the_same_volumes_give_the_same_transform(mri, pet):
    first, second = (prealign_rigidly(seen(mri, "mri"), seen(pet, "pet")).GetParameters() for _ in range(2))
    assert np.allclose(first, second, atol=1e-9)


def test_it_stops_soon_after_it_is_asked_to(mri, pet):
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 10

    with pytest.raises(Cancelled):
        prealign_rigidly(seen(mri, "mri"), seen(pet, "pet"), cancelled=cancelled)
    assert len(asked) < 20
