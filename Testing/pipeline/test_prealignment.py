"""Rigid registration aligns volumes that lie up to 15 degrees and 20 mm apart."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.pipeline.head_start import start_from_heads
from BSAFusionLib.pipeline.intensities import head_mask, measure_intensities
from BSAFusionLib.pipeline.rigid import crop_near, prealign_rigidly
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


turned_half = sitk.VersorRigid3DTransform((0.0, 0.0, 1.0), np.pi)
turned_half.SetCenter((0.0, -17.0, 18.0))
wild = {
    "header turned by 180 degrees": ("02-header-turned/pet_turned180.nii.gz", "pet", turned_half),
    "to the chest": ("03-ct-head-neck-chest/cta_aligned.nii.gz", "ct", sitk.Euler3DTransform()),
    "whole body": ("04-pet-whole-body/fdg_aligned.nii.gz", "pet", sitk.Euler3DTransform()),
    "hot glands": ("07-hot-glands/pet_hot_region.nii.gz", "pet", "06-mri-bright-at-the-back/truth.tfm"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", wild)
def test_the_head_is_found_wherever_it_is(name, shared):
    """Each takes two searches for a head and a climb on templates: some seconds, which no smaller volume shows."""
    path, modality, truth = wild[name]
    fixed = sitk.ReadImage(str(shared / "data/volumes/mri_t1.nii.gz"))
    moving = sitk.ReadImage(str(shared / "wild" / path))
    truth = sitk.ReadTransform(str(shared / "wild" / truth)) if isinstance(truth, str) else truth
    heads = start_from_heads(fixed, moving)
    assert heads.fixed.found and heads.moving.found
    found = prealign_rigidly(seen(fixed, "mri"), seen(moving, modality), from_heads=heads.transform)
    assert error_mm(found, truth, head_mask(fixed)) < 3.0  # of which the templates' own offset is 2 mm


@pytest.mark.slow
def test_an_mri_bright_at_the_back_does_not_lead_astray(shared):
    folder = shared / "wild" / "06-mri-bright-at-the-back"
    fixed, moving = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("mri_bias3", "pet_moved"))
    heads = start_from_heads(fixed, moving)
    found = prealign_rigidly(seen(fixed, "mri"), seen(moving, "pet"), from_heads=heads.transform)
    inside = head_mask(sitk.ReadImage(str(shared / "data/volumes/mri_t1.nii.gz"), sitk.sitkFloat32))
    assert error_mm(found, sitk.ReadTransform(str(folder / "truth.tfm")), inside) < 3.0


def test_a_placement_that_is_right_stays_where_mutual_information_is_blind(mri, pet):
    """The moving volume holds the head where it belongs, and half a meter of something else below it."""
    values = sitk.GetArrayFromImage(pet)
    below = np.random.default_rng(0).uniform(0, values.max(), (3 * len(values), *values.shape[1:]))
    tall = sitk.GetImageFromArray(np.concatenate([below.astype(values.dtype), values]))
    tall.SetSpacing(pet.GetSpacing())
    tall.SetDirection(pet.GetDirection())
    tall.SetOrigin(pet.TransformContinuousIndexToPhysicalPoint([0, 0, -3.0 * len(values)]))
    found = prealign_rigidly(seen(mri, "mri"), seen(tall, "pet"))
    assert error_mm(found, sitk.Euler3DTransform(), head_mask(mri)) < 5.0


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


@pytest.mark.slow
def test_noise_stays_where_it_is_placed(mri):
    """Mutual information alone would lay an edge of the noise along the head's outline, far from there.

    It takes the search of volumes without a head, which is the slow one.
    """
    noise = sitk.GetImageFromArray(np.random.default_rng(0).uniform(0, 1, mri.GetSize()[::-1]).astype(np.float32))
    noise.SetSpacing(mri.GetSpacing())
    noise.SetDirection(mri.GetDirection())
    noise.SetOrigin(np.add(mri.GetOrigin(), [9.0, -14.0, 6.0]).tolist())
    found = prealign_rigidly(seen(mri, "mri"), noise)
    assert error_mm(found, sitk.Euler3DTransform(), head_mask(mri)) < 1.0


def test_of_a_long_field_of_view_only_what_the_search_can_reach_is_kept(mri, pet):
    motion = KnownMotion(seed=3, degrees=8.0, mm=10.0, elastic_mm=0.0).rigid(mri)
    near = sitk.Euler3DTransform()
    near.SetCenter(motion.GetCenter())
    near.SetMatrix(motion.GetMatrix())
    near.SetTranslation(motion.GetTranslation())
    long = sitk.ConstantPad(pet, [0, 0, 120], [0, 0, 0], 0.0)
    part = crop_near(long, mri, near)
    assert part.GetSize()[2] < pet.GetSize()[2] + 60
    everything = sitk.Resample(long, mri, near, sitk.sitkLinear, 0.0)
    assert np.array_equal(
        sitk.GetArrayFromImage(sitk.Resample(part, mri, near, sitk.sitkLinear, 0.0)),
        sitk.GetArrayFromImage(everything),
    )
