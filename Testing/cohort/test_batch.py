"""A cohort is done whole, here or on a cluster, whatever befalls a case or a worker, and is not done twice."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.weights_file import sha256
from BSAFusionLib.pipeline.calibration import uncalibrated
from Testing.cohort.cluster import cluster, kill_a_busy_worker, same_results
from Testing.phantoms import save_untrained, small_head

repository = Path(__file__).resolve().parents[2]
good = ("sub-1", "sub-2", "sub-3")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three PETs of one MRI, the last of two frames, and one that is cut short; untrained weights with a card."""
    folder = tmp_path_factory.mktemp("cohort")
    sitk.WriteImage(small_head(0, slices=3), str(folder / "mri.nii.gz"))
    rows = ["case,fixed,moving,modality"]
    for number in range(4):
        sitk.WriteImage(small_head(number / 2, slices=3), str(folder / f"pet{number}.nii.gz"))
        rows.append(f"{number},mri.nii.gz,pet{number}.nii.gz,pet")
    last = sitk.ReadImage(str(folder / "pet3.nii.gz"))
    sitk.WriteImage(sitk.JoinSeries([last, last * 2]), str(folder / "pet3.nii.gz"))
    (folder / "pet3.json").write_text('{"FrameTimesStart": [0, 60], "FrameDuration": [60, 120], "Units": "BQML"}')
    broken = folder / "pet0.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-200])
    save_untrained(weights := folder / "weights.safetensors", modality="pet")
    card = {"sha256": sha256(weights.read_bytes()), "calibration": {"pet": uncalibrated(4.0).as_dict()}}
    weights.with_suffix(".json").write_text(json.dumps(card))
    path = folder / "cohort.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def usual(table: Path) -> list[str]:
    """Options that make a case quick and the same on every machine."""
    return ["--prealignment", "none", "--device", "cpu", "--weights", str(table.with_name("weights.safetensors"))]


def batch(table: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "BSAFusionLib", "batch", table, "--out", out, *usual(table), *options]
    return subprocess.Popen(list(map(str, command)), cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def local(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of results of two processes of this machine."""
    out = tmp_path_factory.mktemp("local")
    run = batch(table, out, "--workers", "2")
    printed, said = (stream.decode() for stream in run.communicate())
    assert f"3 cases in {out}, 3 doubtful, 1 failed; see " in printed, said  # an end by a bug has the same status
    assert run.returncode == 1
    return out


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_doubtful_cases_are_listed_first_then_the_damaged_file(local: Path) -> None:
    *others, failed = rows(local)
    assert (failed["case"], failed["state"], failed["doubtful"]) == ("sub-0", "failed", "")
    assert "pet0.nii.gz cannot be read" in failed["error"]
    assert {row["doubtful"] for row in others} == {"True"}  # ellipsoids are no heads
    assert all("No head was found in either volume" in row["reasons"] for row in others)
    assert sorted(row["case"] for row in others) == list(good)
    assert {row["state"] for row in others} == {"finished"}
    assert all(row["summary"].startswith("The PET was taken as it was placed; the network bent ") for row in others)
    assert {float(row["shift_mm"]) for row in others} == {0.0}
    assert {row["expected_error_mm"] for row in others} == {""}  # of no use while the result is in doubt
    page = (local / "summary.html").read_text(encoding="utf-8")
    assert "4 cases, 3 doubtful, 1 failed" in page
    assert "pet0.nii.gz cannot be read" in page
    assert 'src="sub-1/pet/sub-1_desc-petfusion_preview.png"' in page


def test_every_case_has_what_fuse_writes_and_nothing_half_done(local: Path) -> None:
    names = {
        "sub-1_from-pet_to-MRI_mode-image_desc-rigid_xfm.json",
        "sub-1_space-MRI_desc-fused_pet.nii.gz",
        "sub-1_space-MRI_desc-fused_pet.json",
        "sub-1_space-MRI_desc-overlay_pet.nii.gz",
        "sub-1_space-MRI_desc-overlay_pet.json",
        "sub-1_space-MRI_desc-registered_pet.nii.gz",
        "sub-1_space-MRI_desc-registered_pet.json",
        "sub-1_from-pet_to-MRI_mode-image_xfm.h5",
        "sub-1_from-pet_to-MRI_mode-image_xfm.json",
        "sub-1_from-pet_to-MRI_mode-image_desc-rigid_xfm.tfm",
        "sub-1_space-MRI_desc-expectedError_pet.nii.gz",
        "sub-1_space-MRI_desc-expectedError_pet.json",
        "sub-1_desc-petfusion_report.json",
        "sub-1_desc-petfusion_report.html",
        "sub-1_desc-petfusion_preview.png",
        ".sub-1_pet.finished",
    }
    network = {f"sub-1_from-pet_to-MRI_mode-image_desc-network_xfm{ending}" for ending in (".h5", ".json")}  # if any
    assert {path.name for path in (local / "sub-1" / "pet").iterdir()} - network == names
    described = json.loads((local / "sub-1" / "pet" / "sub-1_space-MRI_desc-expectedError_pet.json").read_text())
    assert (described["Units"], described["Sources"][0]) == ("mm", "bids:raw:mri.nii.gz")
    assert not list(local.rglob("*unfinished*"))


def test_tools_for_bids_derivatives_find_and_describe_the_results(local: Path) -> None:
    from ancpbids.pybids_compat import BIDSLayout

    layout = BIDSLayout(str(local))
    assert layout.get_dataset_description()["DatasetType"] == "derivative"
    found = layout.get(sub="2", desc="registered", suffix="pet", extension=".nii.gz", return_type="filename")
    (path,) = found
    assert sitk.ReadImage(path).GetSize() == small_head(0, slices=3).GetSize()
    described = json.loads(Path(path.removesuffix(".nii.gz") + ".json").read_text())
    assert described["Sources"] == ["bids:raw:pet2.nii.gz"]
    assert described["SpatialReference"] == "bids:raw:mri.nii.gz"


def test_the_frames_of_a_dynamic_pet_have_a_sidecar_with_their_source_and_times(local: Path) -> None:
    (frames,) = (local / "sub-3" / "pet").glob("*_desc-registeredFrames_pet.nii.gz")
    assert sitk.ReadImage(str(frames)).GetSize()[3] == 2
    described = json.loads((frames.parent / frames.name.replace(".nii.gz", ".json")).read_text())
    assert described["Sources"] == ["bids:raw:pet3.nii.gz"]
    assert described["SpatialReference"] == "bids:raw:mri.nii.gz"
    assert (described["FrameTimesStart"], described["FrameDuration"]) == ([0, 60], [60, 120])
    assert (described["Frames"], described["Units"]) == (2, "BQML")  # as it was given
    report = json.loads((frames.parent / "sub-3_desc-petfusion_report.json").read_text())
    assert report["overlay"]["unit"] == report["run"]["moving"]["unit"] == "Bq/mL"


@pytest.fixture
def incomplete(table: Path, tmp_path: Path) -> Path:
    """A BIDS folder: a pair, a PET without an MRI, and a pair of two sessions."""
    folder = tmp_path / "bids"
    for kind, names in {
        "mri": ["sub-1/anat/sub-1_T1w", "sub-3/ses-a/anat/sub-3_ses-a_T1w"],
        "pet1": ["sub-1/pet/sub-1_pet", "sub-2/pet/sub-2_pet", "sub-3/ses-b/pet/sub-3_ses-b_pet"],
    }.items():
        for name in names:
            (folder / name).parent.mkdir(parents=True)
            shutil.copy(table.with_name(f"{kind}.nii.gz"), folder / f"{name}.nii.gz")
    (folder / "dataset_description.json").write_text('{"Name": "trial", "BIDSVersion": "1.10.0"}')
    return folder


def test_a_dry_run_lists_everybody_and_writes_nothing(
    incomplete: Path, table: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    assert main(["batch", str(incomplete), "--out", str(out), "--dry-run", *usual(table)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "sub-1_pet: to do, bids:raw:sub-1/pet/sub-1_pet.nii.gz to bids:raw:sub-1/anat/sub-1_T1w.nii.gz"
    assert lines[2].startswith(
        "sub-3_ses-b_pet: The MRI is of another session: sub-3/ses-a/anat/sub-3_ses-a_T1w.nii.gz"
    )
    assert lines[3].startswith("sub-2_pet: left out: no MRI")
    assert lines[4] == "2 cases to do, 0 done before, 1 left out; nothing was written"
    assert main(["batch", str(incomplete), "--out", str(out), "--dry-run", "--session-label", "b", *usual(table)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["sub-3_ses-b_pet"] * 2
    assert lines[-1] == "1 cases to do, 0 done before, 0 left out; nothing was written"
    assert not out.exists()


def test_a_dry_run_of_a_table_names_cases_and_files_as_the_table_does(
    table: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert main(["batch", str(table), "--out", str(tmp_path / "out"), "--dry-run", *usual(table)]) == 0
    assert capfd.readouterr().out.splitlines()[1] == "1 (sub-1_pet): to do, pet1.nii.gz to mri.nii.gz"


def test_a_misspelt_column_is_named_where_the_cases_are_listed(
    table: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    misspelt = table.with_name("misspelt.csv")
    misspelt.write_text("case,fixed,moving,modality,frame\n3,mri.nii.gz,pet3.nii.gz,pet,1\n", encoding="utf-8")
    assert main(["batch", str(misspelt), "--out", str(tmp_path / "out"), "--dry-run", *usual(table)]) == 0
    assert capfd.readouterr().err.count("Did you mean 'frames' by 'frame'?") == 1


def test_jobs_of_an_array_share_a_summary_that_loses_nobody(
    incomplete: Path, table: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"

    def batch_of(*options: str) -> str:
        assert main(["batch", str(incomplete), "--out", str(out), "--workers", "1", *usual(table), *options]) == 0
        return "".join(capfd.readouterr())

    assert "sub-2_pet: left out: no MRI" in batch_of("--participant-label", "2")
    assert {row["case"]: row["state"] for row in rows(out)} == {"sub-1": "not run", "sub-3_ses-b": "not run"} | {
        "sub-2_pet": "left out"
    }
    said = batch_of("--participant-label", "1")
    assert "\r" not in said and "Traceback" not in said  # neither stream is a terminal
    assert "1 of 1: sub-1_pet: Doubtful" in said
    assert "left out" not in said
    said = batch_of()
    assert "2 cases, 1 of them done before" in said
    assert "2 cases in" in said and "1 left out (sub-2_pet)" in said
    states = {row["case"]: row for row in rows(out)}
    assert {case: row["state"] for case, row in states.items()} == {
        "sub-1": "finished",
        "sub-3_ses-b": "finished",
        "sub-2_pet": "left out",
    }
    assert "another session: sub-3/ses-a" in states["sub-3_ses-b"]["warnings"]
    assert states["sub-2_pet"]["error"].startswith("no MRI")
    page = (out / "summary.html").read_text(encoding="utf-8")
    assert "2 cases, 2 doubtful, 0 failed, 1 left out</h1>" in page
    assert "Left out: no MRI" in page
    assert main(["batch", str(incomplete), "--out", str(out), *usual(table), "--quiet", "--threads", "2"]) == 0
    said = capfd.readouterr()
    assert said.err == "" and "1 left out (sub-2_pet)" in said.out
    assert main(["batch", str(incomplete), "--out", str(out), *usual(table), "--preset", "preview", "--dry-run"]) == 0
    assert "2 cases to do" in capfd.readouterr().out  # with other choices


def test_nothing_is_computed_before_all_paths_are_there(
    table: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    path = table.with_name("absent.csv")
    path.write_text(table.read_text() + "\n9,mri.nii.gz,absent.nii.gz,pet\n")
    assert main(["batch", str(path), "--out", str(tmp_path / "out"), *usual(table)]) == 2
    assert "sub-9_pet, moving" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_second_run_does_nothing(local: Path, table: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    out = shutil.copytree(local, tmp_path / "out")  # whose summary then lacks a case
    done = {path: path.stat().st_mtime_ns for path in out.glob("sub-*/pet/*")}
    without = table.with_name("without.csv")  # the damaged one would be tried again
    without.write_text("\n".join(line for line in table.read_text().splitlines() if not line.startswith("0,")))
    command = ["batch", str(without), "--out", str(out), "--workers", "2", *usual(table)]
    assert main(command) == 0
    assert main([*command, "--strict"]) == 3
    said = capfd.readouterr()
    assert "3 cases, 3 of them done before" in said.err
    lines = said.out.splitlines()
    assert [line.partition(" ")[0] for line in lines[:3]] == [f"{case}_pet:" for case in good]
    assert lines[0].startswith("sub-1_pet: Doubtful: No head was found")
    assert ", 3 doubtful, 0 failed" in lines[3]
    assert {path: path.stat().st_mtime_ns for path in out.glob("sub-*/pet/*")} == done
    assert {(row["state"], row["error"]) for row in rows(out)} == {("finished", "")}


def test_on_a_cluster_that_loses_a_worker_every_case_comes_out_the_same_to_the_bit(
    local: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with cluster(tmp_path) as (address, workers):
        run = batch(table, out, "--scheduler", address)
        kill_a_busy_worker(address, workers, out)
        _, said = run.communicate()
        assert run.returncode == 1, said.decode()
        assert sum(worker.poll() is not None for worker in workers.values()) == 1  # the others live
    assert {row["case"]: row["error"] for row in rows(out) if row["case"] != "sub-0"} == dict.fromkeys(good, "")
    for case in good:
        assert same_results(local / case / "pet", out / case / "pet")


def test_a_scheduler_that_does_not_answer_is_reported_in_a_sentence(
    table: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert main(["batch", str(table), "--out", str(tmp_path), "--scheduler", "nonsense://nowhere"]) == 2
    assert "No Dask scheduler answers at nonsense://nowhere" in capfd.readouterr().err.splitlines()[-1]
