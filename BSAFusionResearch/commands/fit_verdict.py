"""Fit and test the rule that calls a result doubtful, on simulated heads: error rates, and ranges of its figures."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionResearch.commands._inputs import weights_file, weights_hashes

if TYPE_CHECKING:
    from BSAFusionLib.pipeline.case import LoadedNetwork
    from BSAFusionResearch.second_opinion.rates import Rates
    from BSAFusionResearch.second_opinion.results import TriedResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--heads", type=Path, required=True, metavar="DIR", help="folder of labeled heads")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder that keeps figures to continue from"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write rates and ranges to this file")
    parser.add_argument(
        "--pairs", type=int, default=84, metavar="N", help="pairs of heads 11 and 12 (default: %(default)s)"
    )
    parser.add_argument(
        "--reported-pairs", type=int, default=42, metavar="N", help="pairs of heads 13 to 15 (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the tables. Returns 0."""
    import SimpleITK as sitk
    import torch

    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionResearch.second_opinion.rates import figure_ranges, rates_by_kind
    from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, REPORTED_HEADS, head_files

    sets = {"chosen on": (CHOOSING_HEADS, arguments.pairs), "reported": (REPORTED_HEADS, arguments.reported_pairs)}
    files = {name: head_files(arguments.heads, heads) for name, (heads, _) in sets.items()}
    if min(count for _, count in sets.values()) < 0:
        raise FusionError("--pairs and --reported-pairs must be 0 or more.")
    refuse_overwriting([path for group in files.values() for path in group], [arguments.json])
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    figures: dict = {}
    for name, (heads, count) in sets.items():
        results = _try_all(files[name], count, arguments.out / name.replace(" ", "-"))
        if not results:
            continue
        rates = rates_by_kind(results)
        figures[name] = {kind: asdict(found) for kind, found in rates.items()}
        _print_rates(f"heads {', '.join(heads)} ({name})", rates)
        if name == "chosen on":
            figures["ranges"] = figure_ranges(results)
            _print_ranges(figures["ranges"])
            figures["weights"] = _print_weights(results)
    if arguments.json:
        save_json(figures, arguments.json)
    return 0


def _try_all(files: list[Path], count: int, folder: Path) -> list["TriedResult"]:
    """Return the results of some pairs; each pair's are kept in a file as long as weights and heads stay."""
    from tqdm import tqdm

    from BSAFusionLib.head_pose.weights import SHIPPED_WEIGHTS
    from BSAFusionResearch.pose.heads import STANDARD_FILE, load_head
    from BSAFusionResearch.pose.validate import standard_brain_points
    from BSAFusionResearch.second_opinion.pairs import simulate_pair
    from BSAFusionResearch.second_opinion.results import TriedResult, try_results
    from BSAFusionResearch.simulation.origins import file_hashes
    from BSAFusionResearch.simulation.settings import MODALITIES

    folder.mkdir(parents=True, exist_ok=True)
    # Files of earlier versions do not say what they were made from: their pairs are measured again.
    origin = {
        "weights": weights_hashes({modality: weights_file(None, modality) for modality in MODALITIES}),
        "files": file_hashes([SHIPPED_WEIGHTS, *files]),
    }
    heads, networks = [], {}
    results = []
    for number in tqdm(range(count), desc=folder.name, unit="pair"):
        kept = folder / f"{number:04d}.json"
        content = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        if content.get("made_from") != origin:
            heads = heads or [load_head(path, STANDARD_FILE) for path in files]
            pair = simulate_pair(heads, standard_brain_points(), number)
            if pair.modality not in networks:
                networks[pair.modality] = _network(pair.modality)
            tried = try_results(pair, networks[pair.modality], number)
            content = {"made_from": origin, "results": [asdict(result) for result in tried]}
            save_json(content, kept)
        results += [TriedResult(**result) for result in content["results"]]
    return results


def _network(modality: str) -> "LoadedNetwork":
    from BSAFusionLib.network.runner import Runner
    from BSAFusionLib.network.weights import load_inference_network
    from BSAFusionLib.pipeline.case import LoadedNetwork

    weights = weights_file(None, modality)
    network = load_inference_network(weights, "float32")
    return LoadedNetwork(Runner(network), network.metadata.size, weights)


def _print_rates(title: str, rates: dict[str, "Rates"]) -> None:
    from BSAFusionResearch.evaluation.tables import markdown_table

    header = [title, "results", "doubtful", "wrong", "silent", "right", "falsely doubtful"]
    lines = [[kind, *(str(value) for value in asdict(found).values())] for kind, found in rates.items()]
    print(f"\n{markdown_table(header, lines)}")
    everything = rates["all"]
    print(
        f"Silent over 10 mm: {everything.silent} of {everything.wrong}; "
        f"falsely doubtful under 3 mm: {everything.falsely} of {everything.right}",
        flush=True,
    )


def _print_weights(results: list["TriedResult"]) -> dict[str, dict[str, float]]:
    """Fit the weights of the log odds, with and without the poses, print and return them."""
    from BSAFusionResearch.second_opinion.weights import fit_weights

    fitted = {name: fit_weights(results, name == "with poses")._asdict() for name in ("with poses", "without poses")}
    for name, weights in fitted.items():
        print(f"log odds {name}: " + ", ".join(f"{part} {value:.2f}" for part, value in weights.items()), flush=True)
    return fitted


def _print_ranges(ranges: dict[str, list[float]]) -> None:
    from BSAFusionResearch.evaluation.tables import markdown_table

    header = ["right results, both heads found", "least", "low limit", "median", "high limit", "largest"]
    lines = [[name, *(f"{value:.3g}" for value in values)] for name, values in ranges.items()]
    print(f"\n{markdown_table(header, lines)}", flush=True)
