"""Fit how far a network's evidence can be trusted, on simulated heads 11 and 12, and write it into its card."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.commands._case import write_json
from BSAFusionLib.errors import FusionError
from BSAFusionResearch.commands._inputs import add_weights, weights_file
from BSAFusionResearch.simulation.settings import MODALITIES

if TYPE_CHECKING:
    from BSAFusionLib.pipeline.calibration import Calibration
    from BSAFusionResearch.calibration.fit import FittedCase

PREPARED = "prepared"
FITS = 2  # without a calibration: the first round of a run is followed by it, so it is fitted again to what that shows
SIGMA_MM = 18.0  # the simulated elastic part: B-splines with nodes 31 mm apart are as smooth as such a Gaussian


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("--heads", type=Path, required=True, metavar="DIR", help="folder of the label files 11 to 15")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that gets the cards, and keeps the simulated patients for the next weights",
    )
    add_weights(parser)
    parser.add_argument(
        "--modality",
        nargs="+",
        choices=MODALITIES,
        default=list(MODALITIES),
        help="modalities to calibrate (default: all)",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        default=SIGMA_MM,
        metavar="MM",
        help="sigma of a Gaussian that is as smooth as the deformation (default: %(default)s)",
    )
    parser.add_argument(
        "--cases",
        type=int,
        default=27,
        metavar="N",
        help="patients of each modality (default: %(default)s)",
    )
    parser.add_argument(
        "--only-lengths",
        action="store_true",
        help="keep the card's calibration, and fit only the lengths of the error that it expects",
    )
    parser.add_argument(
        "--report", action="store_true", help="also measure the cards' calibration on heads 13 to 15, without any fit"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fit, print the tables, write the cards with the calibration into --out, and return 0.

    Raises:
        FusionError: Heads, weights or their cards are missing.
    """
    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionLib.network.weights import read_card
    from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, REPORTED_HEADS, head_files

    files = {weights_file(arguments.weights, modality) for modality in arguments.modality}
    cards = {file.with_suffix(".json") for file in files}
    refuse_overwriting([*files, *cards], [arguments.out / card.name for card in cards])
    head_files(arguments.heads, CHOOSING_HEADS + (REPORTED_HEADS if arguments.report else ()))
    for modality in arguments.modality:
        weights = weights_file(arguments.weights, modality)
        card_path = arguments.out / f"{weights.stem}.json"
        card = read_card(card_path) or read_card(weights)
        if card is None:
            raise FusionError(f"The weights {weights} have no card {weights.stem}.json; put it beside them.")
        calibration = _fit(arguments, modality, weights, card)
        card.setdefault("calibration", {})[modality] = calibration.as_dict()
        write_json(card, card_path)
        print(f"card in {card_path}", flush=True)
        if arguments.report:
            cases = _cases(arguments, modality, weights, REPORTED_HEADS, calibration)
            _print_figures(f"{modality.upper()}, heads {', '.join(REPORTED_HEADS)}", cases, calibration)
    return 0


def _fit(arguments: argparse.Namespace, modality: str, weights: Path, card: dict[str, Any]) -> "Calibration":
    """Fit the calibration of one modality and print what it comes to on the heads it was fitted on.

    Raises:
        FusionError: Only the lengths are to be fitted, and the card has no calibration.
    """
    from BSAFusionLib.pipeline.calibration import read_calibration
    from BSAFusionResearch.calibration.fit import fit_calibration, fit_lengths, mean_cost
    from BSAFusionResearch.simulation.heads import CHOOSING_HEADS

    known = read_calibration(card, modality)
    if arguments.only_lengths:
        if known is None:
            raise FusionError(f"The card of {weights} has no calibration; leave out --only-lengths.")
        cases = _cases(arguments, modality, weights, CHOOSING_HEADS, known)
        calibration = fit_lengths(cases, known)
    else:
        for _ in range(FITS if known is None else 1):
            cases = _cases(arguments, modality, weights, CHOOSING_HEADS, known)
            known = calibration = fit_calibration(cases, arguments.sigma)
    cost = mean_cost(cases, calibration)
    print(f"\n{modality.upper()}: {calibration.as_dict()}; mean negative log density {cost:.4f}", flush=True)
    _print_figures(f"{modality.upper()}, heads {', '.join(CHOOSING_HEADS)}", cases, calibration)
    return calibration


def _cases(
    arguments: argparse.Namespace, modality: str, weights: Path, heads: tuple[str, ...], known: "Calibration | None"
) -> "list[FittedCase]":
    """Show a network the patients of some heads, in two rounds, the first of which is followed by what is known."""
    from BSAFusionLib.network.weights import load_inference_network
    from BSAFusionResearch.calibration.cases import fitted_case, prepared_cases
    from BSAFusionResearch.evaluation_heads.cases import drawn_cases

    every = drawn_cases(modality, heads)[: arguments.cases]
    prepared = prepared_cases(every, arguments.heads, weights, arguments.out / PREPARED)
    network = load_inference_network(weights)
    return [fitted_case(case, network, arguments.sigma, known) for case in prepared]


def _print_figures(title: str, cases: "list[FittedCase]", calibration: "Calibration") -> None:
    from BSAFusionResearch.calibration.table import COLUMNS, figures
    from BSAFusionResearch.evaluation.tables import markdown_table

    measured = figures(cases, calibration)
    rows = [
        [size, str(group["cases"]), *(f"{group[name]:.2f}" for name, _ in COLUMNS[1:])]
        for size, group in measured["groups"].items()
    ]
    print(f"\n{markdown_table([title, *(column for _, column in COLUMNS)], rows)}\n")
    fifths = ", ".join(f"{ratio:.2f}" for ratio in measured["fifths"])
    print(f"true / predicted in fifths of the prediction: {fifths}; rank between cases {measured['rank_between']:.2f}")
