"""Which cases are done, so that a run that was stopped goes on and one that is complete does nothing."""

import glob
import hashlib
import json
from pathlib import Path
from typing import Any

from BSAFusionLib.cohort.cases import Case


def fingerprint(case: Case, choices: dict[str, Any], program: str) -> str:
    """A text that changes when a file of the case's volumes (its size or time), a choice, or the program does.

    program: what says which program and weights are at work.
    """
    files = []
    for path in (case.pair.fixed, case.pair.moving):
        if path.is_dir():
            parts = sorted(file for file in path.rglob("*") if file.is_file())
        elif path.suffix in (".mhd", ".nhdr"):  # a header, its voxels in a file beside it
            parts = sorted(path.parent.glob(f"{glob.escape(path.stem)}.*"))
        else:
            parts = [path]
        for file in parts:
            state = file.stat() if file.is_file() else None
            files.append((str(file), state and (state.st_size, state.st_mtime_ns)))
    series = case.pair.fixed_series, case.pair.moving_series
    content = json.dumps([files, series, case.pair.modality, choices, program], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def mark_finished(case: Case, folder: Path, mark: str, report: dict[str, Any]) -> None:
    """Note, as the last of a case's files, that all of them are there; `folder` is that of the cohort's results."""
    path = _marker(case, folder)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"fingerprint": mark, "report": report}), encoding="utf-8")
    unfinished.replace(path)


def unmark(case: Case, folder: Path) -> None:
    """Note that the case's files are about to be replaced."""
    _marker(case, folder).unlink(missing_ok=True)


def finished_report(case: Case, folder: Path, mark: str) -> dict[str, Any] | None:
    """The report of a case that was finished with this fingerprint; None where it was not."""
    try:
        noted = json.loads(_marker(case, folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return noted["report"] if noted["fingerprint"] == mark else None


def _marker(case: Case, folder: Path) -> Path:
    return folder / case.folder / f".{case.name}.finished"
