"""Without Dask, cases run in processes of this machine, and one that dies takes only its own case with it."""

import os
from pathlib import Path

import pytest

from BSAFusionLib.__main__ import main
from BSAFusionLib.cohort.processes import run_in_processes
from Testing.cohort.cluster import answer_or_die


def test_the_death_of_a_process_fails_its_case_alone() -> None:
    outcomes = dict(run_in_processes(answer_or_die, {"a": ("well",), "b": (None,), "c": ("too",)}, count=2))
    assert (outcomes["a"], outcomes["c"]) == ("well", "too")
    assert isinstance(outcomes["b"], RuntimeError)


def test_an_error_is_an_outcome_and_every_case_has_a_process() -> None:
    outcomes = dict(run_in_processes(int, {"number": ("1",), "word": ("one",)}, count=1))
    assert outcomes["number"] == 1
    assert isinstance(outcomes["word"], ValueError)
    assert dict(run_in_processes(os.getpid, {"here": ()}, count=1))["here"] != os.getpid()


@pytest.fixture
def without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    found = __import__("importlib").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "distributed" else found(name))


def test_a_cluster_without_dask_is_reported_in_one_sentence(
    without_dask: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("mri", "ct"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    (tmp_path / "cohort.csv").write_text("case,fixed,moving,modality\na,mri.nii.gz,ct.nii.gz,ct\n")
    options = ["--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"]
    assert main(["batch", str(tmp_path / "cohort.csv"), *options]) == 2
    assert "bsafusion[cluster]" in capsys.readouterr().err.splitlines()[-1]


def test_a_batch_without_dask_reports_each_case(without_dask: None, tmp_path: Path) -> None:
    for name in ("mri", "ct"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    (tmp_path / "cohort.csv").write_text("case,fixed,moving,modality\na,mri.nii.gz,ct.nii.gz,ct\n")
    assert main(["batch", str(tmp_path / "cohort.csv"), "--out", str(tmp_path / "out")]) == 1
    assert "cannot be read" in (tmp_path / "out" / "summary.csv").read_text()
