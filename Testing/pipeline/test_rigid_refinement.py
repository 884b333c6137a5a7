"""Fine voxels refine what the search on coarse ones has found."""

import gc
import weakref
from threading import Event

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.rigid import prealign_rigidly
from BSAFusionLib.pipeline.rigid_refinement import refine_finely
from BSAFusionLib.pipeline.rigid_search import Level, Optimizer
from Testing.phantoms import MIDDLE_MM, centered_grid, make_head
from Testing.pipeline.test_prealignment import seen


@pytest.fixture(scope="module")
def mri():
    return seen(make_head(centered_grid((96, 112, 88), (2.0, 2.0, 2.0), np.eye(3)), "mri"), "mri")


@pytest.fixture(scope="module")
def pet():
    return seen(make_head(centered_grid((80, 88, 70), (2.4, 2.4, 2.6), np.eye(3)), "pet"), "pet")


def apart(turn_deg: float, shift_mm: float) -> sitk.Euler3DTransform:
    """Return a motion about the head's middle; none is right for the phantoms, which lie on each other."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(np.asarray(MIDDLE_MM, float).tolist())
    transform.SetRotation(*np.radians([turn_deg, -turn_deg, turn_deg]).tolist())
    transform.SetTranslation([shift_mm, -shift_mm, shift_mm])
    return transform


def test_a_transform_that_is_nearly_right_becomes_right(mri, pet):
    nearly = apart(turn_deg=0.4, shift_mm=0.4)
    inside, truth = head_mask(mri), sitk.Euler3DTransform()
    assert error_mm(nearly, truth, inside) > 0.6
    assert error_mm(refine_finely(mri, pet, nearly), truth, inside) < 0.15


def test_coarse_voxels_are_left_as_the_search_found_them(mri, pet):
    nearly = apart(turn_deg=0.4, shift_mm=0.4)
    assert refine_finely(sitk.BinShrink(mri, [2, 2, 2]), pet, nearly) is nearly


def test_what_leaves_its_optimum_is_not_taken(mri, pet):
    far = apart(turn_deg=2.0, shift_mm=3.0)
    assert refine_finely(mri, pet, far) is far


def test_volumes_that_do_not_overlap_keep_their_transform(mri, pet):
    away = apart(turn_deg=0.0, shift_mm=1000.0)
    assert refine_finely(mri, pet, away) is away


def test_it_can_be_cancelled(mri, pet):
    with pytest.raises(Cancelled):
        refine_finely(mri, pet, apart(turn_deg=0.4, shift_mm=0.4), cancelled=lambda: True)


@pytest.fixture
def threads():
    """Set the number of ITK's threads for the time of a test."""
    usual = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    yield sitk.ProcessObject.SetGlobalDefaultNumberOfThreads
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(usual)


def test_one_thread_and_two_give_the_same_transform(mri, pet, threads):
    results = []
    for count in (1, 2):
        threads(count)
        results.append(prealign_rigidly(mri, pet, from_heads=apart(turn_deg=2.0, shift_mm=3.0)).GetParameters())
    assert np.allclose(*results, atol=1e-9)
    assert not np.allclose(results[0], apart(turn_deg=2.0, shift_mm=3.0).GetParameters(), atol=0.1)


def test_threads_that_share_an_image_do_not_ask_for_its_array(mri, pet, monkeypatch):
    """SimpleITK may move the voxels of a shared image for that, while another thread reads them."""
    optimizer = Optimizer.at_level(mri, pet, Level(4.0, 2.0, 1), Event())
    inside = int(sitk.GetArrayViewFromImage(optimizer._mask).sum())
    monkeypatch.setattr(Optimizer, "samples", inside // 2)
    for name in ("GetArrayViewFromImage", "GetArrayFromImage"):
        monkeypatch.setattr(sitk, name, None)
    value, _ = optimizer.refine(apart(turn_deg=0.4, shift_mm=0.4))
    assert np.isfinite(value)


def test_a_refinement_keeps_no_volume(mri, pet):
    optimizer = Optimizer.at_level(mri, pet, Level(8.0, 2.0, 1), Event())
    kept = weakref.ref(optimizer)
    optimizer.refine(apart(turn_deg=0.4, shift_mm=0.4))
    del optimizer
    gc.collect()
    assert kept() is None
