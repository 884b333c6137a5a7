"""Register a CT, PET or SPECT to an MRI, from files or DICOM folders, and fuse the two."""

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

from BSAFusionLib.commands._case import (
    DOUBTFUL_STATUS,
    case_inputs,
    case_outputs,
    earlier_names,
    run_case,
    save_json,
)
from BSAFusionLib.commands._options import add_running, add_settings, add_strict, check_count, choices_of, use_threads
from BSAFusionLib.commands._program import program_words
from BSAFusionLib.commands._progress import progress_bar
from BSAFusionLib.commands._slices import are_slices, check_choices, run_slices
from BSAFusionLib.errors import ExchangedRoles, FusionError
from BSAFusionLib.files.outputs import SLICES
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.settings import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "fixed",
        type=Path,
        metavar="FIXED",
        help="the MRI: a NIfTI, NRRD or MetaImage file, or a DICOM folder; or, with a PNG as MOVING, one slice as PNG",
    )
    parser.add_argument("moving", type=Path, metavar="MOVING", help="the CT, PET or SPECT to register to it")
    parser.add_argument(
        "--modality",
        choices=("auto", *MODALITIES),
        default="auto",
        help="modality of MOVING (default: from DICOM tags, sidecar or BIDS name, else from intensities and file name)",
    )
    parser.add_argument(
        "--landmarks",
        nargs=2,
        type=Path,
        metavar=("ON_FIXED", "ON_MOVING"),
        help="files with the same points on both volumes, saved by Slicer's Markups (.mrk.json, .fcsv); the report "
        "then has their distances",
    )
    parser.add_argument(
        "--fixed-mask",
        type=Path,
        metavar="FILE",
        help="a label map on the MRI, on any grid: the rigid registration and the mutual information look only there",
    )
    for role in ("fixed", "moving"):
        parser.add_argument(
            f"--{role}-series",
            metavar="UID",
            help=f"UID of the series in a DICOM folder {role.upper()} that holds several",
        )
    parser.add_argument(
        "--frames",
        metavar="LIST",
        help="frames of a dynamic MOVING (NIfTI with a time axis, or DICOM) whose mean is registered, counted from 1, "
        "such as 3-8,12 (default: all); every frame is carried along",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures of the report to this file")
    add_strict(parser)
    add_running(parser, "all")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from BSAFusionLib.files.atomic import written_whole
    from BSAFusionLib.files.inputs import Pair
    from BSAFusionLib.files.overwriting import refuse_overwriting

    check_count("--threads", arguments.threads)
    pair = Pair(
        arguments.fixed,
        arguments.moving,
        arguments.modality,
        arguments.fixed_series,
        arguments.moving_series,
        arguments.fixed_mask,
        arguments.frames,
    )
    choices, landmarks = choices_of(arguments), arguments.landmarks or ()
    refuse_overwriting(
        [*case_inputs(pair, choices), *landmarks],
        [*case_outputs(arguments.out), arguments.json],
    )
    use_threads(arguments.threads)
    if are_slices(arguments.fixed, arguments.moving):
        return _fuse_slices(arguments, choices)
    try:
        replaced = earlier_names(arguments.out)
        with written_whole(arguments.out, replaced) as folder, progress_bar(arguments.quiet) as progress:
            finished = run_case(pair, choices, folder, landmarks=landmarks, progress=progress, begun=arguments.begun)
    except ExchangedRoles as error:
        raise FusionError(f"{error} Run: {_exchanged_command(arguments)}") from error
    report = finished.case.result.report
    print(report)
    print(f"results in {arguments.out}")
    if arguments.json:
        save_json(report.as_dict(), arguments.json, arguments.out)
    return DOUBTFUL_STATUS if arguments.strict and report.verdict.doubtful else 0


def _exchanged_command(arguments: argparse.Namespace) -> str:
    """Return the command that was typed with the two volumes, their series and their landmarks exchanged."""
    exchanged = {"--fixed-s": "--moving-s", "--moving-s": "--fixed-s"}  # also of shortened options
    volumes = {arguments.fixed: arguments.moving, arguments.moving: arguments.fixed}
    landmarks = arguments.landmarks or ()
    points = dict(zip(landmarks, reversed(landmarks), strict=True))
    words = []
    for before, word in zip(["", *arguments.words], arguments.words, strict=False):
        others = points if _takes_value(before) else {**points, **volumes}  # a folder may be called "ct"
        other = str(others.get(Path(word), word))
        words.append(re.sub("^--(fixed|moving)-s", lambda found: exchanged[found[0]], other))
    return shlex.join([*program_words(Path()), *words])


def _takes_value(word: str) -> bool:
    """Tell whether a word of the command is an option whose value is the next word."""
    flags = ("--strict", "--quiet", *(option.flag for option in options().values() if option.kind is None))
    return word.startswith("--") and "=" not in word and not any(flag.startswith(word) for flag in flags)


def _fuse_slices(arguments: argparse.Namespace, choices: dict[str, Any]) -> int:
    """Register and fuse a pair of PNG files; return the exit code."""
    from BSAFusionLib.files.atomic import written_whole

    for name in ("landmarks", "fixed_mask", "frames", "fixed_series", "moving_series", "json", "strict"):
        if getattr(arguments, name):
            raise FusionError(f"--{name.replace('_', '-')} does not apply to PNG slices; omit it.")
    check_choices(choices)
    with written_whole(arguments.out, earlier_names(arguments.out)) as folder:
        result = run_slices(arguments.fixed, arguments.moving, arguments.modality, choices, folder)
    print(f"The moving slice was moved by {result.mean_displacement_px:.1f} pixels on average.")
    print(f"Nothing checks whether slices are registered rightly; look at {SLICES[0]}.")
    print(f"results in {arguments.out}")
    return 0
