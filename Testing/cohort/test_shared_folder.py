"""Jobs that share a folder of results know of each other, and a case is done only where its files are."""

import csv
import errno
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from BSAFusionLib.__main__ import main
from BSAFusionLib.cohort import summary
from BSAFusionLib.cohort.derivatives import write_sidecars
from BSAFusionLib.cohort.finished import (
    FAILED,
    earlier_files,
    failure,
    finished_report,
    mark_failed,
    mark_finished,
    marker,
)
from BSAFusionLib.cohort.reading import read_cohort
from BSAFusionLib.commands.batch import do_case
from Testing.reports import example_report

Call = tuple[Any, ...]  # case, choices, folder of the results, fingerprint
Outcomes = Iterator[tuple[str, Any]]
Computing = Callable[[dict[str, Call]], Outcomes]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("mri", "pet"):
        (tmp_path / f"{name}.nii").touch()
    path = tmp_path / "cohort.csv"
    path.write_text("case,fixed,moving,modality\n" + "".join(f"{name},mri.nii,pet.nii,pet\n" for name in "123"))
    return path


def finish(call: Call) -> dict[str, Any]:
    """Write the files and the mark of a case, as a worker does; return its report."""
    case, _, folder, mark = call
    (folder / case.folder).mkdir(parents=True, exist_ok=True)
    (folder / case.folder / case.names.fused).touch()
    report = {**example_report(smallest_jacobian=math.nan).as_dict(), "files": {"fused": case.names.fused}}
    mark_finished(case, folder, mark, report)
    return report


@pytest.fixture
def batch(table: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command `batch`, with a function in place of all computing."""
    monkeypatch.setattr("BSAFusionLib.commands.batch._program", lambda *_: "program")  # which reads all weights

    def run(computing: Computing, *options: str) -> int:
        monkeypatch.setattr("BSAFusionLib.commands.batch._outcomes", lambda _, pending: computing(pending))
        return main(["batch", str(table), "--out", str(table.parent / "out"), "--quiet", *options])

    return run


def only(subject: str) -> list[str]:
    return ["--participant-label", subject]


def finishing(pending: dict[str, Call]) -> Outcomes:
    yield from ((name, (finish(call), "")) for name, call in pending.items())


def rows(table: Path) -> dict[str, dict[str, str]]:
    with (table.parent / "out" / "summary.csv").open(encoding="utf-8") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_the_summary_lists_what_other_jobs_ended_meanwhile(table: Path, batch: Callable[..., int]) -> None:
    def first(pending: dict[str, Call]) -> Outcomes:
        (call,) = pending.values()
        assert batch(failing, *only("2")) == 1
        assert batch(finishing, *only("3")) == 0
        yield call[0].name, (finish(call), "")

    def failing(pending: dict[str, Call]) -> Outcomes:
        yield "sub-2_pet", (None, "The file pet.nii is cut short.")

    assert batch(first, *only("1")) == 0
    assert {case: row["state"] for case, row in rows(table).items()} == {
        "sub-1": "finished",
        "sub-2": "failed",
        "sub-3": "finished",
    }
    assert rows(table)["sub-2"]["error"] == "The file pet.nii is cut short."
    assert batch(finishing) == 0  # tries the failed case again
    assert {row["state"] for row in rows(table).values()} == {"finished"}
    assert not list((table.parent / "out").rglob(f"*.{FAILED}"))


def test_another_batch_spares_the_folders_of_running_cases(table: Path, batch: Callable[..., int]) -> None:
    def first(pending: dict[str, Call]) -> Outcomes:
        (call,) = pending.values()
        (running := call[2] / call[0].folder / ".unfinished-running").mkdir(parents=True)
        (killed := running.with_name(".unfinished-killed")).mkdir()
        os.utime(killed, (time.time() - 25 * 3600,) * 2)
        assert batch(finishing) == 0
        assert running.is_dir() and not killed.exists()
        yield call[0].name, (finish(call), "")

    assert batch(first, *only("1")) == 0


def test_a_summary_that_replaced_a_later_one_is_written_again(
    table: Path, batch: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writing = summary.write_summary, []

    def write_late(outcomes: list[summary.Outcome], *others: Any) -> None:
        writing.append([outcome.state for outcome in outcomes])
        if len(writing) == 1:
            assert batch(finishing, *only("3")) == 0  # another job, after this one has read the marks
        write(outcomes, *others)

    monkeypatch.setattr(summary, "write_summary", write_late)
    assert batch(finishing, *only("1")) == 0
    assert writing == [
        ["finished", "not run", "not run"],
        ["finished", "finished", "not run"],
        ["finished", "not run", "finished"],
    ]
    assert {case: row["state"] for case, row in rows(table).items()} == {
        "sub-1": "finished",
        "sub-2": "not run",
        "sub-3": "finished",
    }


def test_results_that_are_not_in_the_folder_are_not_entered_as_finished(
    table: Path, batch: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("BSAFusionLib.cohort.finished.VISIBLE_SECONDS", 0)

    def elsewhere(pending: dict[str, Call]) -> Outcomes:
        yield "sub-1_pet", (example_report().as_dict(), "")

    assert batch(elsewhere, *only("1")) == 1
    row = rows(table)["sub-1"]
    assert row["state"] == "failed"
    assert row["error"].startswith(f"Its results are not in {table.parent / 'out'}; check that all workers share")


@pytest.mark.parametrize(
    "description",
    [
        '{"Name": "raw", "DatasetType": "raw"}',
        '{"Name": "fMRIPrep", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]}',
        '{"GeneratedBy": {"Name": "BSAFusion"}}',
        "",
    ],
)
def test_another_dataset_is_rejected_before_anything_is_computed(
    table: Path, batch: Callable[..., int], description: str, capfd: pytest.CaptureFixture
) -> None:
    out = table.parent / "out"
    out.mkdir()
    (out / "dataset_description.json").write_text(description)
    for options in ([], ["--dry-run"]):
        assert batch(finishing, *options) == 2
        assert (
            f"{out} is another dataset, whose dataset_description.json does not name BSAFusion"
            in capfd.readouterr().err
        )
    assert [path.name for path in out.iterdir()] == ["dataset_description.json"]
    assert (out / "dataset_description.json").read_text() == description


@pytest.mark.parametrize("name", ["summary.csv", "summary.html"])
def test_a_summary_of_the_user_is_not_replaced(
    table: Path, batch: Callable[..., int], name: str, capfd: pytest.CaptureFixture
) -> None:
    (out := table.parent / "out").mkdir()
    (out / name).write_text("my own")
    assert batch(finishing) == 2
    assert f"{out / name} is not of this program and would be replaced; rename it" in capfd.readouterr().err
    assert [path.name for path in out.iterdir()] == [name]
    (out / name).unlink()
    assert batch(finishing) == batch(finishing) == 0


def test_a_disk_that_is_full_is_no_bug(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "DOE^JANE")

    monkeypatch.setattr("BSAFusionLib.commands.batch.use_threads", lambda _: None)  # of this process
    monkeypatch.setattr("BSAFusionLib.commands.batch._run", full)
    case, *_ = read_cohort(table).cases
    report, said = do_case(case, {}, table.parent, "mark")
    assert report is None
    assert said.startswith("The system refused to read or write (No space left on device); check the disk")
    assert not (table.parent / "logs").exists()


def test_the_files_of_the_user_that_describe_a_dataset_stay(table: Path, batch: Callable[..., int]) -> None:
    out = table.parent / "out"
    out.mkdir()
    (out / "README").write_text("notes of my study")
    (out / ".bidsignore").write_bytes(b"m\xfcne\nlogs/")  # not UTF-8
    assert batch(finishing) == 0
    described = json.loads((out / "dataset_description.json").read_text())
    assert [item["Name"] for item in described["GeneratedBy"]] == ["BSAFusion"]
    assert not (out / "README.md").exists()
    lines = (out / ".bidsignore").read_bytes().splitlines()
    assert lines[:2] == [b"m\xfcne", b"logs/"] and b"summary.*" in lines and lines.count(b"logs/") == 1
    times = {path: path.stat().st_mtime_ns for path in out.iterdir() if "summary" not in path.name}
    assert batch(finishing) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_description_of_an_earlier_version_is_replaced(table: Path, batch: Callable[..., int]) -> None:
    out = table.parent / "out"
    assert batch(finishing) == 0
    (out / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "BSAFusion", "Version": "0.1"}]}')
    assert (out / "README.md").read_text().startswith("# MRI fused")
    assert batch(finishing) == 0
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"


def test_sidecars_name_their_sources_also_after_a_row_moved_the_root(table: Path, batch: Callable[..., int]) -> None:
    def with_sidecars(pending: dict[str, Call]) -> Outcomes:
        for name, result in finishing(pending):
            case, _, folder, _ = pending[name]
            (folder / case.folder / case.names.deformation).touch()
            write_sidecars(case, folder / case.folder, {**result[0], "overlay": {"color_map": "hot"}})
            yield name, result

    assert batch(with_sidecars, *only("1")) == 0
    (sidecar,) = (table.parent / "out").rglob("*_mode-image_xfm.json")
    first = json.loads(sidecar.read_text())
    assert first["FromFile"] == "bids:raw:pet.nii"
    with table.open("a") as file:
        file.write("4,mri.nii,../elsewhere.nii,pet\n")
    assert batch(with_sidecars, *only("1")) == 0  # done before
    raw = json.loads((table.parent / "out" / "dataset_description.json").read_text())["DatasetLinks"]["raw"]
    assert raw == table.parents[1].as_uri()
    moved = {key: f"bids:raw:{table.parent.name}/{name}.nii" for key, name in (("FromFile", "pet"), ("ToFile", "mri"))}
    assert json.loads(sidecar.read_text()) == {**first, **moved, "SpatialReference": moved["ToFile"]}


def test_the_sidecars_of_a_doubtful_case_say_so(table: Path, tmp_path: Path) -> None:
    case = read_cohort(table).cases[0]
    for what in ("registered", "deformation", "expected_error"):
        (tmp_path / getattr(case.names, what)).touch()
    verdict = {"doubtful": True, "reasons": ["The first."]}
    write_sidecars(case, tmp_path, {"verdict": verdict, "overlay": {"color_map": "hot"}})
    texts = [json.loads(path.read_text())["Description"] for path in tmp_path.glob("sub-*.json")]
    assert len(texts) == 3
    assert all(text.endswith(". Doubtful: The first.") for text in texts)


def test_workers_in_other_folders_are_given_the_whole_path_of_the_weights(
    table: Path, batch: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def computing(pending: dict[str, Call]) -> Outcomes:
        assert [choices["weights"] for _, choices, *_ in pending.values()] == [str(table.parent / "own/pet.pkl")]
        yield from finishing(pending)

    monkeypatch.chdir(table.parent)
    assert batch(computing, *only("1"), "--weights", "own/pet.pkl") == 0


def test_a_case_whose_files_were_removed_is_done_again(batch: Callable[..., int]) -> None:
    calls: dict[str, Call] = {}

    def computing(pending: dict[str, Call]) -> Outcomes:
        calls.update(pending)
        yield from finishing(pending)

    assert batch(computing) == 0
    case, _, folder, _ = calls["sub-2_pet"]
    (folder / case.folder / case.names.fused).unlink()
    calls.clear()
    assert batch(computing) == 0
    assert list(calls) == ["sub-2_pet"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        json.dumps({"fingerprint": "mark", "report": []}),
        json.dumps({"fingerprint": "mark", "report": {"files": None}}),
    ],
)
def test_a_damaged_mark_counts_as_none(table: Path, content: str) -> None:
    case, *_ = read_cohort(table).cases
    path = marker(case, table.parent)
    path.parent.mkdir(parents=True)
    for file in (path, marker(case, table.parent, FAILED)):
        file.write_text(content)
    assert finished_report(case, table.parent, "mark") is None
    assert earlier_files(case, table.parent) == []
    assert failure(case, table.parent, "mark") == ""


def test_a_failure_counts_for_its_fingerprint_alone(table: Path) -> None:
    case, *_ = read_cohort(table).cases
    mark_failed(case, table.parent / "out", "mark", "Out of memory.")
    assert failure(case, table.parent / "out", "mark") == "Out of memory."
    assert failure(case, table.parent / "out", "another") == ""
    mark_failed(case, table, "mark", "Where a file is in the way of the folder, nothing is marked.")
