"""The table of rigid initializations of simulated pairs, next to ANTs and elastix."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionResearch.commands._inputs import baselines_alone, check_threads, made_from, resumed_file, still_valid

if TYPE_CHECKING:
    from BSAFusionResearch.evaluation_heads.starts import StartPair

COLUMNS = (("pair", 4), ("head", 4), ("modality", 8), ("degrees", 7), ("placed", 6), ("start", 7), ("doubtful", 8))


def print_starts(arguments: argparse.Namespace, folder: Path, weights: dict[str, Path]) -> dict[str, Any]:
    """Measure the initializations of simulated pairs, print the table and return the figures.

    Every pair is in the --json file as soon as it is measured. With --resume, pairs that are there are taken from it:
    ours where weights, their calibration and precision are the same, the baselines' where the heads are.

    Args:
        arguments: Options of `evaluate`.
        folder: The label files of the heads.
        weights: By modality; the verdict asks the network.

    Raises:
        FusionError: Heads or the baselines' environment are missing, or an option is out of range.
    """
    from BSAFusionResearch.evaluation import baselines
    from BSAFusionResearch.evaluation.clock import limit_threads
    from BSAFusionResearch.evaluation_heads import starts
    from BSAFusionResearch.simulation.heads import REPORTED_HEADS, head_files

    if arguments.starts < 1:
        raise FusionError(f"There must be 1 pair or more, not {arguments.starts}; change --starts.")
    check_threads(arguments.threads)
    if arguments.baselines:
        baselines.check_baselines(arguments.baselines)
    origin = made_from(weights, head_files(folder, REPORTED_HEADS))
    limit_threads(arguments.threads)
    known = _earlier(arguments, origin)
    figures: dict[str, Any] = {"threads": arguments.threads, "made_from": origin}
    print(" | ".join(name.rjust(width) for name, width in COLUMNS), flush=True)
    rows = []
    for pair in starts.start_pairs(arguments.starts):
        compared = bool(arguments.baselines) and pair.number < (arguments.cases or arguments.starts)
        row = _measured(arguments, pair, folder, weights, known.get(pair.number, {}), compared)
        rows.append(row)
        known[pair.number] = row
        print(_line(row), flush=True)
        figures["rows"] = list(known.values())
        if arguments.json:
            save_json({"starts": figures}, arguments.json)
    summary = starts.start_summary(rows)
    _print_summary(summary)
    return {**figures, "summary": summary}


def _measured(
    arguments: argparse.Namespace,
    pair: "StartPair",
    folder: Path,
    weights: dict[str, Path],
    row: dict[str, Any],
    compared: bool,
) -> dict[str, Any]:
    """Return the row of a pair, measuring what an earlier row lacks."""
    from BSAFusionLib.settings import Settings
    from BSAFusionResearch.evaluation.baselines import RIGID_TITLES
    from BSAFusionResearch.evaluation_heads import starts

    baselines = row.get("baselines", {})
    lacking = [method for method in RIGID_TITLES if compared and method not in baselines]
    if "error_mm" in row and not lacking:
        return row
    patient = pair.patient(folder)
    if "error_mm" not in row:
        modality = pair.settings.modality
        settings = Settings(modality, device=arguments.device, precision=arguments.precision, weights=weights[modality])
        row = starts.measure_start(pair, patient, settings) | ({"baselines": baselines} if baselines else {})
    for method in lacking:
        measured = starts.measure_rigid_baseline(patient, method, arguments.baselines, arguments.threads)
        row.setdefault("baselines", {})[method] = measured
    return row


def _earlier(arguments: argparse.Namespace, origin: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the rows of the --json file by number, the baselines alone where ours no longer hold."""
    if (path := resumed_file(arguments)) is None:
        return {}
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["starts"]
        valid = still_valid(figures, origin, path)
        known = {}
        for row in figures["rows"]:
            modality = row["settings"]["modality"]
            used = [origin[modality]["weights"], arguments.precision]
            if modality in valid.modalities and row.get("network") == used:
                known[row["number"]] = row
            elif valid.baselines:
                known[row["number"]] = baselines_alone(row)
        return known
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FusionError(f"{path} holds no initializations to resume from; name another file.") from error


def _line(row: dict[str, Any]) -> str:
    from BSAFusionResearch.evaluation_heads.starts import doubt_of

    doubt = doubt_of(row)
    sentences = [row["message"]] if doubt is None else list(doubt.reasons)
    start = row["error_mm"]["start"]
    cells = (
        *(str(row["number"]), row["head"], row["settings"]["modality"], f"{row['settings']['rotation_deg']:.0f}"),
        *(f"{row['error_mm']['placed']:.1f}", "none" if start is None else f"{start:.2f}"),
        "" if doubt is None else "yes" if doubt.doubtful else "no",
    )
    line = " | ".join(cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    return line + "".join(f" | {sentence}" for sentence in sentences[:1])


def _print_summary(summary: dict[str, Any]) -> None:
    from BSAFusionResearch.evaluation.baselines import RIGID_TITLES
    from BSAFusionResearch.evaluation.tables import markdown_table

    titles = {"ours": "ours", **RIGID_TITLES}
    groups = {"ours, all pairs": summary["ours"]}
    for key, where in (("side_by_side", "side by side"), ("side_by_side_upright", "turned by up to 30 degrees")):
        groups |= {f"{titles[name]}, {where}": group for name, group in summary[key].items()}
    header = ["error in the brain, mm", "pairs", "median", "90 %", "under 3 mm", "under 10 mm", "CPU seconds"]
    lines = [
        [
            *(name, str(group["pairs"]), f"{group['median']:.2f}", f"{group['percentile_90']:.1f}"),
            *(f"{group['within_3']:.0%}", f"{group['within_10']:.0%}", f"{group['cpu_seconds']:.1f}"),
        ]
        for name, group in groups.items()
    ]
    print("\n" + markdown_table(header, lines))
    silent, doubtful = (", ".join(map(str, summary[name])) or "none" for name in ("silent", "falsely_doubtful"))
    print(f"\nwrong by over 10 mm and not doubtful: {silent}")
    print(f"right within 3 mm and doubtful: {doubtful}, of {summary['right']} right ones")
