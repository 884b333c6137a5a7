"""Registers and fuses every case of a CSV table or BIDS folder, on this machine or a Dask cluster."""

import argparse
import importlib.util
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib import version
from BSAFusionLib.commands._case import DOUBTFUL_STATUS, case_inputs, case_names, case_outputs, run_case
from BSAFusionLib.commands._options import add_settings, add_strict, choices_of
from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES

if TYPE_CHECKING:
    from BSAFusionLib.cohort.cases import Case
    from BSAFusionLib.cohort.summary import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "cohort",
        type=Path,
        metavar="COHORT",
        help="a CSV table with the columns case, fixed, moving, modality (and fixed_series, moving_series for DICOM "
        "folders), or a BIDS folder, whose CT, PET and SPECT are paired with the MRI of the same subject",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of parallel cases on this machine (default: by its cores and memory)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="scheduler of a Dask cluster with access to the same folders, tcp://host:8786",
    )
    add_strict(parser)
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from tqdm import tqdm

    from BSAFusionLib.cohort.cases import read_cohort
    from BSAFusionLib.cohort.derivatives import describe_dataset
    from BSAFusionLib.cohort.finished import fingerprint, finished_report
    from BSAFusionLib.cohort.summary import Outcome, write_summary
    from BSAFusionLib.files.overwriting import refuse_overwriting

    if arguments.workers is not None and arguments.workers < 1:
        raise FusionError(f"--workers {arguments.workers} is invalid; give 1 or more.")
    cases = read_cohort(arguments.cohort.absolute())
    choices = choices_of(arguments)
    folder = arguments.out.absolute()
    refuse_overwriting(batch_inputs(arguments.cohort, cases, choices), batch_outputs(folder, cases))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        describe_dataset(folder, arguments.cohort)
    except OSError as error:
        raise FusionError(
            f"The results cannot be written to {folder} ({error.strerror}); choose another folder."
        ) from error
    programs = {case.pair.modality: _program(case.pair.modality, choices["weights"]) for case in cases}
    marks = {case.name: fingerprint(case, choices, programs[case.pair.modality], folder) for case in cases}
    reports = {case.name: finished_report(case, folder, marks[case.name]) for case in cases}
    outcomes = {case.name: Outcome(case, reports[case.name], "" if reports[case.name] else "not run") for case in cases}
    pending = {case.name: (case, choices, folder, marks[case.name]) for case in cases if reports[case.name] is None}
    print(f"{len(cases)} cases, {len(cases) - len(pending)} of them done before", file=sys.stderr)
    for case, *_ in pending.values():
        for leftover in (folder / case.folder).glob(".unfinished-*"):  # from a worker that was killed
            shutil.rmtree(leftover, ignore_errors=True)
    try:
        if pending:
            with tqdm(total=len(cases), initial=len(cases) - len(pending), unit="case") as bar:
                for name, outcome in _outcomes(arguments, pending):
                    case = pending[name][0]
                    if isinstance(outcome, Exception):
                        outcome = None, f"Its worker was lost ({outcome}); if memory ran out, use fewer --workers."
                    outcomes[name] = Outcome(case, *outcome)
                    if outcomes[name].report is None:
                        bar.write(f"{name}: {outcomes[name].error}", file=sys.stderr)
                    bar.update()
    finally:
        write_summary(list(outcomes.values()), folder)
    return _tell(list(outcomes.values()), arguments)


def _tell(outcomes: list["Outcome"], arguments: argparse.Namespace) -> int:
    """Print the doubtful cases and the counts; return the exit status."""
    doubts = {outcome.case.name: outcome.doubt for outcome in outcomes if outcome.doubt}
    for name, doubt in sorted(doubts.items()):
        print(f"{name}: {doubt}")
    failed = sum(outcome.report is None for outcome in outcomes)
    print(
        f"{len(outcomes) - failed} cases in {arguments.out}, {len(doubts)} doubtful, {failed} failed; "
        f"see {arguments.out / 'summary.html'}"
    )
    if failed:
        return 1
    return DOUBTFUL_STATUS if arguments.strict and doubts else 0


def _outcomes(
    arguments: argparse.Namespace, pending: dict[str, tuple["Case", dict[str, Any], Path, str]]
) -> Iterator[tuple[str, Any]]:
    """Yield names and outcomes of `do_case`, computed by Dask where that is installed.

    Raises:
        FusionError: A scheduler is given, but Dask is not installed or no scheduler answers there.
    """
    if importlib.util.find_spec("distributed") is None:
        if arguments.scheduler is not None:
            raise FusionError("A cluster needs Dask; install it with: pip install 'bsafusion[cluster]'")
        from BSAFusionLib.cohort.processes import run_in_processes

        yield from run_in_processes(do_case, pending, arguments.workers)
        return
    from BSAFusionLib.cohort.workers import connected, run_all

    gpus = _gpu_memories(arguments.device) if arguments.scheduler is None else []
    with connected(arguments.scheduler, arguments.workers, len(pending), gpus) as client:
        yield from run_all(client, do_case, pending)


def batch_inputs(cohort: Path, cases: Sequence["Case"], choices: dict[str, Any]) -> Iterator[Path]:
    """Yield the files and DICOM folders that a batch reads."""
    from BSAFusionLib.cohort.derivatives import DESCRIPTION_NAMES

    yield from (cohort / name for name in DESCRIPTION_NAMES) if cohort.is_dir() else (cohort,)
    for case in cases:
        yield from case_inputs(case.pair, choices)


def batch_outputs(folder: Path, cases: Sequence["Case"]) -> Iterator[Path]:
    """Yield all files that a batch writes or replaces."""
    from BSAFusionLib.cohort.derivatives import DESCRIPTION_NAMES, sidecar_names
    from BSAFusionLib.cohort.finished import marker
    from BSAFusionLib.cohort.summary import SUMMARY_NAMES

    yield from (folder / name for name in (*DESCRIPTION_NAMES, *SUMMARY_NAMES))
    for case in cases:
        yield from case_outputs(folder / case.folder, case.names)
        yield from (folder / case.folder / name for name in sidecar_names(case.names))
        yield from (marker(case, folder), log_file(case, folder))


def log_file(case: "Case", folder: Path) -> Path:
    """Return the log for the traceback of a case that failed by a bug."""
    return folder / "logs" / f"{case.name}.txt"


def do_case(case: "Case", choices: dict[str, Any], folder: Path, mark: str) -> tuple[dict[str, Any] | None, str]:
    """Run one case on the worker that calls this.

    Args:
        case: The case.
        choices: Fields of `Settings`.
        folder: The folder of the cohort's results.
        mark: The case's fingerprint.

    Returns:
        Its report and "", or None and an error message.
    """
    try:
        return _run(case, choices, folder, mark), ""
    except FusionError as error:
        return None, str(error)
    except Exception as error:  # a bug: log it, and continue with the other cases
        log = log_file(case, folder)
        log.parent.mkdir(exist_ok=True)
        # Without the error's message, which may contain a path with a patient's name.
        log.write_text("".join([*traceback.format_tb(error.__traceback__), type(error).__name__]), encoding="utf-8")
        return None, f"{type(error).__name__}, a bug of the program; see logs/{log.name}."


def _run(case: "Case", choices: dict[str, Any], folder: Path, mark: str) -> dict[str, Any]:
    """Run one case, write its files and mark it as finished; return its report."""
    import json

    import SimpleITK as sitk
    import torch

    from BSAFusionLib.cohort.derivatives import write_sidecars
    from BSAFusionLib.cohort.finished import mark_finished, unmark
    from BSAFusionLib.files.atomic import written_whole

    # One thread per case fixes the order of sums, so that a case has the same result everywhere.
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with written_whole(folder / case.folder, case_names(case.names)) as unfinished:
        run_case(case.pair, choices, unfinished, case.names)
        report = json.loads((unfinished / case.names.report).read_text(encoding="utf-8"))
        write_sidecars(case, unfinished, report)
        unmark(case, folder)
    mark_finished(case, folder, mark, report)
    return report


def _program(modality: str, weights: str | None) -> str:
    """Return the program's version and the hash of the weights for a modality."""
    from BSAFusionLib.network.weights import read_parts, sha256
    from BSAFusionLib.resources import MODELS

    return f"{version} {sha256(read_parts(Path(weights or MODELS / MODALITIES[modality].weights)))}"


def _gpu_memories(device: str) -> list[int]:
    """Return the memory in bytes of each CUDA GPU that the cases can be spread over."""
    import torch

    if device not in ("auto", "cuda"):
        return []
    return [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]
