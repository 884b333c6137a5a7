"""The page shows what is so: planes and figures of a motion that is known, and everything within the one file."""

import base64
import json
import os
import re
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.figure import Figure

from BSAFusionLib import version
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.report import ExpectedError, LandmarkError, Report, Verdict
from BSAFusionLib.pipeline.result import Result
from BSAFusionLib.pipeline.summary import short_table
from BSAFusionLib.report.figures import Drawing, Tile, _png
from BSAFusionLib.report.page import page
from BSAFusionLib.report.pictures import Plane
from BSAFusionLib.report.planes import sample_pictures
from BSAFusionLib.report.record import CITATIONS, Record, Scan, settings_texts
from BSAFusionLib.report.table import detail_rows
from Testing.reports import example_report
from Testing.viewer.browser import find_chromium

shift = (0.0, 12.0, 0.0)  # mm, LPS: the start
stretch = 0.05  # by the network: x is sought at 1.05 x, seen from the middle of the head


record = Record(
    Scan("mri & more.nii", (181, 217, 181), (1.0, 1.0, 1.0), "arbitrary"),
    Scan("PET", (128, 128, 47), (2.0, 2.0, 3.27), "SUV"),
    "bsafusion fuse mri.nii pet.nii --modality pet --out .",
    settings_texts({"slice_axis": "auto", "refine": False, "ct_window": (40.0, 80.0), "batch_size": None}),
)


@pytest.fixture(scope="module")
def report():
    return example_report(
        verdict=Verdict(0.75, 10.0, doubtful=True, reasons=("The first reason.", "The second one.")),
        warnings=("Something is < it should be.",),
        details=("A detail.",),
        landmarks=LandmarkError(4, 8, 1.25, 2.5),
    )


@pytest.fixture(scope="module")
def case(mri, report):
    """An MRI of a head, the same head elsewhere and stretched, and the result that finds it exactly."""
    points = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, mri.GetSize(), mri.GetOrigin(), mri.GetSpacing(), mri.GetDirection()
    )
    network = sitk.GetImageFromArray(stretch * (sitk.GetArrayFromImage(points) - (12.0, -20.0, 30.0)), isVector=True)
    network.CopyInformation(mri)
    start = sitk.TranslationTransform(3, shift)
    away = sitk.AffineTransform(3)  # where the points of the moving volume come from: the motion's inverse
    away.SetCenter((12.0, -20.0, 30.0))
    away.Scale(1 / (1 + stretch))
    back = sitk.CompositeTransform([away, sitk.TranslationTransform(3, [-by for by in shift])])
    moving = sitk.Resample(mri, mri, back, sitk.sitkLinear, 0.0)
    return mri, moving, Result(mri, mri, network, start, report, network, head_mask(mri), start, mri, moving)


@pytest.fixture(scope="module")
def pictures(case):
    return sample_pictures(*case)


def figures(content):
    return {row.name: row.figure for row in (*short_table(content), *detail_rows(content))}


def test_figures_are_shown_with_their_units_whatever_version_measured_them(report):
    told = figures(report.as_dict())
    assert told["Mutual information"] == "0.100 before, 0.400 initial, 0.500 final"
    assert told["Displacement"] == "mean 12.4, maximum 16.0 mm"
    assert told["Fraction applied"] == "75 %"
    assert told["Landmarks, after"] == "mean 1.2, maximum 2.5 mm"
    assert told["Weights"] == "pet.safetensors (0123456789ab)"
    older = {
        name: value for name, value in report.as_dict().items() if name not in ("verdict", "precision", "landmarks")
    }
    assert told.keys() - figures(older).keys() == {"Landmarks, before", "Landmarks, after"}


@pytest.mark.parametrize(
    ("strength", "checked", "kept", "said"),
    [
        (1.0, True, None, "100 %"),
        (0.5, True, None, "50 %"),
        (0.0, True, None, "0 %"),
        (1.0, False, None, "100 %, unchecked"),
        (0.5, True, 0.5, "25 %"),
        (None, None, 0.5, "50 %"),
        (None, None, None, "all, unchecked"),  # of an older report, whose weights were not calibrated
    ],
)
def test_the_fraction_applied_is_the_strength_times_what_passed_the_check(report, strength, checked, kept, said):
    content = replace(report, strength=strength, do_no_harm=checked, verdict=Verdict(kept, 0.0)).as_dict()
    if strength is None:
        del content["strength"], content["do_no_harm"]
    assert figures(Report.from_dict(json.loads(json.dumps(content))).as_dict())["Fraction applied"] == said


def test_after_the_motion_the_moving_volume_lies_on_the_fixed_one(pictures):
    for plane in pictures.planes:
        seen = np.isfinite(plane.before) & np.isfinite(plane.after) & np.isfinite(plane.fixed)
        before, after = (np.abs(values - plane.fixed)[seen].mean() for values in (plane.before, plane.after))
        assert after < before / 3


def test_the_network_part_and_the_determinant_are_those_of_the_motion(pictures):
    for plane in pictures.planes:
        rows, columns = plane.fixed.shape
        middle = slice(rows // 3, 2 * rows // 3), slice(columns // 3, 2 * columns // 3)
        np.testing.assert_allclose(plane.determinant[middle], (1 + stretch) ** 3, rtol=1e-3)
        across = np.diff(plane.coordinates[0][middle], axis=1)
        np.testing.assert_allclose(across, across[0, 0], rtol=1e-3)
        assert plane.network_mm[middle].min() < 0.5


def test_lengths_are_counted_inside_the_head(pictures):
    assert len(pictures.total_mm) == len(pictures.network_mm)
    assert pictures.network_mm.max() < stretch * 110  # the head reaches less far than the grid
    assert abs(pictures.total_mm.mean() - 12) < 1


def test_planes_stand_upright_whichever_way_the_volume_is_stored(head, grid, report):
    """Columns and rows run along the axes of LPS, about the middle of the head."""
    fixed = head(grid, "mri")
    still = sitk.Image(grid.GetSize(), sitk.sitkVectorFloat64, 3)
    still.CopyInformation(grid)
    nothing = sitk.Transform()
    result = Result(fixed, fixed, still, nothing, report, still, head_mask(fixed), nothing, fixed, fixed)
    axial, coronal, sagittal = sample_pictures(fixed, fixed, result).planes
    assert [plane.name for plane in (axial, coronal, sagittal)] == ["Axial", "Coronal", "Sagittal"]
    for plane, (across, down) in ((axial, (0, 1)), (coronal, (0, 2)), (sagittal, (1, 2))):
        columns, rows = plane.coordinates
        assert np.all(np.diff(columns, axis=1) > 0)
        assert np.all(np.diff(rows, axis=0) > 0)
        assert abs(columns.mean() - (12.0, -20.0, 30.0)[across]) < 12
        assert abs(rows.mean() - (12.0, -20.0, 30.0)[down]) < 12


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(pictures, report):
    html = page(pictures, report, "PET & MRI", record)
    assert html.startswith("<!DOCTYPE html>")
    assert "Not for clinical use" in html
    assert "PET &amp; MRI" in html
    assert "Something is &lt; it should be." in html
    assert "A detail." in html.split("<summary>Details</summary>")[1]
    doubt = "Doubtful: The first reason. The second one."
    assert 0 < html.index(doubt) < html.index("Something is &lt;")
    for name, figure in figures(report.as_dict()).items():
        assert f"<th>{name}</th><td>{figure}</td>" in html
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(sources) == 8
    for source in sources:
        assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    void = re.sub(r"<(meta|img)([^>]*)>", r"<\1\2/>", html.split("\n", 1)[1])
    assert ElementTree.fromstring(void).tag == "html"  # every tag is closed


def test_the_expected_error_is_shown_over_the_mri_and_said_in_the_table(case, report):
    mri, moving, result = case
    error = sitk.Image(mri.GetSize(), sitk.sitkFloat32) + 1.5
    error.CopyInformation(mri)
    regions = ExpectedError(1.5, 0.74, 1.62, 2.28, (-32.4, 40.0, -20.0), "lower left front")
    known = replace(report, verdict=Verdict(), expected_error=regions)
    pictures = sample_pictures(mri, moving, replace(result, expected_error=error, report=known))
    for plane in pictures.planes:
        assert np.nanmax(plane.expected_error_mm) == pytest.approx(1.5)
        assert np.isnan(plane.expected_error_mm[0, 0])  # outside the head
    html = page(pictures, known, "PET & MRI", record)
    assert "Expected length of the error" in html
    shown = "brain 0.7, skull base 1.6, largest 2.3 mm"
    assert f"<th>Expected error</th><td>{shown}</td>" in html
    doubtful = replace(known, verdict=report.verdict)
    first, details = page(pictures, doubtful, "PET & MRI", record).split("<summary>Details</summary>")
    assert "The expected error is not stated, because the result is doubtful" in first
    assert "Expected length of the error" not in first
    assert shown not in first
    assert f"<th>Expected error, if right</th><td>{shown}</td>" in details
    assert "Expected length of the error" in details


def test_the_page_says_where_the_result_comes_from(pictures, report):
    html = page(pictures, report, "PET & MRI", record)
    for text in (
        "<td>mri &amp; more.nii</td><td>181 x 217 x 181</td><td>1 x 1 x 1 mm</td><td>arbitrary</td>",
        "<td>PET</td><td>128 x 128 x 47</td><td>2 x 2 x 3.27 mm</td><td>SUV</td>",
        "bsafusion fuse mri.nii pet.nii --modality pet --out .",
        "slice axis auto, refine no, ct window 40, 80, batch size automatic",
        f"BSAFusion {version}",
        f"<td>{record.date}</td>",
    ):
        assert text in html
    cff = (Path(__file__).resolve().parents[2] / "CITATION.cff").read_text(encoding="utf-8")
    for stated in re.findall(r"^ *(?:title|version|year|value|- family-names): *\"?(.*?)\"?$", cff, re.MULTILINE):
        assert stated in " ".join(CITATIONS)


def test_a_page_that_names_a_file_of_any_bytes_can_be_written(pictures, report):
    odd = os.fsdecode(b"caf\xe9.nii")
    command = replace(record, fixed=replace(record.fixed, name=odd), command=f"bsafusion fuse {odd}")
    text = page(pictures, report, odd, command).encode("utf-8").decode()
    assert text.count(r"caf\udce9.nii") == 4  # in head and body, for the volume, in the command


def test_planes_bear_the_letters_of_the_patient_sides(pictures):
    """The radiological way: the patient's right on the left of the picture."""
    figure = Figure()
    for plane, sides in zip(pictures.planes, ("RL", "RL", "AP"), strict=True):
        axes = figure.add_subplot()
        Tile(axes, plane, 0, 0).letters()
        assert "".join(text.get_text() for text in sorted(axes.texts, key=lambda text: text.get_position())) == sides
        columns = plane.coordinates[0]  # towards left or back
        assert columns[0, -1] > columns[0, 0]


def test_planes_are_shown_with_the_face_or_the_vertex_at_the_top(pictures):
    for plane in pictures.planes:
        axes = Figure().add_subplot()
        shown = Tile(axes, plane, 10, 20).show(plane.coordinates[1])  # towards the back or up, by rows
        left, right, bottom, top = shown.get_extent()
        assert (left, bottom) == (10, 20)
        assert (right - left, top - bottom) == plane.fixed.shape[::-1]
        first, last = shown.get_array()[[0, -1], 0]
        assert shown.origin == "upper"  # the first row is drawn at the top
        assert first < last if plane.name == "Axial" else first > last


def test_the_rows_of_planes_bear_letters_and_a_color_bar_in_the_unit_of_the_values(pictures, monkeypatch):
    drawn = []

    def keep(figure):
        drawn.append(figure)
        return _png(figure)

    monkeypatch.setattr("BSAFusionLib.report.figures._png", keep)
    drawing = Drawing(pictures.in_unit("SUVbw"))
    assert all(png.startswith(b"\x89PNG") for png in (drawing.overlay(), drawing.registered(in_color=True)))
    for figure, rows in zip(drawn, (2, 3), strict=True):
        planes, bar = figure.axes
        letters = [text for text in planes.texts if len(text.get_text()) == 1]
        letters.sort(key=lambda text: (-round(text.get_position()[1]), text.get_position()[0]))
        assert "".join(text.get_text() for text in letters) == "RLRLAP" * rows
        assert bar.get_ylabel() == "SUV"
        assert bar.get_ylim() == pytest.approx((pictures.overlay.low, pictures.overlay.high))


def test_the_preview_of_a_doubtful_result_says_so(pictures, monkeypatch):
    drawn = []
    monkeypatch.setattr("BSAFusionLib.report.figures._png", lambda figure, **_how: drawn.append(figure) or b"")
    for doubtful in (False, True):
        Drawing(pictures).preview(doubtful)
    names = [[text.get_text() for text in figure.axes[0].texts] for figure in drawn]
    assert [texts[3] for texts in names] == ["Overlay, after", "Overlay, after: doubtful"]


@pytest.mark.parametrize(("before", "after"), [(np.nan, None), (5e7, None), (np.nan, np.nan), (0.0, 3.0)])
def test_planes_that_show_nothing_of_the_moving_volume_are_drawn(pictures, before, after, monkeypatch):
    """It may lie a head's length away as placed; the outlines are then those after registration."""

    def changed(plane):
        arrays = {field.name: getattr(plane, field.name) for field in fields(Plane)}
        thin = {name: array[..., ::4, ::4] for name, array in arrays.items() if name != "name"}
        flat = {name: value for name, value in (("before", before), ("after", after)) if value is not None}
        return replace(plane, **{**thin, **{name: np.full_like(thin[name], value) for name, value in flat.items()}})

    drawn, contour = [], Tile.contour

    def keep(tile, values, **how):
        drawn.append(how["levels"])
        contour(tile, values, **how)

    monkeypatch.setattr(Tile, "contour", keep)
    drawing = Drawing(replace(pictures, planes=tuple(map(changed, pictures.planes))))
    for png in (drawing.edges(), drawing.overlay(), drawing.checkerboard(), drawing.registered(in_color=False)):
        assert png.startswith(b"\x89PNG")
    assert len(drawn) == (3 if after is None else 0)


@pytest.mark.browser
def test_the_page_prints_on_two_pages_also_with_a_doubt_and_warnings(case, report, tmp_path):
    chromium = find_chromium()
    from playwright.sync_api import sync_playwright  # here, since not every user has it

    mri, moving, result = case
    error = sitk.Image(mri.GetSize(), sitk.sitkFloat32) + 1.5
    error.CopyInformation(mri)
    warned = replace(report, expected_error=ExpectedError(1.5), warnings=("A warning of the usual length. " * 4,) * 4)
    pictures = sample_pictures(mri, moving, replace(result, expected_error=error, report=warned))
    (tmp_path / "report.html").write_text(page(pictures, warned, "PET & MRI", record), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        opened = browser.new_page()
        opened.goto((tmp_path / "report.html").as_uri())
        printed = opened.pdf(prefer_css_page_size=True, print_background=True)
        browser.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2
