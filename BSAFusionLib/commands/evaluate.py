"""Measures how well the weights align and fuse, on slices and volumes whose truth is known."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files import written_whole
from BSAFusionLib.pipeline import shipped_models
from BSAFusionLib.settings import Settings, modalities

if TYPE_CHECKING:
    from BSAFusionLib.network.bsafusion import BSAFusion

shared_data = Path(__file__).resolve().parents[3] / "shared" / "data"  # beside the repository, where there is one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description += " With none of the folders named, those of ../shared/data are measured on."
    parser.add_argument(
        "--benchmark",
        type=Path,
        metavar="DIR",
        help="a folder with ct.npz, pet.npz, spect.npz: deformed slices, their truth and what the published model gave",
    )
    parser.add_argument(
        "--volumes",
        type=Path,
        metavar="DIR",
        help="a folder with mri_t1.nii.gz, pet.nii.gz and ct.nii.gz of one head, in one space, to be moved",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="known motions a volume (default: 3)")
    parser.add_argument(
        "--modality", nargs="+", choices=modalities, default=modalities, help="of the slices (default: all three)"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a checkpoint, or a folder with one for each modality (default: the shipped ones)",
    )
    parser.add_argument(
        "--sheets", type=Path, metavar="DIR", help="draw eight benchmark pairs of each modality into this folder"
    )
    parser.add_argument("--device", default=Settings.device, help="auto, cpu, cuda, cuda:0, mps (default: auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def run(arguments: argparse.Namespace) -> int:
    """Print the tables and write the figures where asked; FusionError where data or weights are missing."""
    if arguments.seeds < 1:
        raise FusionError(f"There must be 1 known motion or more, not {arguments.seeds}.")
    name_folders(arguments)
    figures: dict = {}
    if arguments.benchmark:
        for modality in arguments.modality:
            figures[modality] = slice_figures(arguments, modality)
    if arguments.volumes:
        figures["volumes"] = volume_rows(arguments)
    if arguments.json:
        save_json(figures, arguments.json)
    return 0


def name_folders(arguments: argparse.Namespace) -> None:
    """Where no folder was named, take those beside the repository; FusionError where there are none."""
    if arguments.benchmark or arguments.volumes:
        return
    for name in ("benchmark", "volumes"):
        if (shared_data / name).is_dir():
            setattr(arguments, name, shared_data / name)
    if not (arguments.benchmark or arguments.volumes):
        raise FusionError("There is nothing to measure on at ../shared/data; name --benchmark DIR or --volumes DIR.")


def weights_file(weights: Path | None, modality: str) -> Path:
    """The checkpoint for a modality: a shipped one, the one of that name in the given folder, or the given file."""
    folder = weights or shipped_models
    return folder / f"{modality}.safetensors" if folder.is_dir() else folder


def load(arguments: argparse.Namespace, modality: str) -> "BSAFusion":
    from BSAFusionLib.network.checkpoints import load_network
    from BSAFusionLib.network.inference import choose_device

    return load_network(weights_file(arguments.weights, modality), choose_device(arguments.device))


def slice_figures(arguments: argparse.Namespace, modality: str) -> dict:
    """Print one modality's table and return its figures: means by measure and version, spreads under `spread`."""
    from BSAFusionLib.evaluation import benchmark
    from BSAFusionLib.evaluation.benchmark import titles, versions
    from BSAFusionLib.evaluation.sheet import write_sheet
    from BSAFusionLib.evaluation.tables import figures, markdown_table

    pairs = benchmark.load_benchmark(arguments.benchmark, modality)
    ours = benchmark.answer(load(arguments, modality), pairs)
    if arguments.sheets:
        with written_whole(arguments.sheets) as folder:
            write_sheet(folder / f"{modality}.png", pairs, ours)
    values = benchmark.measure(pairs, ours)
    means = {name: {version: float(each.mean()) for version, each in row.items()} for name, row in values.items()}
    spread = {name: {version: float(each.std()) for version, each in row.items()} for name, row in values.items()}

    print(f"\n{modality.upper()}, {len(pairs)} benchmark pairs: mean and standard deviation over the pairs\n")
    rows = []
    for name, title in titles.items():
        cells = zip(*((means[name].get(version), spread[name].get(version)) for version in versions), strict=True)
        rows.append([title, *figures(*cells)])
    print(markdown_table([modality.upper(), *versions], rows), flush=True)
    weights = weights_file(arguments.weights, modality)
    return {**means, "spread": spread, "pairs": len(pairs), "weights": weights.name}


def volume_rows(arguments: argparse.Namespace) -> list[dict]:
    """Print a row a case as it is measured, and the means, and return the rows."""
    from BSAFusionLib.evaluation import volumes

    weights = {modality: weights_file(arguments.weights, modality) for modality in volumes.moving_files}
    print(
        f"\nMean error inside the head in mm; motions of {volumes.degrees:g} degrees and {volumes.mm:g} mm, "
        f"elastic up to {volumes.elastic_mm:g}"
    )
    header = f"| {'pair':<12} | {'motion':<8} |" + "".join(f" {name:>10} |" for name in volumes.errors)
    print(f"{header}\n| {'-' * 12} | {'-' * 8} |" + f" {'-' * 9}: |" * len(volumes.errors))

    def show(pair: str, motion: str, row: dict) -> None:
        print(
            f"| {pair:<12} | {motion:<8} |" + "".join(f" {row[name]:>10.2f} |" for name in volumes.errors), flush=True
        )

    rows = []
    for row in volumes.known_motion_rows(arguments.volumes, arguments.seeds, weights, arguments.device):
        rows.append(row)
        show(row["pair"], "none" if row["seed"] is None else f"seed {row['seed']}", row)
    for modality in volumes.moving_files:
        show(f"mri_t1 {modality}", "mean", volumes.mean_errors(rows, modality))
    return rows
