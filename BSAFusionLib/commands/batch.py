"""Register and fuse every case of a CSV table or BIDS folder, on this machine or a Dask cluster."""

import argparse
import importlib.util
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib import version
from BSAFusionLib.commands._case import DOUBTFUL_STATUS, case_inputs, case_names, case_outputs, run_case
from BSAFusionLib.commands._options import add_running, add_settings, add_strict, check_count, choices_of, use_threads
from BSAFusionLib.commands._progress import case_counter, say
from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES

if TYPE_CHECKING:
    from BSAFusionLib.cohort.cases import Case, Cohort
    from BSAFusionLib.cohort.summary import Outcome

    Call = tuple[Case, dict[str, Any], Path, str]  # the arguments of `do_case` without the threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "cohort",
        type=Path,
        metavar="COHORT",
        help="a CSV table with the columns case, fixed, moving, modality (and fixed_series, moving_series for DICOM "
        "folders, fixed_mask, frames), or a BIDS folder, whose CT, PET and SPECT are paired with the MRI of the same "
        "subject",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    for prefix, what in (("sub-", "participant"), ("ses-", "session")):
        parser.add_argument(
            f"--{what}-label",
            nargs="+",
            default=(),
            metavar="LABEL",
            help=f"only these {what}s ({prefix} may be left out)",
        )
    parser.add_argument("--dry-run", action="store_true", help="list the cases and check their paths; write nothing")
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
    add_running(parser, "1, with which a case has the same result everywhere")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from BSAFusionLib.cohort.cases import check_paths
    from BSAFusionLib.cohort.derivatives import refuse_other_dataset
    from BSAFusionLib.cohort.reading import read_cohort
    from BSAFusionLib.files.overwriting import refuse_overwriting

    check_count("--workers", arguments.workers)
    check_count("--threads", arguments.threads)
    cohort = read_cohort(arguments.cohort.absolute())
    if cohort.remark:
        say(cohort.remark, arguments.quiet)
    chosen = cohort.choose(arguments.participant_label, arguments.session_label)
    choices, folder = choices_of(arguments), arguments.out.absolute()
    if choices["weights"]:  # the workers of a cluster may run in other folders
        choices["weights"] = str(Path(choices["weights"]).absolute())
    refuse_overwriting(batch_inputs(arguments.cohort, cohort.cases, choices), batch_outputs(folder, cohort.cases))
    refuse_other_dataset(folder)
    check_paths(chosen.cases)
    calls = _calls(cohort.cases, choices, folder)
    outcomes = {name: _stored(call) for name, call in calls.items()}
    pending = {case.name: calls[case.name] for case in chosen.cases if outcomes[case.name].report is None}
    if arguments.dry_run:
        _list(chosen, pending)
        return 0
    _prepare(folder, cohort, outcomes)
    say(f"{len(chosen.cases)} cases, {len(chosen.cases) - len(pending)} of them done before", arguments.quiet)
    for name, reason in _notes(chosen):
        say(f"{name}: {reason}", arguments.quiet)
    try:
        if pending:
            _compute(arguments, pending, outcomes, len(chosen.cases))
    finally:
        others = {name: call for name, call in calls.items() if name not in pending}
        _summarize([outcomes[name] for name in pending], others, cohort, folder)
    return _tell([outcomes[case.name] for case in chosen.cases], chosen, arguments)


def _calls(cases: "Sequence[Case]", choices: dict[str, Any], folder: Path) -> dict[str, "Call"]:
    """Return the arguments of `do_case` by the names of the cases."""
    from BSAFusionLib.cohort.finished import fingerprint

    programs = {modality: _program(modality, choices["weights"]) for modality in {case.pair.modality for case in cases}}
    return {
        case.name: (case, choices, folder, fingerprint(case, choices, programs[case.pair.modality], folder))
        for case in cases
    }


def _stored(call: "Call") -> "Outcome":
    """Return the outcome of a case that this or another job has entered in the folder of the results."""
    from BSAFusionLib.cohort.finished import failure, finished_report
    from BSAFusionLib.cohort.summary import Outcome

    case, _, folder, mark = call
    report = finished_report(case, folder, mark)
    return Outcome(case, report, "" if report else failure(case, folder, mark))


def _summarize(outcomes: list["Outcome"], others: dict[str, "Call"], cohort: "Cohort", folder: Path) -> None:
    """Write the summary of the whole cohort.

    Args:
        outcomes: Those of this job.
        others: Cases that other jobs may have finished meanwhile.
        cohort: The cohort.
        folder: The folder of its results.
    """
    from BSAFusionLib.cohort.summary import write_summary

    written = None
    while True:
        current = [*outcomes, *map(_stored, others.values())]
        states = [(outcome.state, outcome.error) for outcome in current]
        if states == written:
            return
        # Again if another case has ended meanwhile: this summary may have replaced one that lists it.
        write_summary(current, cohort.left_out, folder)
        written = states


def _prepare(folder: Path, cohort: "Cohort", outcomes: dict[str, "Outcome"]) -> None:
    """Make the folder of the results, describe it as a dataset, and remove what killed workers left long ago."""
    from BSAFusionLib.cohort.derivatives import describe_dataset, update_sources
    from BSAFusionLib.files.atomic import remove_stale, unwritable

    try:
        folder.mkdir(parents=True, exist_ok=True)
        describe_dataset(folder, cohort.root)
    except OSError as error:
        raise unwritable(folder, error) from error
    for case in cohort.cases:  # also of those done meanwhile, in whose folders nothing is written again
        remove_stale(folder / case.folder)
        if outcomes[case.name].report:
            update_sources(case, folder / case.folder)


def _notes(chosen: "Cohort") -> Iterator[tuple[str, str]]:
    """Yield what a user should know before the first case runs, by the name of a case or subject."""
    yield from ((case.name, case.remark) for case in chosen.cases if case.remark)
    yield from ((item.name, f"left out: {item.reason}") for item in chosen.left_out)


def _list(chosen: "Cohort", pending: dict[str, "Call"]) -> None:
    """Print what a run would do."""
    for case in chosen.cases:
        fixed, moving = case.shown_sources
        print(f"{case.title}: {'to do' if case.name in pending else 'done before'}, {moving} to {fixed}")
    for name, reason in _notes(chosen):
        print(f"{name}: {reason}")
    print(
        f"{len(pending)} cases to do, {len(chosen.cases) - len(pending)} done before, {len(chosen.left_out)} left out; "
        "nothing was written"
    )


def _compute(
    arguments: argparse.Namespace, pending: dict[str, "Call"], outcomes: dict[str, "Outcome"], total: int
) -> None:
    """Run the pending cases and enter their outcomes."""
    from BSAFusionLib.cohort.finished import mark_failed
    from BSAFusionLib.cohort.summary import Outcome

    with case_counter(total, total - len(pending), arguments.quiet) as count:
        for name, result in _outcomes(arguments, pending):
            case, _, folder, mark = pending[name]
            report, error = _checked(result, pending[name])
            outcomes[name] = Outcome(case, report, error)
            if error:
                mark_failed(case, folder, mark, error)
            count(f"{name}: {error or outcomes[name].doubt or 'finished'}", bool(error))


def _checked(result: Any, call: "Call") -> tuple[dict[str, Any] | None, str]:
    """Return the report or error message of a case, after a check that the results are in this job's folder.

    Args:
        result: What `do_case` returned, or the exception that ended its worker.
        call: Its arguments.
    """
    from BSAFusionLib.cohort.finished import wait_for_report

    if isinstance(result, Exception):
        return None, f"Its worker was lost ({result}); if memory ran out, use fewer --workers."
    report, error = result
    case, _, folder, mark = call
    if report is not None and wait_for_report(case, folder, mark) is None:
        return None, (
            f"Its results are not in {folder}; check that all workers share this folder and that no other run writes "
            "to it."
        )
    return report, error


def _tell(outcomes: list["Outcome"], chosen: "Cohort", arguments: argparse.Namespace) -> int:
    """Print the doubtful cases and the counts; return the exit status."""
    from BSAFusionLib.cohort.cases import shortened

    doubts = {outcome.case.name: outcome.doubt for outcome in outcomes if outcome.doubt}
    for name, doubt in sorted(doubts.items()):
        print(f"{name}: {doubt}")
    failed = sum(outcome.report is None for outcome in outcomes)
    left_out = f", {len(chosen.left_out)} left out ({shortened([item.name for item in chosen.left_out])})"
    print(
        f"{len(outcomes) - failed} cases in {arguments.out}, {len(doubts)} doubtful, {failed} failed"
        f"{left_out if chosen.left_out else ''}; see {arguments.out / 'summary.html'}"
    )
    if failed:
        return 1
    return DOUBTFUL_STATUS if arguments.strict and doubts else 0


def _outcomes(arguments: argparse.Namespace, pending: dict[str, "Call"]) -> Iterator[tuple[str, Any]]:
    """Yield names and outcomes of `do_case`, computed by Dask where that is installed.

    Raises:
        FusionError: A scheduler is given, but Dask is not installed or no scheduler answers there.
    """
    threads = arguments.threads or 1
    calls = {name: (*call, threads) for name, call in pending.items()}
    if importlib.util.find_spec("distributed") is None:
        if arguments.scheduler is not None:
            raise FusionError("A cluster needs Dask; install it with: pip install 'bsafusion[cluster]'")
        from BSAFusionLib.cohort.capacity import processes_without_dask
        from BSAFusionLib.cohort.processes import run_in_processes

        count = arguments.workers or processes_without_dask(len(calls), threads, _gpu_memories(arguments.device))
        yield from run_in_processes(do_case, calls, count)
        return
    from BSAFusionLib.cohort.workers import connected, run_all

    gpus = _gpu_memories(arguments.device) if arguments.scheduler is None else []
    with connected(arguments.scheduler, arguments.workers, len(calls), gpus, threads) as client:
        yield from run_all(client, do_case, calls)


def batch_inputs(cohort: Path, cases: Sequence["Case"], choices: dict[str, Any]) -> Iterator[Path]:
    """Yield the files and DICOM folders that a batch reads."""
    from BSAFusionLib.cohort.derivatives import DESCRIPTION_NAMES

    yield from (cohort / name for name in DESCRIPTION_NAMES) if cohort.is_dir() else (cohort,)
    for case in cases:
        yield from case_inputs(case.pair, choices)


def batch_outputs(folder: Path, cases: Sequence["Case"]) -> Iterator[Path]:
    """Yield all files that a batch writes or replaces."""
    from BSAFusionLib.cohort.derivatives import DESCRIPTION_NAMES, sidecar_names
    from BSAFusionLib.cohort.finished import FAILED, marker
    from BSAFusionLib.cohort.summary import SUMMARY_NAMES

    yield from (folder / name for name in (*DESCRIPTION_NAMES, *SUMMARY_NAMES))
    for case in cases:
        yield from case_outputs(folder / case.folder, case.names)
        yield from (folder / case.folder / name for name in sidecar_names(case.names))
        yield from (marker(case, folder), marker(case, folder, FAILED), log_file(case, folder))


def log_file(case: "Case", folder: Path) -> Path:
    """Return the log for the traceback of a case that failed by a bug."""
    return folder / "logs" / f"{case.name}.txt"


def do_case(
    case: "Case", choices: dict[str, Any], folder: Path, mark: str, threads: int = 1
) -> tuple[dict[str, Any] | None, str]:
    """Run one case on the worker that calls this.

    Args:
        case: The case.
        choices: Fields of `Settings`.
        folder: The folder of the cohort's results.
        mark: The case's fingerprint.
        threads: One fixes the order of sums, so that a case has the same result everywhere.

    Returns:
        Its report and "", or None and an error message.
    """
    try:
        use_threads(threads)
        return _run(case, choices, folder, mark), ""
    except FusionError as error:
        return None, str(error)
    except OSError as error:  # without its path, which may hold a patient's name
        why = error.strerror or type(error).__name__
        return None, f"The system refused to read or write ({why}); check the disk and the network, then start again."
    except Exception as error:  # a bug: log it, and continue with the other cases
        log = log_file(case, folder)
        log.parent.mkdir(exist_ok=True)
        # Without the error's message, which may contain a path with a patient's name.
        log.write_text("".join([*traceback.format_tb(error.__traceback__), type(error).__name__]), encoding="utf-8")
        return None, f"{type(error).__name__}, a bug of the program; see logs/{log.name}."


def _run(case: "Case", choices: dict[str, Any], folder: Path, mark: str) -> dict[str, Any]:
    """Run one case, write its files and mark it as finished; return its report."""
    import json

    from BSAFusionLib.cohort.derivatives import sidecar_names, write_sidecars
    from BSAFusionLib.cohort.finished import earlier_files, mark_finished, unmark
    from BSAFusionLib.files.atomic import written_whole

    replaced = {*case_names(case.names), *sidecar_names(case.names), *earlier_files(case, folder)}
    with written_whole(folder / case.folder, replaced) as unfinished:
        run_case(case.pair, choices, unfinished, case.names)
        report = json.loads((unfinished / case.names.report).read_text(encoding="utf-8"))
        write_sidecars(case, unfinished, report)
        unmark(case, folder)
    mark_finished(case, folder, mark, report)
    return report


def _program(modality: str, weights: str | None) -> str:
    """Return the program's version and the hashes of the weights for a modality and of their card, where there is one.

    The card holds the calibration, which decides how much is deformed.
    """
    from BSAFusionLib.network.weights_file import card_of, read_parts, sha256
    from BSAFusionLib.resources import MODELS

    path = Path(weights or MODELS / MODALITIES[modality].weights)
    card = card_of(path)
    return " ".join([version, sha256(read_parts(path)), *([sha256(card.read_bytes())] if card.is_file() else [])])


def _gpu_memories(device: str) -> list[int]:
    """Return the memory in bytes of each CUDA GPU that the cases can be spread over."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    return [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]
