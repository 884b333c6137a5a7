"""Measure how well the weights align and fuse, on slices and volumes whose truth is known."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.commands._options import add_settings
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.atomic import written_whole
from BSAFusionLib.files.overwriting import refuse_overwriting
from BSAFusionLib.modalities import MODALITIES
from BSAFusionResearch.commands import _inputs
from BSAFusionResearch.commands._case_table import print_cases
from BSAFusionResearch.commands._head_table import print_heads
from BSAFusionResearch.commands._inputs import add_weights, weights_file
from BSAFusionResearch.commands._overlay_table import print_overlays
from BSAFusionResearch.commands._start_table import print_starts

if TYPE_CHECKING:
    import numpy as np

    from BSAFusionLib.network.interface import FusionNetwork

FOLDERS = {"benchmark": "benchmark", "data": "aanlib", "volumes": "volumes"}
"""Options that name a folder, and that folder's name beside the repository."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    files = ", ".join(f"{name}.npz" for name in MODALITIES)
    volumes = ", ".join(f"{name}.nii.gz" for name in MODALITIES)
    parser.description += " Without a folder, it measures on those in shared/data beside the folder of run.py."
    parser.add_argument(
        "--benchmark",
        type=Path,
        metavar="DIR",
        help=f"a folder with {files}: deformed slices, their truth, and the published model's answers",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"a folder with {files} as for training: its held-out patients' slices are deformed",
    )
    parser.add_argument(
        "--fold",
        choices=("0", "1", "2", "3", "4", "none"),
        default="none",
        help="with --data: the fold of patients that these weights never saw; none: slices that no training uses, of "
        "patients that it may have used (default: none, as the shipped weights were trained on all patients)",
    )
    parser.add_argument(
        "--volumes",
        type=Path,
        metavar="DIR",
        help=f"a folder with mri_t1.nii.gz and one or more of {volumes} of one head, in one space, to be moved",
    )
    parser.add_argument(
        "--heads",
        type=Path,
        metavar="DIR",
        help="instead of all else, measure simulated heads: patients from the label files 13 to 15 of a folder, "
        "in CT, PET and SPECT, with three elastic sizes and three motions; with --cases N, the first N of 81",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="known motions of each volume (default: 3)")
    _add_tables(parser)
    parser.add_argument(
        "--modality",
        nargs="+",
        choices=MODALITIES,
        default=list(MODALITIES),
        help="modalities of the slices (default: all)",
    )
    add_weights(parser)
    parser.add_argument(
        "--sheets", type=Path, metavar="DIR", help="draw eight benchmark pairs of each modality into this folder"
    )
    add_settings(parser, only=["device", "precision"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def _add_tables(parser: argparse.ArgumentParser) -> None:
    """Add the options of the tables of cases."""
    parser.add_argument(
        "--cases",
        type=int,
        nargs="?",
        const=0,
        metavar="N",
        help="instead of all else, measure designed cases on the volumes: motions, slice axes, samplings; N of "
        "them, spread over all factors (default: all 72)",
    )
    parser.add_argument(
        "--starts",
        type=int,
        metavar="N",
        help="with --heads: instead of the table, measure the rigid initializations of N pairs in random poses, "
        "fields of view and intensities; with --baselines also ANTs and elastix, on the first of them (--cases, "
        "default: all)",
    )
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="instead of all else, measure what can be read from the overlay and from the fused volume: PET and SPECT, "
        "on the templates of --volumes and two of --heads",
    )
    _inputs.add_baselines(parser, "with --cases or --heads: ")
    _inputs.add_threads(parser, "with --cases or --heads: ")
    parser.add_argument("--resume", action="store_true", help="with --cases or --heads: continue from the --json file")


def run(arguments: argparse.Namespace) -> int:
    """Print the tables, write the figures where asked, and return 0.

    Raises:
        FusionError: An option is out of range, data or weights are missing, or an output would overwrite an input.
    """
    if arguments.starts is not None and arguments.heads is None:
        raise FusionError("--starts simulates pairs from labeled heads; name their folder with --heads.")
    if arguments.seeds < 1:
        raise FusionError(f"There must be 1 known motion or more, not {arguments.seeds}; change --seeds.")
    if arguments.overlay:
        arguments.volumes = arguments.volumes or _inputs.SHARED_DATA / "volumes"
        arguments.heads = arguments.heads or _inputs.SHARED_DATA / "heads"
    elif arguments.heads is None and arguments.cases is not None:
        arguments.volumes = arguments.volumes or _inputs.SHARED_DATA / "volumes"
    elif arguments.heads is None:
        _name_folders(arguments)
    sheets = [arguments.sheets / f"{modality}.png" for modality in arguments.modality] if arguments.sheets else []
    refuse_overwriting(_files_read(arguments), [arguments.json, *sheets])
    figures = _measure(arguments)
    if arguments.json:
        save_json(figures, arguments.json)
    return 0


def _measure(arguments: argparse.Namespace) -> dict:
    weights = {modality: weights_file(arguments.weights, modality) for modality in MODALITIES}
    if arguments.starts is not None:
        return {"starts": print_starts(arguments, arguments.heads, weights)}
    if arguments.overlay:
        return {"overlay": print_overlays(arguments, (arguments.volumes, arguments.heads), weights)}
    if arguments.heads is not None:
        return {"heads": print_heads(arguments, arguments.heads, weights)}
    if arguments.cases is not None:
        from BSAFusionResearch.evaluation.cases import CASE_MODALITIES

        weights = {modality: weights_file(arguments.weights, modality) for modality in CASE_MODALITIES}
        return {"cases": print_cases(arguments, arguments.volumes, weights)}
    figures: dict = {}
    if arguments.benchmark or arguments.data:
        for modality in arguments.modality:
            figures[modality] = _slice_figures(arguments, modality)
    if arguments.volumes:
        figures["volumes"] = _volume_rows(arguments)
    return figures


def _files_read(arguments: argparse.Namespace) -> Iterator[Path]:
    """Yield the weights, and the volumes and arrays in the folders that are measured on."""
    yield from {weights_file(arguments.weights, modality) for modality in MODALITIES}
    for folder in (arguments.benchmark, arguments.data, arguments.volumes, arguments.heads):
        if folder is not None:
            yield from (*folder.glob("*.npz"), *folder.glob("*.nii.gz"))


def _name_folders(arguments: argparse.Namespace) -> None:
    """Without a folder, take those beside the repository; raise FusionError where there are none."""
    if any(getattr(arguments, option) for option in FOLDERS):
        return
    for option, folder in FOLDERS.items():
        if (_inputs.SHARED_DATA / folder).is_dir():
            setattr(arguments, option, _inputs.SHARED_DATA / folder)
    if not any(getattr(arguments, option) for option in FOLDERS):
        raise FusionError(
            "There is nothing to measure on in shared/data beside the folder of run.py; name --benchmark DIR, "
            "--data DIR or --volumes DIR."
        )


def _load(arguments: argparse.Namespace, modality: str) -> "FusionNetwork":
    from BSAFusionLib.network.devices import choose_device
    from BSAFusionLib.network.fast.form import PRECISIONS, inference_form
    from BSAFusionLib.network.weights import load_network

    network = load_network(weights_file(arguments.weights, modality), choose_device(arguments.device))
    return inference_form(network, PRECISIONS[arguments.precision])


def _slice_figures(arguments: argparse.Namespace, modality: str) -> dict:
    """Print one modality's tables; return means by measure and version, and the same under `spread`."""
    network = _load(arguments, modality)
    figures: dict = {"weights": weights_file(arguments.weights, modality).name, "spread": {}}
    if arguments.benchmark:
        _published_figures(arguments, modality, network, figures)
    if arguments.data:
        _held_out_figures(arguments, modality, network, figures)
    return figures


def _published_figures(arguments: argparse.Namespace, modality: str, network: "FusionNetwork", figures: dict) -> None:
    """Measure beside the published model, on its own test pairs, and draw the sheet of pictures if asked."""
    from BSAFusionResearch.evaluation import published_pairs
    from BSAFusionResearch.evaluation.sheet import write_sheet

    pairs = published_pairs.load_published_pairs(arguments.benchmark, modality)
    ours = published_pairs.answer(network, pairs)
    if arguments.sheets:
        with written_whole(arguments.sheets) as folder:
            write_sheet(folder / f"{modality}.png", pairs, ours)
    label = MODALITIES[modality].label
    print(f"\n{label}, {len(pairs)} benchmark pairs: mean and standard deviation over the pairs\n")
    figures["benchmark_pairs"] = len(pairs)
    _print_values(published_pairs.measure(pairs, ours), published_pairs.TITLES, label, figures)


def _held_out_figures(arguments: argparse.Namespace, modality: str, network: "FusionNetwork", figures: dict) -> None:
    """Measure on slices kept from training, deformed at random, and on the same slices turned besides."""
    from BSAFusionResearch.evaluation import rotation, simulated
    from BSAFusionResearch.training.slice_pairs import load_pairs

    fold = None if arguments.fold == "none" else int(arguments.fold)
    _, pairs = load_pairs(arguments.data, modality, fold)
    patients = sorted(set(pairs.patient.tolist()))
    if fold is not None:
        _check_held_out(weights_file(arguments.weights, modality), patients, fold)
    label, named = MODALITIES[modality].label, ", ".join(map(str, patients))
    kept = "held-out slices of patients" if fold is None else f"slices of the held-out patients of fold {fold}"
    print(
        f"\n{label}, {len(pairs)} {kept} ({named}), deformed at random: mean and standard deviation over the slices\n"
    )
    figures.update(held_out_pairs=len(pairs), held_out_patients=patients, held_out_fold=fold)
    _print_values(simulated.measure(network, pairs), simulated.TITLES, label, figures)
    print(f"\n{label}, also turned by {rotation.TURN_DEGREES:g} degrees, {rotation.MAX_PAIRS} slices at most\n")
    _print_values(rotation.measure(network, pairs), rotation.TITLES, label, figures)


def _check_held_out(weights: Path, patients: list[int], fold: int) -> None:
    """Raise FusionError where the card says that the weights were trained on patients that the fold holds out.

    Where a card is missing, also of weights that these were trained further from, it is printed that nobody knows.
    """
    from BSAFusionResearch.training.cards import knows_all_patients, patients_trained_on, training_of

    training = training_of(weights)
    if not knows_all_patients(training):
        lack = "started from weights that have no card" if training else "have no card"
        print(f"\nThe weights {weights.name} {lack}: whether they were trained on these patients is not known.")
    if known := patients_trained_on(training) & set(patients):
        raise FusionError(
            f"The weights {weights.name} were trained on patients that fold {fold} holds out "
            f"({', '.join(map(str, sorted(known)))}), as their card says; name other weights, or no fold."
        )


def _print_values(
    values: "dict[str, dict[str, np.ndarray]]", titles: dict[str, str], label: str, figures: dict
) -> None:
    """Print values by measure and version as a table, and add their means and spreads to the figures."""
    from BSAFusionResearch.evaluation.tables import markdown_table, mean_and_spread

    means = {name: {version: float(each.mean()) for version, each in row.items()} for name, row in values.items()}
    spreads = {name: {version: float(each.std()) for version, each in row.items()} for name, row in values.items()}
    versions = max(means.values(), key=len)
    rows = []
    for name, title in titles.items():
        both = zip(*((means[name].get(version), spreads[name].get(version)) for version in versions), strict=True)
        rows.append([title, *mean_and_spread(*both)])
    header = [label, *(version.replace("_", ", ") for version in versions)]
    print(markdown_table(header, rows), flush=True)
    figures.update(means)
    figures["spread"].update(spreads)


def _volume_rows(arguments: argparse.Namespace) -> list[dict]:
    """Print a row a case as it is measured, then the means, and return the rows."""
    from BSAFusionResearch.evaluation import volumes

    files = volumes.moving_files(arguments.volumes)
    weights = {modality: weights_file(arguments.weights, modality) for modality in files}
    print(
        f"\nMean error inside the head in mm; motions of {volumes.DEGREES:g} degrees and {volumes.MM:g} mm, "
        f"elastic up to {volumes.ELASTIC_MM:g}; of the motion: against the estimate for the unmoved pair"
    )
    columns = {**dict(zip(volumes.ERRORS, volumes.ERRORS, strict=True)), "motion_prealigned": "of the motion"}
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
    for modality in files:
        show(f"mri_t1 {modality}", "mean", volumes.mean_errors(rows, modality))
    return rows
