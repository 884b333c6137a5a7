"""Mark finished cases, so that a stopped run continues and a complete one does nothing."""

import hashlib
import json
from pathlib import Path
from typing import Any

from BSAFusionLib.cohort.cases import Case
from BSAFusionLib.cohort.derivatives import sidecar_name
from BSAFusionLib.files.dicom.recognize import is_dicom_path
from BSAFusionLib.files.inputs import source_of
from BSAFusionLib.files.overwriting import files_of


def fingerprint(case: Case, choices: dict[str, Any], program: str, results: Path) -> str:
    """Return a hash of a case's files (sizes and times), the choices and the program.

    Args:
        case: The case.
        choices: The settings of the run.
        program: Version of the program and hash of its weights.
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
    path = marker(case, folder)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"fingerprint": mark, "report": report}), encoding="utf-8")
    unfinished.replace(path)


def unmark(case: Case, folder: Path) -> None:
    """Remove the mark of a case whose files are about to be replaced."""
    marker(case, folder).unlink(missing_ok=True)


def finished_report(case: Case, folder: Path, mark: str) -> dict[str, Any] | None:
    """Return the report of a case that was finished with this fingerprint, else None."""
    try:
        stored = json.loads(marker(case, folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return stored["report"] if stored["fingerprint"] == mark else None


def earlier_files(case: Case, folder: Path) -> list[str]:
    """Return the names of the files of a case's last result, which differ where another MRI was taken then."""
    try:
        files = json.loads(marker(case, folder).read_text(encoding="utf-8"))["report"]["files"]
    except (OSError, ValueError, KeyError):
        return []
    return [name for file in files.values() for name in {file, sidecar_name(file)}]


def marker(case: Case, folder: Path) -> Path:
    """Return the file that marks a case as finished, in the folder of the cohort's results."""
    return folder / case.folder / f".{case.name}.finished"
