"""Mark finished and failed cases, so that a stopped run continues and jobs that share a folder know of each other."""

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from BSAFusionLib.cohort.cases import Case
from BSAFusionLib.cohort.derivatives import sidecar_name
from BSAFusionLib.files.dicom.recognize import is_dicom_path
from BSAFusionLib.files.inputs import source_of
from BSAFusionLib.files.overwriting import files_of

FAILED = "failed"
VISIBLE_SECONDS = 60  # until every machine sees a new file on a network disk
# Of a mark that is not there, cannot be read, or was damaged, such as emptied by a power cut.
NO_MARK = (OSError, ValueError, KeyError, TypeError, AttributeError)


def fingerprint(case: Case, choices: dict[str, Any], program: str, results: Path) -> str:
    """Return a hash of a case's files (sizes and times), the choices and the program.

    Args:
        case: The case.
        choices: The settings of the run.
        program: Version of the program and hashes of its weights and their card.
        results: The folder of the cohort's results, which is ignored where it lies in a DICOM folder.
    """
    files = []
    for path in map(source_of, case.pair.paths().values()):
        for file in sorted(files_of(path)):
            if path.is_dir() and file.is_relative_to(results) and not is_dicom_path(file):
                continue
            state = file.stat() if file.is_file() else None
            files.append((str(file), state and (state.st_size, state.st_mtime_ns)))
    chosen = case.pair.fixed_series, case.pair.moving_series, case.pair.frames
    content = json.dumps([files, chosen, case.pair.modality, choices, program], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def mark_finished(case: Case, folder: Path, mark: str, report: dict[str, Any]) -> None:
    """Mark a case as finished once all its files are written.

    Args:
        case: The case.
        folder: The folder of the cohort's results.
        mark: The case's fingerprint.
        report: The content of its report.json.
    """
    _write(marker(case, folder), {"fingerprint": mark, "report": report})
    marker(case, folder, FAILED).unlink(missing_ok=True)


def mark_failed(case: Case, folder: Path, mark: str, error: str) -> None:
    """Mark a case as failed for other jobs that share the folder; do nothing where the folder cannot be written to.

    Args:
        case: The case.
        folder: The folder of the cohort's results.
        mark: The case's fingerprint.
        error: The error message.
    """
    path = marker(case, folder, FAILED)
    with contextlib.suppress(OSError):  # the summary of this run has the message
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, {"fingerprint": mark, "error": error})


def unmark(case: Case, folder: Path) -> None:
    """Remove the mark of a case whose files are about to be replaced."""
    marker(case, folder).unlink(missing_ok=True)


def finished_report(case: Case, folder: Path, mark: str) -> dict[str, Any] | None:
    """Return the report of a case that was finished with this fingerprint and whose files are all there, else None."""
    try:
        stored = _read(marker(case, folder))
        there = all((folder / case.folder / name).exists() for name in stored["report"]["files"].values())
        return stored["report"] if there and stored["fingerprint"] == mark else None
    except NO_MARK:
        return None


def wait_for_report(case: Case, folder: Path, mark: str) -> dict[str, Any] | None:
    """Return `finished_report` of a case that a worker has just finished, after up to `VISIBLE_SECONDS`."""
    end = time.monotonic() + VISIBLE_SECONDS
    while (report := finished_report(case, folder, mark)) is None and time.monotonic() < end:
        time.sleep(0.5)
    return report


def failure(case: Case, folder: Path, mark: str) -> str:
    """Return the error message of a case that failed with this fingerprint, else ""."""
    try:
        stored = _read(marker(case, folder, FAILED))
        return str(stored["error"]) if stored["fingerprint"] == mark else ""
    except NO_MARK:
        return ""


def earlier_files(case: Case, folder: Path) -> list[str]:
    """Return the names of the files of a case's last result, which differ where another MRI was taken then."""
    try:
        files = _read(marker(case, folder))["report"]["files"]
        return [name for file in files.values() for name in {file, sidecar_name(file)}]
    except NO_MARK:
        return []


def marker(case: Case, folder: Path, state: str = "finished") -> Path:
    """Return the file that marks a case as finished or failed, in the folder of the cohort's results."""
    return folder / case.folder / f".{case.name}.{state}"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a mark completely or not at all."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(path)
