"""Measures how well the weights align and fuse, on slices and volumes whose truth is known."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.commands._options import add_settings
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import refuse_overwriting
from BSAFusionLib.files.volumes import written_whole
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.resources import MODELS
from BSAFusionLib.settings import Settings
from BSAFusionResearch.commands._case_table import print_cases
from BSAFusionResearch.commands._head_table import print_heads
from BSAFusionResearch.evaluation.cases import modalities as case_modalities
from BSAFusionResearch.evaluation.rivals import default_python

if TYPE_CHECKING:
    import numpy as np

    from BSAFusionLib.network.interface import FusionNetwork

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
        "--data",
        type=Path,
        metavar="DIR",
        help="a folder with ct.npz, pet.npz, spect.npz as for training: its held-out patients' slices are deformed",
    )
    parser.add_argument(
        "--fold",
        choices=("0", "1", "2", "3", "4", "none"),
        default="none",
        help="with --data: the fold of patients that these weights never saw; none: slices that no training takes, of "
        "patients that it may have seen (default: none, as the shipped weights saw all patients)",
    )
    parser.add_argument(
        "--volumes",
        type=Path,
        metavar="DIR",
        help="a folder with mri_t1.nii.gz, pet.nii.gz and ct.nii.gz of one head, in one space, to be moved",
    )
    parser.add_argument(
        "--heads",
        type=Path,
        metavar="DIR",
        help="instead of all else, the table of simulated heads: patients from the label files 13 to 15 of a folder, "
        "in CT, PET and SPECT, with three elastic sizes and three motions; with --cases N, the first N of 81",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="known motions a volume (default: 3)")
    parser.add_argument(
        "--cases",
        type=int,
        nargs="?",
        const=0,
        metavar="N",
        help="instead of all else, the table of designed cases on the volumes: motions, slice axes, samplings; N of "
        "them, spread over all that varies (default: all 72)",
    )
    parser.add_argument(
        "--rivals",
        type=Path,
        nargs="?",
        const=default_python,
        metavar="PYTHON",
        help="with --cases or --heads: ANTs and elastix too, by a Python that has them (default: that of .venv-rivals, "
        "made with requirements-benchmark.txt)",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="with --cases or --heads: of each method (default: 1)"
    )
    parser.add_argument("--resume", action="store_true", help="with --cases or --heads: go on from the --json file")
    parser.add_argument(
        "--modality", nargs="+", choices=MODALITIES, default=list(MODALITIES), help="of the slices (default: all three)"
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
    add_settings(parser, only=["precision"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def run(arguments: argparse.Namespace) -> int:
    """Print the tables and write the figures where asked; FusionError where data or weights are missing."""
    if arguments.seeds < 1:
        raise FusionError(f"There must be 1 known motion or more, not {arguments.seeds}.")
    figures: dict = {}
    if arguments.heads is None and arguments.cases is not None:
        arguments.volumes = arguments.volumes or shared_data / "volumes"
    elif arguments.heads is None:
        name_folders(arguments)
    sheets = [arguments.sheets / f"{modality}.png" for modality in arguments.modality] if arguments.sheets else []
    refuse_overwriting(files_read(arguments), [arguments.json, *sheets])
    if arguments.heads is not None:
        weights = {modality: weights_file(arguments.weights, modality) for modality in MODALITIES}
        figures["heads"] = print_heads(arguments, arguments.heads, weights)
        if arguments.json:
            save_json(figures, arguments.json)
        return 0
    if arguments.cases is not None:
        weights = {modality: weights_file(arguments.weights, modality) for modality in case_modalities}
        figures["cases"] = print_cases(arguments, arguments.volumes, weights)
        if arguments.json:
            save_json(figures, arguments.json)
        return 0
    if arguments.benchmark or arguments.data:
        for modality in arguments.modality:
            figures[modality] = slice_figures(arguments, modality)
    if arguments.volumes:
        figures["volumes"] = volume_rows(arguments)
    if arguments.json:
        save_json(figures, arguments.json)
    return 0


def files_read(arguments: argparse.Namespace) -> Iterator[Path]:
    """Yield the weights, and the volumes and arrays in the folders that are measured on."""
    yield from {weights_file(arguments.weights, modality) for modality in MODALITIES}
    for folder in (arguments.benchmark, arguments.data, arguments.volumes, arguments.heads):
        if folder is not None:
            yield from (*folder.glob("*.npz"), *folder.glob("*.nii.gz"))


def name_folders(arguments: argparse.Namespace) -> None:
    """Where no folder was named, take those beside the repository; FusionError where there are none."""
    folders = {"benchmark": "benchmark", "data": "aanlib", "volumes": "volumes"}
    if any(getattr(arguments, option) for option in folders):
        return
    for option, folder in folders.items():
        if (shared_data / folder).is_dir():
            setattr(arguments, option, shared_data / folder)
    if not any(getattr(arguments, option) for option in folders):
        raise FusionError(
            "There is nothing to measure on at ../shared/data; name --benchmark DIR, --data DIR or --volumes DIR."
        )


def weights_file(weights: Path | None, modality: str) -> Path:
    """The checkpoint for a modality: a shipped one, the one of that name in the given folder, or the given file."""
    folder = weights or MODELS
    return folder / f"{modality}.safetensors" if folder.is_dir() else folder


def load(arguments: argparse.Namespace, modality: str) -> "FusionNetwork":
    from BSAFusionLib.network.devices import choose_device
    from BSAFusionLib.network.fast.form import PRECISIONS, inference_form
    from BSAFusionLib.network.weights import load_network

    network = load_network(weights_file(arguments.weights, modality), choose_device(arguments.device))
    return inference_form(network, PRECISIONS[arguments.precision])


def slice_figures(arguments: argparse.Namespace, modality: str) -> dict:
    """Print one modality's tables; return its means by measure and version, and the spreads likewise under `spread`."""
    network = load(arguments, modality)
    figures: dict = {"weights": weights_file(arguments.weights, modality).name, "spread": {}}
    if arguments.benchmark:
        benchmark_figures(arguments, modality, network, figures)
    if arguments.data:
        held_out_figures(arguments, modality, network, figures)
    return figures


def benchmark_figures(arguments: argparse.Namespace, modality: str, network: "FusionNetwork", figures: dict) -> None:
    """Beside the published model, on its own test pairs; and the sheet of pictures, if it was asked for."""
    from BSAFusionResearch.evaluation import benchmark
    from BSAFusionResearch.evaluation.sheet import write_sheet

    pairs = benchmark.load_benchmark(arguments.benchmark, modality)
    ours = benchmark.answer(network, pairs)
    if arguments.sheets:
        with written_whole(arguments.sheets) as folder:
            write_sheet(folder / f"{modality}.png", pairs, ours)
    print(f"\n{modality.upper()}, {len(pairs)} benchmark pairs: mean and standard deviation over the pairs\n")
    figures["benchmark_pairs"] = len(pairs)
    tell(benchmark.measure(pairs, ours), benchmark.titles, modality, figures)


def held_out_figures(arguments: argparse.Namespace, modality: str, network: "FusionNetwork", figures: dict) -> None:
    """On slices kept from training, where the true field is known."""
    from BSAFusionResearch.evaluation import rotation, simulated
    from BSAFusionResearch.training.cards import patients_trained_on
    from BSAFusionResearch.training.slice_pairs import load_pairs

    fold = None if arguments.fold == "none" else int(arguments.fold)
    _, pairs = load_pairs(arguments.data, modality, fold)
    patients = sorted(set(pairs.patient.tolist()))
    weights = weights_file(arguments.weights, modality)
    if fold is not None and (known := patients_trained_on(weights) & set(patients)):
        raise FusionError(
            f"The weights {weights.name} were trained on patients that fold {fold} holds out "
            f"({', '.join(map(str, sorted(known)))}), as their card says; name weights that were not, or no fold."
        )
    named = ", ".join(map(str, patients))
    kept = "held-out slices of patients" if fold is None else f"slices of the held-out patients of fold {fold}"
    print(
        f"\n{modality.upper()}, {len(pairs)} {kept} ({named}), deformed at random: "
        "mean and standard deviation over the slices\n"
    )
    figures.update(held_out_pairs=len(pairs), held_out_patients=patients, held_out_fold=fold)
    tell(simulated.measure(network, pairs), simulated.titles, modality, figures)
    print(f"\n{modality.upper()}, turned by {rotation.degrees:g} degrees besides, {rotation.most} slices at most\n")
    tell(rotation.measure(network, pairs), rotation.titles, modality, figures)


def tell(values: "dict[str, dict[str, np.ndarray]]", titles: dict[str, str], modality: str, figures: dict) -> None:
    """Print the values by measure and version as a table, and add their means and spreads to the figures."""
    from BSAFusionResearch.evaluation.tables import markdown_table, mean_and_spread

    means = {name: {version: float(each.mean()) for version, each in row.items()} for name, row in values.items()}
    spreads = {name: {version: float(each.std()) for version, each in row.items()} for name, row in values.items()}
    versions = max(means.values(), key=len)
    rows = []
    for name, title in titles.items():
        both = zip(*((means[name].get(version), spreads[name].get(version)) for version in versions), strict=True)
        rows.append([title, *mean_and_spread(*both)])
    header = [modality.upper(), *(version.replace("_", ", ") for version in versions)]
    print(markdown_table(header, rows), flush=True)
    figures.update(means)
    figures["spread"].update(spreads)


def volume_rows(arguments: argparse.Namespace) -> list[dict]:
    """Print a row a case as it is measured, and the means, and return the rows."""
    from BSAFusionResearch.evaluation import volumes

    weights = {modality: weights_file(arguments.weights, modality) for modality in volumes.moving_files}
    print(
        f"\nMean error inside the head in mm; motions of {volumes.degrees:g} degrees and {volumes.mm:g} mm, "
        f"elastic up to {volumes.elastic_mm:g}; of the motion: against what is found in the pair unmoved"
    )
    columns = {**dict(zip(volumes.errors, volumes.errors, strict=True)), "motion_prealigned": "of the motion"}
    columns["motion_after"] = "after"
    header = f"| {'pair':<12} | {'motion':<8} |" + "".join(f" {title:>13} |" for title in columns.values())
    print(f"{header}\n| {'-' * 12} | {'-' * 8} |" + f" {'-' * 12}: |" * len(columns))

    def show(pair: str, motion: str, row: dict) -> None:
        print(f"| {pair:<12} | {motion:<8} |" + "".join(f" {row[name]:>13.2f} |" for name in columns), flush=True)

    rows = []
    for row in volumes.known_motion_rows(
        arguments.volumes, arguments.seeds, weights, arguments.device, arguments.precision
    ):
        rows.append(row)
        show(row["pair"], "none" if row["seed"] is None else f"seed {row['seed']}", row)
    for modality in volumes.moving_files:
        show(f"mri_t1 {modality}", "mean", volumes.mean_errors(rows, modality))
    return rows
