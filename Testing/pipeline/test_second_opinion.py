"""The evidence of the second opinion is right on volumes and motions that are known."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.head_pose.search import HeadPose, rigid_between
from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline.doubt import judge
from BSAFusionLib.pipeline.handedness import SPACING_MM, mirror_share, settle, turned_axis
from BSAFusionLib.pipeline.head_start import HeadStart, start_from_heads
from BSAFusionLib.pipeline.network_input import NetworkInput, make_network_input
from BSAFusionLib.pipeline.pair_comparison import PairComparison
from BSAFusionLib.pipeline.second_opinion import estimated_length, measure_opinion, pose_gap
from BSAFusionLib.settings import Settings
from BSAFusionResearch.wild.sources import with_ramp

CENTER = np.array((12.0, -20.0, 30.0))  # of the phantoms, mm, LPS
IDENTITY = sitk.Transform(3, sitk.sitkIdentity)


def pose(rotation: np.ndarray | None = None, center: np.ndarray = CENTER) -> HeadPose:
    return HeadPose(np.eye(3) if rotation is None else rotation, center, 1.0, 1200.0, 2.0, 4.0, turns=1, found=True)


def about(axis: tuple[float, float, float], degrees: float) -> sitk.VersorRigid3DTransform:
    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter(CENTER.tolist())
    transform.SetRotation(axis, float(np.radians(degrees)))
    return transform


def matrix(transform: sitk.VersorRigid3DTransform) -> np.ndarray:
    return np.array(transform.GetMatrix()).reshape(3, 3)


@pytest.fixture(scope="module")
def volumes(mri, pet) -> NetworkInput:
    return make_network_input(mri, pet, Settings("pet"), 64)[0]


@pytest.fixture(scope="module")
def pair(volumes) -> PairComparison:
    return PairComparison(volumes)


def test_the_gap_to_the_poses_is_that_of_the_motion(pair):
    shift = np.array((6.0, -3.0, 2.0))
    heads = HeadStart(rigid_between(pose(), pose(center=CENTER + shift)), pose(), pose(center=CENTER + shift))
    assert pose_gap(heads, sitk.TranslationTransform(3, shift.tolist())) == pytest.approx((0, 0), abs=1e-4)
    assert pose_gap(heads, IDENTITY) == pytest.approx((7, 0), abs=1e-4)
    gap_mm, gap_deg = pose_gap(heads, sitk.CompositeTransform([heads.transform, about((0, 0, 1), 90.0)]))
    assert gap_deg == pytest.approx(90, abs=1e-3)
    assert gap_mm == pytest.approx(60 * np.sqrt(2) * 4 / 7, abs=1e-3)  # of seven points, three lie on the axis


def test_without_a_head_there_is_no_gap(pair):
    assert pose_gap(HeadStart(None, pose(), pose()), IDENTITY) == (None, None)


def test_a_right_result_is_more_similar_than_random_poses_and_a_wrong_one_is_not(pair):
    thrown_off = sitk.TranslationTransform(3, (70.0, 0.0, 0.0))
    ratio = [pair.information(move) / pair.random_information(move) for move in (IDENTITY, thrown_off)]
    assert ratio[0] > 2 * ratio[1]


def test_a_right_result_is_more_similar_than_its_neighbors_and_a_wrong_one_is_not(pair):
    thrown_off = sitk.TranslationTransform(3, (40.0, 0.0, 0.0))
    ratio = [pair.information(move) / pair.nearby_information(move) for move in (IDENTITY, thrown_off)]
    assert ratio[0] > 1.15
    assert ratio[1] < 1.0


@pytest.mark.parametrize("inverted", ["fixed", "moving", "both"])
def test_heads_darker_than_the_air_are_compared_as_bright_ones_are(volumes, pair, inverted):
    fixed, moving = (
        1.0 - image if inverted in (name, "both") else image
        for name, image in zip(("fixed", "moving"), volumes, strict=True)
    )
    dark = PairComparison(NetworkInput(fixed, moving))
    shifted = sitk.TranslationTransform(3, (60.0, 0.0, 0.0))
    for move in (IDENTITY, shifted):
        assert dark.overlap(move) == pytest.approx(pair.overlap(move), abs=0.01)
    assert dark.information(IDENTITY) == pytest.approx(pair.information(IDENTITY), rel=0.02)


@pytest.mark.parametrize("toward", [(0.0, -1.0, 0.2), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)])
def test_a_coil_on_one_side_does_not_hide_what_both_show(volumes, pair, toward):
    bright = NetworkInput(with_ramp(volumes.fixed, 8.0, toward), volumes.moving)
    heads = HeadStart(rigid_between(pose(), pose()), pose(), pose())
    opinions = [measure_opinion(each, heads, IDENTITY, 1.0) for each in (pair, PairComparison(bright))]
    contrast = [opinion.information / opinion.information_random for opinion in opinions]
    assert contrast[1] == pytest.approx(contrast[0], rel=0.15)
    assert contrast[1] > 1.2 * PairComparison(bright).information(IDENTITY) / opinions[1].information_random
    assert judge(opinions[1]).reasons == judge(opinions[0]).reasons


@pytest.mark.parametrize("disturbed", ["noise in the air", "a hot spot"])
def test_neither_noise_nor_a_hot_spot_hides_the_head(volumes, disturbed):
    values = sitk.GetArrayFromImage(volumes.fixed)
    if disturbed == "noise in the air":
        values = np.hypot(values, np.random.default_rng(0).uniform(0.2, 0.5, values.shape).astype(np.float32))
        values[-values.shape[0] // 10 :] = 0.0  # outside of the field of view
    else:
        values = 0.1 * values
        values[: values.shape[0] // 5, ::2] = 1.0
    fixed = sitk.GetImageFromArray(values)
    fixed.CopyInformation(volumes.fixed)
    pairs = [PairComparison(NetworkInput(image, volumes.moving)) for image in (volumes.fixed, fixed)]
    shifted = sitk.TranslationTransform(3, (60.0, 0.0, 0.0))
    undisturbed, found = (pair.without_ramp(CENTER).overlap(shifted) for pair in pairs)
    assert found == pytest.approx(undisturbed, abs=0.1)


def test_heads_beside_each_other_do_not_overlap(pair):
    assert pair.overlap(IDENTITY) > 0.95
    assert pair.overlap(sitk.TranslationTransform(3, (60.0, 0.0, 0.0))) < 0.75
    assert pair.overlap(sitk.TranslationTransform(3, (900.0, 0.0, 0.0))) == 0
    assert pair.information(sitk.TranslationTransform(3, (900.0, 0.0, 0.0))) == 0


def test_what_the_network_estimated_counts_by_its_certainty():
    grid = sitk.Image(8, 8, 2, sitk.sitkUInt8)
    grid.SetSpacing((2.0, 2.0, 5.0))
    mean, precision = np.zeros((2, 2, 4, 4), np.float32), np.zeros((2, 3, 4, 4), np.float32)
    mean[0, 0], mean[1, 1] = 3.0, 1.0  # pixels, of 2 mm
    precision[0, :2], precision[1, :2] = 1.0, 3.0
    assert estimated_length([Evidence(grid, mean, precision)]) == pytest.approx((6 * 1 + 2 * 3) / 4)
    assert estimated_length([Evidence(grid, mean, 0 * precision)]) is None
    assert estimated_length([]) is None


def test_a_result_settles_where_nothing_nearby_is_more_similar(pair):
    off = sitk.TranslationTransform(3, (9.0, -6.0, 0.0))
    settled = settle(pair, off, CENTER)
    assert pair.information(settled) > 1.2 * pair.information(off)
    assert np.linalg.norm(np.array(settled.TransformPoint(CENTER.tolist())) - CENTER) < 3


def test_turns_are_named_by_their_axis():
    turns = {axis: matrix(about(vector, 170.0)) for axis, vector in zip("xyz", np.eye(3).tolist(), strict=True)}
    assert {axis: turned_axis(pose(turn)) for axis, turn in turns.items()} == {"x": "x", "y": "y", "z": "z"}
    assert turned_axis(pose(matrix(about((0, 0, 1), 95.0)))) == "other"
    assert turned_axis(pose(matrix(about((1, 1, 0), 40.0)))) == ""


@pytest.mark.parametrize("axis", [1, 2])
def test_a_mirrored_head_is_told_from_a_turned_one(mri, pet, axis):
    """The phantom has a spot on one side only."""
    values = sitk.GetArrayFromImage(pet)
    mirrored, turned = (np.flip(values, each) for each in (2 - axis, (2 - axis, 2)))
    half_turn = about((0.0, 0.0, 1.0) if axis == 1 else (0.0, 1.0, 0.0), 180.0)
    heads = HeadStart(rigid_between(pose(), pose(matrix(half_turn))), pose(), pose(matrix(half_turn)))
    shares = []
    for image in (mirrored, turned):
        moving = sitk.GetImageFromArray(np.ascontiguousarray(image))
        moving.CopyInformation(pet)
        volumes = make_network_input(mri, moving, Settings("pet"), 64)[0]
        shares.append(mirror_share(PairComparison(volumes, SPACING_MM), heads, half_turn))
    assert shares[0] > 1.01
    assert shares[1] < 0.99


def test_noise_on_a_real_head_is_doubtful_and_no_more_similar_than_in_random_poses(shared):
    """The search for a head looks at all turns: some seconds."""
    fixed = sitk.ReadImage(str(shared / "data/volumes/mri_t1.nii.gz"))
    noise = sitk.ReadImage(str(shared / "wild/12-nothing-in-common/noise.nii.gz"))
    volumes = make_network_input(fixed, noise, Settings("pet"), 256)[0]
    opinion = measure_opinion(PairComparison(volumes), start_from_heads(fixed, noise), IDENTITY, None)
    (reason,) = judge(opinion).reasons
    assert reason.startswith("No head was found in the moving volume")
    assert opinion.information < 1.5 * opinion.information_random


def test_heads_overlap_though_an_organ_below_is_larger_and_brighter(volumes):
    long = sitk.ConstantPad(volumes.moving, [0, 0, 60], [0, 0, 0], 0.0)
    values = sitk.GetArrayFromImage(long)
    values[:50] = 1.0
    body = sitk.GetImageFromArray(values)
    body.CopyInformation(long)
    with_organ, without = (PairComparison(NetworkInput(volumes.fixed, image)) for image in (body, long))
    assert with_organ.overlap(IDENTITY) == pytest.approx(without.overlap(IDENTITY), abs=0.01)
    assert with_organ.overlap(IDENTITY) > 0.5
