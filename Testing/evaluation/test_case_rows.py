"""The rows of cases are summarized, and there and back is measured on points of the head."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionResearch.evaluation.case_rows import in_voxels, points_in
from BSAFusionResearch.evaluation.case_summary import by_level, harm, harmed, side_by_side, summary, verdicts


def row(number: int, prealigned: float, after: float, information: tuple[float, float], **others) -> dict:
    return {
        "number": number,
        "modality": "pet",
        "slice_axis": "k",
        "degrees": 2.0,
        "elastic_mm": 3.0,
        "sampling": "as is",
        "error_mm": {"before": 9.0, "prealigned": prealigned, "undamped": after, "after": after},
        "motion_error_mm": {"prealigned": prealigned - 1, "undamped": after - 1.15, "after": after - 1.15},
        "smallest_jacobian": 0.5,
        "inverse_error_voxels": 0.01,
        "seconds": 10.0,
        "cpu_seconds": 8.0,
        "report": {
            **dict(zip(("mutual_information_prealigned", "mutual_information_after"), information, strict=True)),
            "verdict": {"kept": 1.0, "slices_damped": 0.0},
        },
        **others,
    }


@pytest.fixture
def rows() -> list[dict]:
    """A case that got better, one a little worse, one worse, and one much worse."""
    return [
        row(0, 3.0, 2.0, (1.0, 1.2), modality="ct", smallest_jacobian=0.2),
        row(1, 2.0, 2.05, (1.0, 0.9), elastic_mm=10.0),
        row(2, 2.0, 2.2, (1.0, 1.1), elastic_mm=0.0, inverse_error_voxels=0.05),
        row(3, 2.0, 5.0, (1.0, 0.5), elastic_mm=0.0, seconds=30.0),
    ]


def test_harmed_is_what_ended_worse_by_more_than_a_tenth_of_a_millimetre(rows):
    assert [harm(each) for each in rows] == pytest.approx([-1.0, 0.05, 0.2, 3.0])
    assert [each["number"] for each in harmed(rows)] == [3, 2]
    assert [each["number"] for each in harmed(rows, "motion_error_mm")] == [3]


def test_rows_are_summed_up_for_every_level_of_what_varies(rows):
    groups = by_level(rows)
    assert list(groups)[:5] == ["all", "modality ct", "modality pet", "slice axis k", "degrees 2.0"]
    assert [each["number"] for each in groups["elastic mm 0.0"]] == [2, 3]
    whole = summary(groups["all"])
    assert (whole["cases"], whole["harmed"]) == (4, 2)
    assert (whole["prealigned"], whole["after"]) == pytest.approx((2.25, 2.8125))
    assert (whole["worst_harm"], whole["smallest_jacobian"], whole["inverse_error_voxels"]) == (3.0, 0.2, 0.05)
    assert whole["seconds"] == 15.0
    assert (whole["motion_prealigned"], whole["motion_after"]) == pytest.approx((1.25, 1.6625))
    assert (whole["motion_worst_harm"], whole["motion_harmed"]) == (pytest.approx(2.85), 1)


def test_what_was_decided_is_held_against_what_all_of_the_deformation_would_have_done(rows):
    rows[1]["report"]["verdict"] = {"kept": 1.0, "slices_damped": 10.0}
    rows[2]["report"]["verdict"] = {"kept": 0.0, "slices_damped": 100.0}
    rows[2]["error_mm"].update(undamped=2.2, after=2.0)
    rows[3]["error_mm"].update(undamped=9.0, after=5.0)
    counts = verdicts(rows)
    assert {truly: count["cases"] for truly, count in counts.items()} == {"better": 1, "same": 1, "worse": 2}
    assert counts["better"] == dict(cases=1, all=1, some=0, none=0, right=1, rose=1, fell=0)
    assert counts["same"] == dict(cases=1, all=0, some=1, none=0, right=1, rose=0, fell=1)
    assert counts["worse"] == dict(cases=2, all=1, some=0, none=1, right=1, rose=1, fell=1)
    assert verdicts(rows, "motion_error_mm")["worse"]["cases"] == 1


def test_methods_are_compared_on_the_cases_where_all_came_through(rows):
    good = {"error_mm": {"prealigned": 2.5, "after": 4.0}, "seconds": 20.0, "cpu_seconds": 19.0}
    rows[0]["baselines"] = {"ants_syn": good, "elastix_bspline": good}
    rows[1]["baselines"] = {"ants_syn": good, "elastix_bspline": {"gave_up": "elastix B-spline failed"}}
    methods = side_by_side(rows)
    assert [methods[name]["cases"] for name in ("ours", "ants_syn", "elastix_bspline")] == [1, 1, 1]
    assert [methods[name]["gave_up"] for name in ("ours", "ants_syn", "elastix_bspline")] == [0, 0, 1]
    assert (methods["ours"]["prealigned"], methods["ours"]["after"]) == (3.0, 2.0)
    assert (methods["ants_syn"]["after"], methods["ants_syn"]["cpu_seconds"]) == (4.0, 19.0)


def test_points_in_the_head_lie_where_its_voxels_lie_and_are_measured_along_them():
    head = sitk.Image((5, 6, 7), sitk.sitkUInt8)
    head.SetSpacing((1.0, 2.0, 4.0))
    head.SetOrigin((10.0, 20.0, 30.0))
    head.SetDirection((0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    head[1, 2, 3] = 1
    head[4, 0, 5] = 1
    expected = [head.TransformIndexToPhysicalPoint(index) for index in ((1, 2, 3), (4, 0, 5))]
    points = points_in(head)
    np.testing.assert_allclose(points, expected)
    np.testing.assert_allclose(in_voxels(points[1:] - points[:1], head), [[3, -2, 2]])
