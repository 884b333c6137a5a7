"""The anatomy: labels are checked, continued by a neck, changed in shape, size and age, and given lesions."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionResearch.simulation import heads, tissues
from BSAFusionResearch.simulation.anatomy import Anatomy, brain_of, build_anatomy
from BSAFusionResearch.simulation.settings import PatientSettings

FLUID_CODES = (14, 15)


def built(head: sitk.Image, **choices: object) -> Anatomy:
    return build_anatomy(head, PatientSettings(**choices))


def codes_of(anatomy: Anatomy) -> np.ndarray:
    return sitk.GetArrayFromImage(anatomy.head.labels)  # a copy: tests pass anatomies that nothing else holds


def milliliters(anatomy: Anatomy, *codes: int) -> float:
    return float(np.isin(codes_of(anatomy), codes).sum() * np.prod(anatomy.head.labels.GetSpacing()) / 1000)


def test_the_table_of_tissues_has_the_codes_of_the_label_files() -> None:
    names = [tissue.name for tissue in tissues.TISSUES]
    assert len(set(names)) == len(names)
    for code, name in (
        (2, "cerebral cortex"),
        (13, "brain stem"),
        (22, "fat and muscle"),
        (27, "marrow"),
        (42, "gland"),
    ):
        assert names[code] == name
    assert tissues.values_of("ct")[26] == 950 and tissues.values_of("fdg")[1] == 0.27
    assert (*range(1, 15), 16) == tissues.BRAIN_CODES


def test_no_head_is_in_two_of_the_sets() -> None:
    every = (*heads.TRAINING_HEADS, *heads.CHOOSING_HEADS, *heads.REPORTED_HEADS)
    assert sorted(every) == [f"{number:02d}" for number in range(1, 16)]


def test_the_files_of_a_set_are_those_of_the_folder(shared: Path) -> None:
    files = heads.head_files(shared / "data" / "heads", heads.REPORTED_HEADS)
    assert [path.name for path in files] == ["13.nii.gz", "14.nii.gz", "15.nii.gz"]
    with pytest.raises(FusionError, match=r"11\.nii\.gz"):
        heads.head_files(shared / "data", heads.CHOOSING_HEADS)


def test_a_real_head_is_read_and_keeps_its_brain(shared: Path) -> None:
    head = heads.read_head(shared / "data" / "heads" / "13.nii.gz")[::3, ::3, ::3]
    anatomy = built(head)
    assert (codes_of(anatomy) == 2).sum() == (sitk.GetArrayViewFromImage(head) == 2).sum()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda head: head + 30, "not tissue codes"),
        (lambda head: sitk.Cast(head, sitk.sitkFloat32) + 0.5, "not tissue codes"),
        (lambda head: head * 0, "no brain"),
        (lambda head: head[:, :, 5], "three dimensions"),
    ],
)
def test_what_is_no_labeled_head_is_rejected(head: sitk.Image, change, said: str) -> None:
    with pytest.raises(FusionError, match=said):
        built(change(head))


def test_a_head_on_an_oblique_grid_is_rejected_and_a_turned_one_set_upright(head: sitk.Image) -> None:
    oblique = sitk.Image(head)
    turn = sitk.VersorTransform((0, 0, 1), 0.2).GetMatrix()
    oblique.SetDirection(turn)
    with pytest.raises(FusionError, match="oblique"):
        built(oblique)
    assert milliliters(built(sitk.DICOMOrient(head, "PIR")), 2) == pytest.approx(milliliters(built(head), 2))


def test_a_neck_continues_the_head_without_a_gap(head: sitk.Image) -> None:
    anatomy = built(head)
    body = codes_of(anatomy) > 0
    heights = anatomy.head.labels.GetOrigin()[2] + 3 * np.arange(len(body))
    area = body.sum(axis=(1, 2)) * 9
    assert heights[0] < anatomy.cut_mm - 50
    assert (area[(heights < anatomy.cut_mm + 10)] > 6000).all()  # mm2
    assert 25 in codes_of(anatomy)[0]  # the cord goes on


def test_specks_beside_the_head_are_removed(head: sitk.Image) -> None:
    values = sitk.GetArrayFromImage(head)
    values[-1, 0, 0] = 24
    speckled = sitk.GetImageFromArray(values)
    speckled.CopyInformation(head)
    assert np.array_equal(codes_of(built(speckled)), codes_of(built(head)))


def test_atrophy_turns_brain_into_fluid_and_leaves_the_skull(head: sitk.Image) -> None:
    young, old = built(head), built(head, atrophy_mm=4)
    assert milliliters(old, *FLUID_CODES) > 1.15 * milliliters(young, *FLUID_CODES)
    assert milliliters(old, 1, 2, 4) < 0.95 * milliliters(young, 1, 2, 4)
    assert milliliters(old, 26) == pytest.approx(milliliters(young, 26), rel=0.01)


@pytest.mark.parametrize("size", [0.88, 1.14])
def test_a_factor_of_size_is_one_of_volume_cubed(head: sitk.Image, size: float) -> None:
    assert milliliters(built(head, size=size), 1, 2) == pytest.approx(
        size**3 * milliliters(built(head), 1, 2), rel=0.02
    )


def test_a_warp_changes_the_shape_and_keeps_every_structure(head: sitk.Image) -> None:
    plain, warped = built(head), built(head, shape_mm=15, seed=4)
    assert set(np.unique(codes_of(warped))) == set(np.unique(codes_of(plain)))
    assert milliliters(warped, 2) == pytest.approx(milliliters(plain, 2), rel=0.3)
    wide = [np.ptp(np.flatnonzero(np.isin(codes_of(anatomy), (1, 2)).any(axis=(0, 1)))) for anatomy in (plain, warped)]
    assert wide[0] != wide[1]


def test_a_tumor_has_a_core_a_rim_and_edema_and_pushes_the_brain(head: sitk.Image) -> None:
    plain, ill = built(head, seed=1), built(head, seed=1, lesion="tumor")
    rim, core, edema = (milliliters(ill, tissues.CODES[name]) for name in ("tumor", "necrosis", "edema"))
    assert min(rim, core, edema) > 0.5
    assert milliliters(ill, 26) == pytest.approx(milliliters(plain, 26), rel=0.01)
    # What was pushed aside makes room: less healthy brain is lost than the tumor takes.
    lost = milliliters(plain, *tissues.BRAIN_CODES) - milliliters(ill, *tissues.BRAIN_CODES)
    assert lost < rim + core + edema
    assert brain_of(ill.head.labels).sum() > 0.95 * brain_of(plain.head.labels).sum()


def test_an_old_infarct_is_fluid_within_gliosis(head: sitk.Image) -> None:
    ill = built(head, seed=2, lesion="infarct")
    assert milliliters(ill, tissues.CODES["infarct"]) > 2
    assert milliliters(ill, tissues.CODES["gliosis"]) > 1


@pytest.mark.parametrize("seed", range(4))
def test_a_craniotomy_opens_the_skull_and_leaves_a_cavity(head: sitk.Image, seed: int) -> None:
    plain, ill = built(head, seed=seed), built(head, seed=seed, lesion="craniotomy")
    assert milliliters(ill, 26, 27) < milliliters(plain, 26, 27) - 1
    assert milliliters(ill, tissues.CODES["scar"]) > 1
    assert milliliters(ill, *tissues.BRAIN_CODES) < milliliters(plain, *tissues.BRAIN_CODES) - 1


def test_fat_and_muscle_are_mixed_in_patches_the_same_for_both_scans(head: sitk.Image) -> None:
    part = built(head, seed=3).head
    soft = codes_of(built(head, seed=3)) == 22
    assert 0.2 < part.fat[soft].mean() < 0.9
    assert ((part.fat[soft] < 0.1) | (part.fat[soft] > 0.9)).mean() > 0.5
    ct, t1 = (part.values(np.array(tissues.values_of(column)))[soft] for column in ("ct", "t1"))
    assert np.corrcoef(ct, t1)[0, 1] == pytest.approx(-1)  # fat is dark in CT, bright in T1
