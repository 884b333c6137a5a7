"""A result is doubtful where a figure, or four together, lie beyond what right results reach; the reason says so."""

from dataclasses import replace
from pathlib import Path

import pytest

from BSAFusionLib.pipeline.doubt import LIMITS, SecondOpinion, judge

guide = Path(__file__).resolve().parents[2] / "Documentation" / "user-guide.md"
agreed = SecondOpinion(
    fixed_head=True,
    moving_head=True,
    pose_gap_mm=5.0,
    pose_gap_deg=4.0,
    estimated_mm=2.3,
    overlap=0.98,
    information=0.8,
    information_placed=0.3,
    information_random=0.2,
    information_nearby=0.59,
)
undecided = replace(agreed, estimated_mm=3.5, information=0.6, information_nearby=0.53)
"""The evidence besides the heads' own poses speaks neither clearly for nor clearly against it."""
lost = {"moving_head": False, "pose_gap_mm": None, "pose_gap_deg": None}
far = {"pose_gap_mm": 33.0, "pose_gap_deg": 41.0}


def test_nothing_is_said_of_a_result_that_all_evidence_agrees_with():
    assert judge(agreed) == (False, (), ())


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"fixed_head": False}, "No head was found in the fixed volume"),
        ({"moving_head": False}, "No head was found in the moving volume"),
        ({"fixed_head": False, "moving_head": False}, "No head was found in either volume"),
        ({"pose_gap_mm": LIMITS.pose_gap_mm + 30}, "differs by 42 mm and 4 degrees"),
        ({"pose_gap_deg": 170.0}, "differs by 5 mm and 170 degrees"),
        ({"overlap": 0.11}, "Only 11 % of the smaller head"),
        (
            {"estimated_mm": 6.5, "pose_gap_mm": 9.0, "information_nearby": 0.65},
            "it is 9 mm from the heads' own poses, the network estimates that the slices are still 6.5 mm apart",
        ),
        (
            {"information": 0.22, "information_placed": 0.1, "information_nearby": 0.2},
            "the volumes are 1.1 times as similar as in random poses and 1.1 times as similar as in nearby ones",
        ),
        ({"information_placed": 0.9, "pose_gap_mm": 9.0}, "less similar than before registration"),
    ],
)
def test_each_figure_beyond_its_limit_is_a_reason_of_its_own(figures, said):
    doubt = judge(replace(undecided, **figures))
    assert doubt.doubtful
    assert [reason for reason in doubt.reasons if said in reason] == list(doubt.reasons)
    assert all(reason.endswith(".") for reason in doubt.reasons)


@pytest.mark.parametrize("figures", [lost, far])
def test_poses_that_are_lost_or_wrong_do_not_outweigh_evidence_that_is_clearly_for_a_result(figures):
    assert not judge(replace(agreed, **figures)).doubtful
    assert judge(replace(undecided, **figures)).doubtful


@pytest.mark.parametrize("missing", ["estimated_mm", "information_nearby"])
def test_without_the_other_evidence_the_poses_decide_alone(missing):
    assert not judge(replace(agreed, **{missing: None})).doubtful
    for figures in (lost, far):
        assert judge(replace(agreed, **{missing: None}, **figures)).doubtful


def test_two_volumes_without_a_head_are_doubtful_however_well_they_match():
    (reason,) = judge(replace(agreed, fixed_head=False, **lost)).reasons
    assert reason.startswith("No head was found in either volume")


@pytest.mark.parametrize("figures", [{"pose_gap_mm": LIMITS.far_mm + 1}, {"pose_gap_deg": LIMITS.far_deg + 1}])
def test_a_result_far_from_the_poses_is_doubtful_however_clear_the_rest(figures):
    (reason,) = judge(replace(agreed, **figures)).reasons
    assert "from where the head was found" in reason


def test_undecided_evidence_is_no_reason_where_the_poses_agree():
    assert not judge(undecided).doubtful


@pytest.mark.parametrize(
    "figures", [{"estimated_mm": 5.0}, {"information": 0.35, "information_nearby": 0.26}, {"pose_gap_mm": 10.0}]
)
def test_one_unusual_figure_alone_is_no_reason(figures):
    assert not judge(replace(agreed, **figures)).doubtful


def test_poses_that_agree_do_not_outweigh_all_the_rest():
    assert judge(replace(agreed, pose_gap_mm=2.0, estimated_mm=5.0, information=0.25, information_nearby=0.24)).doubtful


def test_heads_that_lie_on_each_other_may_be_less_similar_than_as_placed():
    assert not judge(replace(agreed, information_placed=0.9, pose_gap_mm=LIMITS.close_mm)).doubtful


def test_the_guide_names_the_limits_in_use():
    section = guide.read_text(encoding="utf-8").split("### Doubtful results")[1].split("## Troubleshooting")[0]
    for limit in (
        f"over {LIMITS.pose_gap_mm:g} mm or {LIMITS.pose_gap_deg:g} degrees",
        f"within {LIMITS.far_mm:g} mm and {LIMITS.far_deg:g} degrees",
        f"less than {100 * LIMITS.overlap:g} % of the smaller head",
        f"less than {LIMITS.gain:g} times",
        f"within {LIMITS.close_mm:g} mm",
        f"over {LIMITS.mirror_share:g} times",
    ):
        assert limit in section


def test_without_a_head_the_missing_pose_is_no_reason_beside_that():
    doubt = judge(replace(undecided, **lost))
    assert len(doubt.reasons) == 1


@pytest.mark.parametrize(("axis", "how"), [("z", "front to back"), ("y", "top to bottom"), ("other", "mirrored")])
def test_a_mirrored_image_is_doubtful_and_said(axis, how):
    doubt = judge(replace(agreed, moving_turned=axis, mirror_share=1.2))
    assert doubt.doubtful
    (reason,) = doubt.reasons
    assert "The head in the moving volume lies turned" in reason
    assert how in reason
    assert "left and right of the result are exchanged" in reason


def test_a_turned_image_is_said_but_not_doubtful():
    doubt = judge(replace(agreed, moving_turned="z", mirror_share=0.9))
    expected = (
        "The head in the moving volume lies turned by about 180 degrees about its head-foot axis against what its "
    )
    assert doubt == (False, (), (expected + "file says.",))


def test_where_turned_and_mirrored_cannot_be_told_apart_both_are_said():
    doubt = judge(replace(agreed, fixed_turned="y", mirror_share=1.0))
    assert not doubt.doubtful
    (remark,) = doubt.remarks
    assert "The head in the fixed volume lies turned by about 180 degrees about its front-back axis" in remark
    assert "if the image is mirrored top to bottom, left and right of the result are exchanged" in remark
