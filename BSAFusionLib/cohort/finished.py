"""Which cases are done, so that a run that was stopped goes on and one that is complete does nothing."""

import hashlib
import json
from pathlib import Path
from typing import Any

from BSAFusionLib.cohort.cases import Case
from BSAFusionLib.files.dicom.scan import is_dicom_path
from BSAFusionLib.files.overwriting import files_of


def fingerprint(case: Case, choices: dict[str, Any], program: str, results: Path) -> str:
    """Return a text that changes with a file of the case's volumes (its size or time), a choice, or the program.

    Args:
        case: The case.
        choices: The settings of the run.
        program: Names the program and its weights.
        results: The folder of the cohort's results. It may lie in a DICOM folder, and is not part of it then.
    """
    files = []
    for path in (case.pair.fixed, case.pair.moving):
        for file in sorted(files_of(path)):
            if path.is_dir() and file.is_relative_to(results) and not is_dicom_path(file):
                continue
            state = file.stat() if file.is_file() else None
            files.append((str(file), state and (state.st_size, state.st_mtime_ns)))
    series = case.pair.fixed_series, case.pair.moving_series
    content = json.dumps([files, series, case.pair.modality, choices, program], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def mark_finished(case: Case, folder: Path, mark: str, report: dict[str, Any]) -> None:
    """Note, as the last of a case's files, that all of them are there; `folder` is that of the cohort's results."""
    path = marker(case, folder)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"fingerprint": mark, "report": report}), encoding="utf-8")
    unfinished.replace(path)


def unmark(case: Case, folder: Path) -> None:
    """Note that the case's files are about to be replaced."""
    marker(case, folder).unlink(missing_ok=True)


def finished_report(case: Case, folder: Path, mark: str) -> dict[str, Any] | None:
    """The report of a case that was finished with this fingerprint; None where it was not."""
    try:
        noted = json.loads(marker(case, folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return noted["report"] if noted["fingerprint"] == mark else None


def marker(case: Case, folder: Path) -> Path:
    """Return the file that says that a case is finished; `folder` is that of the cohort's results."""
    return folder / case.folder / f".{case.name}.finished"
