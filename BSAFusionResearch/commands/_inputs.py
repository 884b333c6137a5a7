"""Options and files that the commands which measure share."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.resources import MODELS
from BSAFusionResearch.evaluation.baselines import DEFAULT_PYTHON

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Data beside the repository, where there is some."""


def add_baselines(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Add --baselines, and its old name --rivals, which the help leaves out.

    Args:
        parser: Gets the options.
        prefix: Precedes the help text, such as "with --cases: ".
    """
    option = {"type": Path, "nargs": "?", "const": DEFAULT_PYTHON, "metavar": "PYTHON"}
    text = (
        f"{prefix}measure ANTs and elastix too, by a Python that has them (default: that of .venv-baselines, made with "
        "requirements-benchmark.txt)"
    )
    parser.add_argument("--baselines", help=text, **option)
    parser.add_argument("--rivals", dest="baselines", default=argparse.SUPPRESS, help=argparse.SUPPRESS, **option)


def add_threads(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Add --threads."""
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help=f"{prefix}threads of each method (default: 1)"
    )


def check_threads(count: int) -> None:
    """Raise FusionError for less than one thread."""
    if count < 1:
        raise FusionError(f"There must be 1 thread or more, not {count}; change --threads.")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add --weights, which `weights_file` reads."""
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a checkpoint, or a folder with one for each modality (default: the shipped ones)",
    )


def resumed_file(arguments: argparse.Namespace) -> Path | None:
    """Return the --json file whose rows are taken; None without --resume, or where it is not there yet.

    Raises:
        FusionError: --resume is given without --json.
    """
    if not arguments.resume:
        return None
    if not arguments.json:
        raise FusionError("--resume continues from the --json file; name one.")
    return arguments.json if arguments.json.is_file() else None


def weights_file(weights: Path | None, modality: str) -> Path:
    """Return the checkpoint for a modality.

    Args:
        weights: A file, a folder with one for each modality, or None for the shipped ones.
        modality: A name in `MODALITIES`.
    """
    folder = weights or MODELS
    return folder / MODALITIES[modality].weights if folder.is_dir() else folder


def weights_hashes(weights: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of checkpoints, by modality, to tell which rows of an earlier file still hold."""
    from BSAFusionLib.network.weights_file import read_parts, sha256

    return {modality: sha256(read_parts(path)) for modality, path in weights.items()}


def made_from(weights: Mapping[str, Path], files: Iterable[Path]) -> dict[str, Any]:
    """Return what figures follow from beside the options, to be stored with them.

    Args:
        weights: A checkpoint for each modality.
        files: Heads or volumes that are measured on; those that are not there are left out.

    Returns:
        `files`: SHA-256 of the files by name. By modality: SHA-256 of `weights` and of `head_pose`, and the
        `calibration` of the weights' card, None without one.

    Raises:
        FusionError: Weights are missing, or a card or a file cannot be read.
    """
    from BSAFusionLib.head_pose.weights import SHIPPED_WEIGHTS
    from BSAFusionLib.network.weights import read_card
    from BSAFusionLib.pipeline.calibration import read_calibration
    from BSAFusionResearch.simulation.origins import file_hashes

    origin: dict[str, Any] = {"files": file_hashes(path for path in files if path.is_file())}
    head_pose = file_hashes([SHIPPED_WEIGHTS])[SHIPPED_WEIGHTS.name]
    for modality, used in weights_hashes(weights).items():
        calibration = read_calibration(read_card(weights[modality]), modality)
        origin[modality] = {
            "weights": used,
            "head_pose": head_pose,
            "calibration": calibration and calibration.as_dict(),
        }
    return origin


class StillValid(NamedTuple):
    """Which figures of an earlier file still hold.

    Attributes:
        modalities: Whose rows of ours do.
        baselines: Whether the baselines' do.
    """

    modalities: frozenset[str]
    baselines: bool


def still_valid(figures: Mapping[str, Any], origin: Mapping[str, Any], path: Path) -> StillValid:
    """Compare what earlier figures were made from with today's files, and print what is measured again.

    Args:
        figures: Of the --json file; `made_from` says what they were made from, but in files of earlier versions.
        origin: Today's `made_from`.
        path: The --json file.
    """
    modalities = frozenset(origin) - {"files"}
    earlier = figures.get("made_from")
    if earlier is None:
        print(
            f"{path} does not say which files and calibration its figures were made from: ours are measured again, the "
            "baselines' are kept.",
            flush=True,
        )
        return StillValid(frozenset(), True)
    if earlier.get("files") != origin["files"]:
        print(f"The heads or volumes are not those of {path}: all figures are measured again.", flush=True)
        return StillValid(frozenset(), False)
    same = frozenset(modality for modality in modalities if earlier.get(modality) == origin[modality])
    if changed := sorted(modalities - same):
        print(
            f"{', '.join(changed).upper()}: weights, calibration or head-pose weights are not those of {path}, so ours "
            "are measured again.",
            flush=True,
        )
    return StillValid(same, True)


def baselines_alone(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what is measured again."""
    return {name: row[name] for name in ("number", "settings", "baselines") if name in row}
