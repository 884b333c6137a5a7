"""The summary says what was moved, by how much, how good it is and where least, in any state of a report."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.head_pose.search import HeadPose
from BSAFusionLib.pipeline.expected_error import inside_head, summarize_error
from BSAFusionLib.pipeline.measures import Displacement, RigidMotion
from BSAFusionLib.pipeline.motion import measure_motion
from BSAFusionLib.pipeline.report import ExpectedError, Report, Verdict
from BSAFusionLib.pipeline.summary import sentences, short_table, summary_text
from BSAFusionLib.report.table import detail_rows
from Testing.reports import example_report

center = np.array((10.0, -20.0, 30.0))


@pytest.fixture
def report():
    return example_report(
        expected_error=ExpectedError(1.5, 0.74, 1.62, 2.28, (-32.4, 40.0, -20.0), "lower left front"),
        motion=RigidMotion((0.0, -12.0, 5.0), (0.0, 6.0, -8.0)),
    )


def test_the_two_sentences_of_a_good_result(report):
    assert sentences(report.as_dict()) == (
        "The PET was moved by 13.0 mm and turned by 10.0 degrees onto the MRI; the network bent it by 1.0 mm on average"
        " and 3.0 mm at most.",
        "Expect an error of 0.7 mm in the brain and 1.6 mm near the skull base; the least certain place is the lower "
        "left front of the head (L 32, A 40, I 20 mm), with 2.3 mm.",
    )


def test_printing_a_report_prints_the_summary_also_after_json(report):
    printed = str(Report.from_dict(json.loads(json.dumps(report.as_dict()))))
    assert printed == summary_text(report.as_dict())
    lines = printed.splitlines()
    assert tuple(lines[:2]) == sentences(report.as_dict())
    assert "Shift                   13.0 mm (R 0.0, P 12.0, S 5.0)" in lines
    assert "Rotation                10.0 degrees (R 0.0, A 6.0, S -8.0)" in lines
    assert "Expected error          brain 0.7, skull base 1.6, largest 2.3 mm" in lines
    assert len(lines) < 15
    still = replace(report, motion=RigidMotion((0.0, 0.0, 0.0), (-0.01, 0.0, -0.0)))
    assert "Rotation                0.0 degrees (R 0.0, A 0.0, S 0.0)" in str(still).splitlines()


def test_doubts_come_first_and_no_error_is_told_of_a_doubtful_result(report):
    doubtful = replace(report, verdict=Verdict(doubtful=True, reasons=("No head was found.",)), warnings=("Look.",))
    lines = str(doubtful).splitlines()
    assert lines[0] == "Doubtful: No head was found."
    assert lines[2].startswith("The expected error is not stated, because the result is doubtful; compare ")
    assert "Expected error          not stated: the result is doubtful" in lines
    assert lines[-1].split(maxsplit=1) == ["Warning", "Look."]
    for figure in ("0.7", "1.6", "2.3"):  # the error's, which only the details show
        assert figure not in str(doubtful)
    details = {row.name: row for row in detail_rows(doubtful.as_dict())}
    assert details["Expected error, if right"].figure == "brain 0.7, skull base 1.6, largest 2.3 mm"
    assert "do not quote it" in details["Expected error, if right"].meaning
    assert "Expected error, if right" not in {row.name for row in detail_rows(report.as_dict())}


@pytest.mark.parametrize(
    ("changes", "moved", "expected"),
    [
        ({"prealignment": "none"}, "The PET was taken as it was placed; the network", "Expect"),
        ({"prealignment": "given"}, "The PET was moved by the given transform, 13.0 mm and", "Expect"),
        ({"motion": None}, "The PET was moved onto the MRI by 12.4 mm on average; the network", "Expect"),
        ({"network_displacement": Displacement(0, 0, 0)}, "onto the MRI; the network bent nothing.", "Expect"),
        ({"expected_error": None}, "The PET was moved by 13.0 mm", "The expected error is unknown for these weights"),
        ({"expected_error": ExpectedError(1.5)}, "The PET", "Expect an error of 1.5 mm in the head."),
        (  # the MRI ends above the skull base
            {"expected_error": ExpectedError(1.5, 0.8)},
            "The PET",
            "Expect an error of 0.8 mm in the brain.",
        ),
    ],
)
def test_every_kind_of_run_has_its_sentences(report, changes, moved, expected):
    changed = replace(report, **changes).as_dict()
    rows = {row.name: row.figure for row in short_table(changed)}
    assert ("Shift" in rows, "Expected error" in rows) == (changed["motion"] is not None, "unknown" not in expected)
    first, second = sentences(changed)
    assert moved in first
    assert second.startswith(expected)


def test_the_map_of_the_error_has_values_inside_the_head_alone():
    fine, coarse = sitk.Image(61, 61, 61, sitk.sitkUInt8), sitk.Image(31, 31, 31, sitk.sitkFloat32)
    fine.SetSpacing((2.0, 2.0, 2.0))
    coarse.SetSpacing((4.0, 4.0, 4.0))
    k, j, i = np.mgrid[:31, :31, :31]
    error = sitk.GetImageFromArray((1 + 0.1 * i + 0.02 * k).astype(np.float32))
    error.CopyInformation(coarse)
    k, j, i = np.mgrid[:61, :61, :61]
    head = sitk.GetImageFromArray(((k - 30) ** 2 + (j - 30) ** 2 + (i - 40) ** 2 < 20.5**2).astype(np.uint8))
    head.CopyInformation(fine)
    shown = inside_head(error, head)
    values, spacing = sitk.GetArrayFromImage(shown), shown.GetSpacing()[0]
    assert spacing == 2
    k, j, i = np.mgrid[tuple(slice(0, count) for count in values.shape)] * spacing
    inside = np.sqrt((k - 60) ** 2 + (j - 60) ** 2 + (i - 80) ** 2) < 41 - 2 * spacing
    outside = np.sqrt((k - 60) ** 2 + (j - 60) ** 2 + (i - 80) ** 2) > 41 + 2 * spacing
    np.testing.assert_allclose(values[inside], (1 + 0.1 * i / 4 + 0.02 * k / 4)[inside], atol=1e-5)
    assert np.isnan(values[outside]).all()
    assert np.isfinite(values[:, :, -1]).any()  # where the head reaches the volume's end


def test_the_motion_is_that_of_the_moving_volume_in_ras():
    """The transform leads from fixed to moving points; the moving volume goes back."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(center.tolist())
    transform.SetRotation(0.0, 0.0, np.radians(9.0))
    transform.SetTranslation((3.0, 4.0, -12.0))
    motion = measure_motion(transform, center)
    np.testing.assert_allclose(motion.shift_mm, (3.0, 4.0, 12.0), atol=1e-9)  # -(3, 4, -12) in LPS
    np.testing.assert_allclose(motion.turn_deg, (0.0, 0.0, -9.0), atol=1e-9)
    turned = sitk.Euler3DTransform()
    turned.SetRotation(np.radians(5.0), 0.0, 0.0)
    np.testing.assert_allclose(measure_motion(turned, center).turn_deg, (5.0, 0.0, 0.0), atol=1e-9)


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ((40.0, -50.0, -30.0), "lower left front"),
        ((-40.0, 50.0, 0.0), "right back"),
        ((5.0, 0.0, 60.0), "upper side"),
        ((-60.0, 0.0, 0.0), "right side"),
        ((0.0, 0.0, 0.0), "middle"),
    ],
)
def test_the_worst_place_is_found_in_the_head_as_it_lies(place, part):
    """The place is along the head's own axes, which are turned by 90 degrees in the image here."""
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    grid = sitk.Image(30, 30, 30, sitk.sitkUInt8)
    grid.SetSpacing((8.0, 8.0, 8.0))
    grid.SetOrigin((center - 116.0).tolist())
    points = sitk.GetArrayFromImage(
        sitk.PhysicalPointSource(sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing())
    )
    worst = np.array(place) @ turn.T + center
    values = np.exp(-np.linalg.norm(points - worst, axis=-1) / 50).astype(np.float32)
    values[0, 0, 0] = 9.0  # outside the head, where nobody cares
    error = sitk.GetImageFromArray(values)
    head = sitk.GetImageFromArray((np.linalg.norm(points - center, axis=-1) < 85).astype(np.uint8))
    for image in (error, head):
        image.CopyInformation(grid)
    found = summarize_error(error, head, HeadPose(turn, center, 1.0, 1000.0, 1.0, 1.0, 24, True))
    assert found.largest_in == part
    assert found.largest == pytest.approx(values[1:].max())
    np.testing.assert_allclose(np.array(found.largest_at) * (-1, -1, 1), worst, atol=4.1)
