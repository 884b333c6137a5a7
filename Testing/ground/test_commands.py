"""The commands, as a user starts them: what they write, what they say, and what a mistake leaves behind."""

import argparse
import html
import importlib
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from BSAFusionLib import version
from BSAFusionLib.__main__ import command_modules, main
from BSAFusionLib.commands._program import program_name, program_words
from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.progress import STAGE_SHARES
from BSAFusionLib.report.record import CITATIONS
from BSAFusionLib.settings import Settings
from BSAFusionLib.viewer.result_folder import read_result
from Testing.markups import write_points
from Testing.phantoms import save_untrained, small_head
from Testing.reports import example_report

FRAGMENT = re.compile(r"(of|in|likewise|what|where|whether|how|gets|keeps|to|default)\b")
repository = Path(__file__).resolve().parents[2]
results = {
    "fused.nrrd",
    "overlay.nrrd",
    "registered.nrrd",
    "deformation.h5",
    "rigid.tfm",
    "network.h5",
    "report.json",
    "report.html",
    "preview.png",
}


def start(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "BSAFusionLib", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=repository)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two ellipsoids, the second moved by 4 mm, as files; and weights that nobody trained."""
    folder = tmp_path_factory.mktemp("inputs")
    for name, shift in (("mri.nii.gz", 0.0), ("ct.nrrd", 1.0)):
        sitk.WriteImage(small_head(shift), str(folder / name))
    sitk.WriteImage(small_head(0.0) > 0, str(folder / "mask.nii.gz"))
    scene = SlicerApp().scene
    write_points(scene, -90 * np.eye(3), folder / "points_mri.mrk.json")
    write_points(scene, -90 * (np.eye(3) - (3.0, 0.0, 0.0)), folder / "points_ct.fcsv")
    save_untrained(folder / "weights.safetensors", modality="ct")
    return {path.name.split(".")[0]: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def fused(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `fuse` wrote."""
    folder = tmp_path_factory.mktemp("results")
    options = ["--modality", "ct", "--out", folder, "--weights", inputs["weights"], "--json", folder / "also.json"]
    options += [
        "--no-check",
        "--strict",
        "--fixed-mask",
        inputs["mask"],
        "--landmarks",
        inputs["points_mri"],
        inputs["points_ct"],
    ]
    finished = start("fuse", inputs["mri"], inputs["ct"], *options)
    assert finished.returncode == 3, finished.stderr
    assert finished.stdout.startswith("Doubtful: No head was found in either volume")  # ellipsoids are none
    moved, expected = finished.stdout.splitlines()[1:3]
    assert moved.startswith("The CT was moved by ")
    assert expected.startswith("The expected error is unknown for these weights")
    assert "Mutual information" not in finished.stdout  # it is among the details of the page
    assert "\r" not in finished.stderr  # no terminal: a line a stage
    assert [stage for stage in STAGE_SHARES if stage not in finished.stderr] == []
    return folder


def test_fuse_writes_every_result(fused: Path) -> None:
    assert {path.name for path in fused.iterdir()} == results | {"also.json"}
    report = json.loads((fused / "report.json").read_text())
    assert report["modality"] == "ct"
    assert report["verdict"]["doubtful"]
    assert any("look only at the fixed mask" in detail for detail in report["details"])
    assert len(report["verdict"]["reasons"]) >= 1


def test_the_report_has_the_seconds_of_the_whole_command(fused: Path) -> None:
    seconds = json.loads((fused / "report.json").read_text())["seconds"]
    assert list(seconds) == ["start", "reading", "libraries", *STAGE_SHARES, "pictures", "files"]
    assert min(seconds.values()) > 0
    assert json.loads((fused / "also.json").read_text())["seconds"] == seconds


def test_the_report_says_how_it_was_made(fused: Path, inputs: dict[str, Path]) -> None:
    run = json.loads((fused / "report.json").read_text())["run"]
    options = ["--modality", "ct", "--no-check", "--weights", inputs["weights"]]
    files = ["--fixed-mask", inputs["mask"], "--landmarks", inputs["points_mri"], inputs["points_ct"], "--out", fused]
    words = shlex.split(run["command"])
    there = [str((fused / word).resolve()) if "." in word else word for word in words]
    assert there[:3] == ["python3", str(repository / "run.py"), "fuse"]
    assert there[3:] == [*map(str, (inputs["mri"], inputs["ct"], *options, *files))]
    assert run["moving"]["name"] == "ct.nrrd"
    assert tuple(run["moving"]["size"]) == sitk.ReadImage(str(inputs["ct"])).GetSize()
    assert (run["version"], run["settings"]["do_no_harm"]) == (version, "no")


@pytest.mark.parametrize("script", ["/somewhere/bin/bsafusion", "C:/Scripts/bsafusion.exe"])
def test_a_command_that_pip_installed_is_recorded_by_its_own_name(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program_words(tmp_path)[0] == "python3"
    monkeypatch.setattr("sys.argv", [script])
    assert (program_name(), program_words(tmp_path)) == ("bsafusion", ["bsafusion"])


def test_the_report_has_the_distances_of_landmarks(fused: Path) -> None:
    distances = json.loads((fused / "report.json").read_text())["landmarks"]
    assert distances["mean_before"] == pytest.approx(270) == distances["largest_before"]
    assert 0 < distances["mean_after"] <= distances["largest_after"]
    shown = "<th>Landmarks, before</th><td>mean 270.0, maximum 270.0 mm</td>"
    assert shown in (fused / "report.html").read_text()


def test_fused_and_registered_lie_on_the_fixed_grid(fused: Path, inputs: dict[str, Path]) -> None:
    fixed = sitk.ReadImage(str(inputs["mri"]))
    for name, kind in (("fused.nrrd", sitk.sitkFloat32), ("registered.nrrd", sitk.sitkInt16)):
        image = sitk.ReadImage(str(fused / name))
        assert image.GetPixelID() == kind
        assert image.GetSize() == fixed.GetSize()
        assert image.GetOrigin() == pytest.approx(fixed.GetOrigin())


def test_the_overlay_has_three_components_on_the_grid_of_the_registered_volume(fused: Path) -> None:
    overlay, registered = (sitk.ReadImage(str(fused / name)) for name in ("overlay.nrrd", "registered.nrrd"))
    assert (overlay.GetNumberOfComponentsPerPixel(), overlay.GetPixelIDTypeAsString()) == (
        3,
        "vector of 8-bit unsigned integer",
    )
    for place in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(overlay, place)() == pytest.approx(getattr(registered, place)(), abs=1e-6)
    window = json.loads((fused / "report.json").read_text())["overlay"]
    rgb, values = (sitk.GetArrayFromImage(image).astype(float) for image in (overlay, registered))
    shown = values > window["low"] + 0.3 * (window["high"] - window["low"])
    assert np.ptp(rgb[shown], axis=-1).min() > 50  # in color where there is much of it
    assert np.ptp(rgb[values < window["low"]], axis=-1).max() == 0  # the MRI in gray where there is nothing


def test_apply_makes_the_registered_volume_again(fused: Path, inputs: dict[str, Path], tmp_path: Path) -> None:
    words = ["apply", fused / "deformation.h5", inputs["ct"], "--reference", inputs["mri"], "--out", tmp_path]
    assert main(list(map(str, words))) == 0
    again, registered = (sitk.ReadImage(str(path)) for path in (tmp_path / "ct.nrrd", fused / "registered.nrrd"))
    assert again.GetPixelID() == registered.GetPixelID()
    assert np.array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(registered))


def test_the_page_begins_as_the_terminal_does_and_says_what_went_in(fused: Path) -> None:
    page = html.unescape((fused / "report.html").read_text(encoding="utf-8"))
    run = json.loads((fused / "report.json").read_text())["run"]
    first = [
        page.index(start) for start in ("Doubtful: No head", "The CT was moved by", "The expected error is unknown")
    ]
    assert first == sorted(first)
    assert first[-1] < page.index("<img") < page.index("Mutual information")
    for text in (
        "ct.nrrd",
        "40 x 48 x 10",
        "4 x 4 x 8 mm",
        run["command"],
        run["date"],
        f"BSAFusion {version}",
        *CITATIONS,
    ):
        assert text in page


def test_the_moving_file_through_the_deformation_is_the_registered_file(fused: Path, inputs: dict[str, Path]) -> None:
    registered = sitk.ReadImage(str(fused / "registered.nrrd"))
    transform = sitk.ReadTransform(str(fused / "deformation.h5"))
    moving = sitk.ReadImage(str(inputs["ct"]))
    again = sitk.GetArrayFromImage(sitk.Resample(moving, registered, transform, sitk.sitkLinear, 0.0))
    # Inside the head: at its border the value outside of the moving volume's grid is the program's choice.
    inside = sitk.GetArrayFromImage(registered)[2:-2, 10:-10, 8:-8]
    assert np.abs(again[2:-2, 10:-10, 8:-8].astype(float) - inside).max() <= 10  # 1 % of the range


def test_slicer_opens_the_deformation_as_a_grid_transform(fused: Path) -> None:
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(fused / "deformation.h5"))
    assert storage.ReadData(node)
    transform = sitk.ReadTransform(str(fused / "deformation.h5"))
    x, y, z = transform.TransformPoint((80.0, 90.0, 40.0))
    assert node.GetTransformFromParent().TransformPoint(-80.0, -90.0, 40.0) == pytest.approx((-x, -y, z), abs=0.1)


def opened_in_slicer(scene: slicer.vtkMRMLScene, path: Path, kind: str) -> slicer.vtkMRMLTransformNode:
    node = scene.AddNewNodeByClass(kind)
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def test_both_parts_together_are_the_total_transform_also_in_slicer(fused: Path) -> None:
    total, rigid, network = (
        sitk.ReadTransform(str(fused / name)) for name in ("deformation.h5", "rigid.tfm", "network.h5")
    )
    scene = slicer.vtkMRMLScene()
    linear = opened_in_slicer(scene, fused / "rigid.tfm", "vtkMRMLLinearTransformNode")
    grid = opened_in_slicer(scene, fused / "network.h5", "vtkMRMLGridTransformNode")
    linear.SetAndObserveTransformNodeID(grid.GetID())
    from_world = vtkGeneralTransform()
    linear.GetTransformFromWorld(from_world)
    bent = 0.0
    for point in ((80.0, 90.0, 40.0), (60.0, 70.0, 30.0), (-500.0, 20.0, 10.0)):
        x, y, z = total.TransformPoint(point)
        assert rigid.TransformPoint(network.TransformPoint(point)) == pytest.approx((x, y, z), abs=1e-6)
        assert from_world.TransformPoint(-point[0], -point[1], point[2]) == pytest.approx((-x, -y, z), abs=0.01)
        bent = max(bent, np.abs(np.subtract(network.TransformPoint(point), point)).max())
    assert bent > 0.01


def test_a_rigid_result_has_no_grid_and_leaves_none_of_an_earlier_one(
    fused: Path, inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    earlier, own = ("network.h5", "scene.mrb"), {"notes.txt", "fused_slice.png"}
    for name in (*earlier, *own):
        (tmp_path / name).write_text("of an earlier run")
    listed = {"files": dict(zip(("network", "scene", "notes"), (*earlier, "notes.txt"), strict=True))}
    (tmp_path / "report.json").write_text(json.dumps(listed))
    options = ["--out", tmp_path, "--weights", inputs["weights"], "--preset", "rigid"]
    assert main(["fuse", *map(str, [inputs["mri"], inputs["ct"], *options])]) == 0
    guessed = "ct.nrrd was taken for a CT because of its name; if it is none, give --modality pet or spect."
    said = capsys.readouterr()
    assert said.err.startswith(guessed) and guessed in said.out
    assert guessed in html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {path.name for path in tmp_path.iterdir()} == results - {"network.h5"} | own
    assert "network" not in json.loads((tmp_path / "report.json").read_text())["files"]
    total, rigid = (sitk.ReadTransform(str(tmp_path / name)) for name in ("deformation.h5", "rigid.tfm"))
    assert total.IsLinear()
    assert total.TransformPoint((80.0, 90.0, 40.0)) == pytest.approx(rigid.TransformPoint((80.0, 90.0, 40.0)))
    found = read_result(tmp_path)
    assert not np.any(sitk.GetArrayFromImage(found.network_field))
    registered = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "registered.nrrd")))
    moving = sitk.ReadImage(str(inputs["ct"]))
    lowest = float(sitk.GetArrayFromImage(moving).min())
    again = sitk.Resample(moving, found.fused, rigid, sitk.sitkLinear, lowest, moving.GetPixelID())
    assert np.abs(sitk.GetArrayFromImage(again).astype(float) - registered).max() <= 1


@pytest.mark.parametrize("report", [None, "", "[]", '{"files": []}', '{"files": {"fused": "fused.nrrd"}}'])
def test_files_that_no_report_lists_stay_beside_a_new_result(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: str | None
) -> None:
    own = {"scene.mrb", "registered_slice.png", "network.h5"}
    for name in (*own, "fused.nrrd"):
        (tmp_path / name).write_text("of the user")
    if report is not None:
        (tmp_path / "report.json").write_text(report)

    def run_case(_pair: object, _choices: object, folder: Path, **_: object) -> SimpleNamespace:
        (folder / "report.json").write_text("{}")
        return SimpleNamespace(case=SimpleNamespace(result=SimpleNamespace(report=example_report())))

    monkeypatch.setattr("BSAFusionLib.commands.fuse.run_case", run_case)
    assert main(["fuse", *map(str, [inputs["mri"], inputs["ct"], "--out", tmp_path])]) == 0
    left = set() if report and "fused" in report else {"fused.nrrd"}
    assert {path.name for path in tmp_path.iterdir()} == own | left | {"report.json"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--weights", "missing.safetensors"], "missing.safetensors"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--ct-window", "40", "-1"], "window"),
        (["--landmarks", "missing.mrk.json", "missing.fcsv"], "missing.mrk.json"),
        (["--fixed-mask", "missing.nii"], "There is no file missing.nii"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence_and_leaves_older_results(
    fused: Path, inputs: dict[str, Path], wrong: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    before = {path: path.read_bytes() for path in fused.iterdir()}
    options = ["--modality", "ct", "--out", fused, "--weights", inputs["weights"], *wrong]
    assert main(["fuse", *map(str, [inputs["mri"], inputs["ct"], *options])]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert {path: path.read_bytes() for path in fused.iterdir()} == before


def test_what_is_odd_about_the_file_of_the_mask_is_said(inputs: dict[str, Path], tmp_path: Path) -> None:
    mask, out = tmp_path / "mask.nrrd", tmp_path / "out"
    sitk.WriteImage(sitk.ReadImage(str(inputs["mask"])), str(mask))
    mask.write_bytes(mask.read_bytes().replace(b"space: left-posterior-superior", b"space dimension: 3"))
    options = ["--modality", "ct", "--out", out, "--weights", inputs["weights"], "--fixed-mask", mask]
    quick = ["--prealignment", "none", "--one-axis", "--no-check"]
    assert main(["fuse", *map(str, [inputs["mri"], inputs["ct"], *options, *quick])]) == 0
    (warning,) = (text for text in json.loads((out / "report.json").read_text())["warnings"] if "mask.nrrd" in text)
    assert warning.startswith("The file mask.nrrd does not say how the head lies in it")


def test_a_json_file_that_cannot_be_written_is_said_before_anything_is_computed(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    json_file, out = tmp_path / "file" / "a.json", tmp_path / "out"
    assert main(["fuse", *map(str, [inputs["mri"], inputs["ct"], "--out", out, "--json", json_file])]) == 2
    assert capsys.readouterr().err == f"The file {json_file} cannot be written; choose another place for it.\n"
    assert not out.exists()


def test_the_report_is_printed_although_the_json_file_cannot_be_written(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    json_file, out = tmp_path / "folder" / "a.json", tmp_path / "out"

    def run_case(*_: object, **__: object) -> SimpleNamespace:
        (tmp_path / "folder").write_text("")  # while it computes
        return SimpleNamespace(case=SimpleNamespace(result=SimpleNamespace(report=example_report())))

    monkeypatch.setattr("BSAFusionLib.commands.fuse.run_case", run_case)
    assert main(["fuse", *map(str, [inputs["mri"], inputs["ct"], "--out", out, "--json", json_file])]) == 2
    said = capsys.readouterr()
    assert said.out == f"{example_report()}\nresults in {out}\n"
    assert said.err.startswith(f"The results are in {out}, but the file given with --json cannot be written: ")


def test_every_option_reaches_the_run(inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def stop(fixed: sitk.Image, moving: sitk.Image, settings: Settings, *_: object, **__: object) -> None:
        runs.append(settings)
        raise FusionError("Stopped.")

    monkeypatch.setattr("BSAFusionLib.worker.case.compute_case", stop)
    fuse = ["fuse", str(inputs["mri"]), str(inputs["ct"]), "--out", str(tmp_path)]
    options = "--modality ct --prealignment none --axis j --ct-window 30 90 --smoothing 2.5 --strength 0.25"
    options += " --one-axis --refine --no-check --no-fold-free --device cpu --precision bfloat16 --batch-size 3"
    options += " --weights some.safetensors"
    assert main([*fuse, *options.split()]) == main([*fuse, "--modality", "pet"]) == 2
    assert runs[0] == Settings(
        "ct", "none", "j", (30.0, 90.0), "cpu", "bfloat16", 3, False, 2.5, 0.25, True, False, False, "some.safetensors"
    )
    assert runs[1] == Settings("pet")


@pytest.mark.slow
def test_the_demo_comes_closer_to_the_truth_and_writes_what_it_promises(tmp_path: Path) -> None:
    finished = start("demo", "--out", tmp_path / "demo", "--json", tmp_path / "demo.json")
    assert finished.returncode == 0, finished.stderr
    error = json.loads((tmp_path / "demo.json").read_text())["true_error_mm"]
    verdict = json.loads((tmp_path / "demo.json").read_text())["report"]["verdict"]
    assert (verdict["doubtful"], verdict["reasons"]) == (False, [])
    assert error["before"] > 10
    assert error["prealigned"] < 3.5
    assert error["after"] < 0.5 * error["prealigned"]
    assert {path.name for path in (tmp_path / "demo").iterdir()} == results | {"scene.mrb", "expected_error.nrrd"}
    assert json.loads((tmp_path / "demo" / "report.json").read_text())["files"]["scene"] == "scene.mrb"


@pytest.mark.parametrize("command", sorted(command_modules()))
def test_every_command_explains_itself_and_each_of_its_options(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    told = capsys.readouterr().out
    assert f"usage: run.py {command}" in told
    parser = argparse.ArgumentParser(description="")
    importlib.import_module(command_modules()[command]).add_arguments(parser)
    assert [action.dest for action in parser._actions if not action.help] == []
    fragments = [action.help for action in parser._actions if FRAGMENT.match(action.help)]
    assert fragments == []  # a help line stands alone
    silent = [
        action.dest
        for action in parser._actions
        if action.option_strings and action.nargs != 0 and action.default not in (None, argparse.SUPPRESS, ())
        if "default" not in action.help
    ]
    assert silent == []


def test_every_summary_of_a_command_is_in_the_imperative() -> None:
    commands = [importlib.import_module(module).__doc__ for module in command_modules().values()]
    tools = [summary for summary, _ in runpy.run_path(str(repository / "run.py"))["TOOLS"].values()]
    assert [text for text in (*commands, *tools) if text.split()[0].endswith("s")] == []
