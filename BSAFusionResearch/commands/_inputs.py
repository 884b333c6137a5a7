"""Options and files that the commands which measure share."""

import argparse
from collections.abc import Mapping
from pathlib import Path

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
