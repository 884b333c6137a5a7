"""Fit how far a network's evidence can be trusted, on simulated heads 11 and 12, and how far it errs, on 01 to 12."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.texts import write_json
from BSAFusionLib.network.weights_file import card_of, read_parts, sha256
from BSAFusionResearch.commands._inputs import add_weights, weights_file
from BSAFusionResearch.simulation.settings import MODALITIES

if TYPE_CHECKING:
    from BSAFusionLib.pipeline.calibration import Calibration
    from BSAFusionResearch.calibration.fit import FittedCase
    from BSAFusionResearch.evaluation_heads.cases import HeadCase

PREPARED = "prepared"
FITS = 2  # without a calibration: the first round of a run is followed by it, so it is fitted again to what that shows
MIN_SIGMA_MM, MAX_SIGMA_MM = 10.0, 100.0  # with thousands of modes, and with a few
SIGMA_MM = 18.0  # the simulated elastic part: B-splines with nodes 31 mm apart are as smooth as such a Gaussian


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("--heads", type=Path, required=True, metavar="DIR", help="folder of the label files 01 to 15")
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
        help="modalities to calibrate (default: those that the weights are for)",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        default=SIGMA_MM,
        metavar="MM",
        help="sigma of a Gaussian that is as smooth as the deformation (default: %(default)s; with --only-lengths that "
        "of the card)",
    )
    parser.add_argument(
        "--cases",
        type=int,
        default=27,
        metavar="N",
        help="patients of each modality of heads 11 and 12 (default: %(default)s)",
    )
    parser.add_argument(
        "--only-lengths",
        action="store_true",
        help="keep the card's calibration, and fit only the lengths of the error that it expects, on 36 patients of "
        "heads 01 to 12",
    )
    parser.add_argument(
        "--report", action="store_true", help="also measure the cards' calibration on heads 13 to 15, without any fit"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fit, print the tables, write the cards with the calibration into --out, and return 0.

    Raises:
        FusionError: An option is out of range, or heads, weights or their cards are missing.
    """
    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionResearch.evaluation_heads.cases import drawn_cases
    from BSAFusionResearch.simulation.heads import LENGTH_HEADS, REPORTED_HEADS, head_files

    _check_options(arguments)
    weights = {modality: weights_file(arguments.weights, modality) for modality in arguments.modality or MODALITIES}
    files = set(weights.values())
    cards = {card_of(file) for file in files}
    refuse_overwriting([*files, *cards], [arguments.out / card.name for card in cards])
    head_files(arguments.heads, LENGTH_HEADS + (REPORTED_HEADS if arguments.report else ()))
    wanted = _wanted(arguments, weights)
    _name_unmarked(arguments.out / PREPARED)
    for modality, path in wanted.items():
        card, card_path = _card(arguments.out, path), arguments.out / card_of(path).name
        calibration = _fit(arguments, modality, path, card)
        card.setdefault("calibration", {})[modality] = calibration.as_dict()
        write_json(card, card_path)
        print(f"card in {card_path}", flush=True)
        if arguments.report:
            patients = drawn_cases(modality, REPORTED_HEADS)[: arguments.cases]
            cases = _cases(arguments, patients, path, calibration.sigma_mm, calibration)
            _print_figures(f"{modality.upper()}, heads {', '.join(REPORTED_HEADS)}", cases, calibration)
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    """Raise FusionError for numbers that nothing can be fitted with."""
    from BSAFusionResearch.evaluation_heads.cases import drawn_cases
    from BSAFusionResearch.simulation.heads import CHOOSING_HEADS

    count = len(drawn_cases(MODALITIES[0], CHOOSING_HEADS))
    if not 1 <= arguments.cases <= count:
        raise FusionError(f"There are 1 to {count} patients of each modality, not {arguments.cases}; change --cases.")
    if not MIN_SIGMA_MM <= arguments.sigma <= MAX_SIGMA_MM:
        raise FusionError(
            f"A sigma of {arguments.sigma:g} mm cannot be fitted; choose {MIN_SIGMA_MM:g} to {MAX_SIGMA_MM:g} mm with "
            "--sigma."
        )


def _wanted(arguments: argparse.Namespace, weights: dict[str, Path]) -> dict[str, Path]:
    """Return the weights by modality: those asked for, or else those that are for their modality by their cards.

    Raises:
        FusionError: Weights have no card or another file's, or are for none of the modalities.
    """
    trained_for = {modality: _card(arguments.out, path).get("modality", "all") for modality, path in weights.items()}
    if arguments.modality:
        return weights
    wanted = {modality: path for modality, path in weights.items() if trained_for[modality] in (modality, "all")}
    if not wanted:
        raise FusionError(
            f"The weights are for {', '.join(sorted(set(trained_for.values())))} by their cards; choose a modality "
            "with --modality."
        )
    return wanted


def _name_unmarked(folder: Path) -> None:
    """Print that patients in a folder do not say what they were made from, if there are any."""
    from BSAFusionResearch.calibration.prepared import read_origin

    files = [path for path in folder.glob("*.npz") if not path.stem.endswith(".unfinished")]
    if unmarked := sum(read_origin(path) is None for path in files):
        print(
            f"{unmarked} patients in {folder} do not say which heads, slices and head-pose weights they were made "
            "from, and are used as they are; delete them if any of these changed.",
            flush=True,
        )


def _card(out: Path, weights: Path) -> dict[str, Any]:
    """Return the card of weights: the one in the folder for the results, if it is theirs, or the one beside them.

    Raises:
        FusionError: There is none, or the one beside them is of another file.
    """
    from BSAFusionLib.network.weights import check_card, read_card

    content = read_parts(weights)
    earlier = read_card(out / weights.name)
    if earlier is not None and earlier["sha256"] == sha256(content):
        return earlier
    card = read_card(weights)
    if card is None:
        raise FusionError(f"The weights {weights} have no card {weights.stem}.json; put it beside them.")
    check_card(weights, content)
    return card


def _fit(arguments: argparse.Namespace, modality: str, weights: Path, card: dict[str, Any]) -> "Calibration":
    """Fit the calibration of one modality and print what it comes to on the patients that its lengths were fitted on.

    Raises:
        FusionError: Only the lengths are to be fitted, and the card has no calibration.
    """
    from BSAFusionLib.pipeline.calibration import read_calibration
    from BSAFusionResearch.calibration.fit import fit_calibration, fit_lengths, mean_cost
    from BSAFusionResearch.evaluation_heads.cases import drawn_cases, varied_cases
    from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, LENGTH_HEADS

    known = read_calibration(card, modality)
    if arguments.only_lengths and known is None:
        raise FusionError(f"The card of {weights} has no calibration; leave out --only-lengths.")
    if not arguments.only_lengths:
        patients = drawn_cases(modality, CHOOSING_HEADS)[: arguments.cases]
        for _ in range(FITS if known is None else 1):
            known = fit_calibration(_cases(arguments, patients, weights, arguments.sigma, known), arguments.sigma)
    assert known is not None  # it was read or fitted
    cases = _cases(arguments, varied_cases(modality, LENGTH_HEADS), weights, known.sigma_mm, known)
    calibration = fit_lengths(cases, known)
    cost = mean_cost(cases, calibration)
    print(f"\n{modality.upper()}: {calibration.as_dict()}; mean negative log density {cost:.4f}", flush=True)
    _print_figures(f"{modality.upper()}, heads {LENGTH_HEADS[0]} to {LENGTH_HEADS[-1]}", cases, calibration)
    return calibration


def _cases(
    arguments: argparse.Namespace,
    patients: "list[HeadCase]",
    weights: Path,
    sigma_mm: float,
    known: "Calibration | None",
) -> "list[FittedCase]":
    """Show a network some patients, in two rounds, the first of which is followed by what is known."""
    from BSAFusionLib.network.weights import load_inference_network
    from BSAFusionResearch.calibration.cases import fitted_case, prepared_cases

    prepared = prepared_cases(patients, arguments.heads, weights, arguments.out / PREPARED)
    network = load_inference_network(weights)
    return [fitted_case(case, network, sigma_mm, known) for case in prepared]


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
