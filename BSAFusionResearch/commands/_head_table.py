"""The table of simulated heads: a line a case as it is measured, then the means by modality and elastic size."""

import argparse
import json
from pathlib import Path
from typing import Any

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionLib.settings import Settings
from BSAFusionResearch.commands._inputs import check_threads, made_from, resumed_file, still_valid

COLUMNS = (("case", 28), ("before", 6), ("best rigid", 10), ("search", 7), ("final", 6), ("change", 6), ("seconds", 7))


def print_heads(arguments: argparse.Namespace, folder: Path, weights: dict[str, Path]) -> dict:
    """Measure the cases of simulated heads, print the tables and return the figures.

    Every case is in the --json file as soon as it is measured. With --resume, the cases that are there already are
    taken from it: ours where heads, weights, their calibration and precision are the same, the baselines' where heads
    and settings are.

    Args:
        arguments: of the command `evaluate`.
        folder: the label files of the heads.
        weights: by modality.

    Raises:
        FusionError: heads, weights or the baselines' environment are missing, or the --json file holds no such figures.
    """
    from BSAFusionResearch.evaluation import baselines
    from BSAFusionResearch.evaluation.clock import limit_threads
    from BSAFusionResearch.evaluation_heads import rows as measuring
    from BSAFusionResearch.evaluation_heads.cases import head_cases
    from BSAFusionResearch.simulation.heads import REPORTED_HEADS, head_files

    cases = head_cases()
    if not 0 <= (arguments.cases or 0) <= len(cases):
        raise FusionError(f"There are 1 to {len(cases)} cases of heads, not {arguments.cases}; choose fewer.")
    check_threads(arguments.threads)
    if arguments.baselines:
        baselines.check_baselines(arguments.baselines)
    origin = made_from(weights, head_files(folder, REPORTED_HEADS))
    limit_threads(arguments.threads)

    figures = _earlier_figures(arguments, origin)
    earlier = {row["name"]: row for row in figures["rows"]}
    rows = []
    print(f"\nMean error in the brain in mm, simulated heads, {arguments.threads} thread(s)\n\n{_header()}", flush=True)
    for case in cases[: arguments.cases or None]:
        row = earlier.get(case.name)
        if row is None:
            settings = Settings(
                case.modality, device=arguments.device, precision=arguments.precision, weights=weights[case.modality]
            )
            row = measuring.measure_case(case, folder, settings)
        rows.append(row)
        print(_line(row), flush=True)
        earlier[case.name] = row
        figures["rows"] = list(earlier.values())
        _save(figures, arguments.json)
        for method in baselines.HEAD_TITLES if arguments.baselines else ():
            known = figures["baselines"].setdefault(case.name, {})
            if method not in known:
                known[method] = measuring.measure_baseline(case, folder, method, arguments.baselines, arguments.threads)
                _save(figures, arguments.json)
    figures["summary"] = measuring.summaries(rows)
    figures["expected_summary"] = measuring.expected_summaries(rows)
    figures["baseline_summary"] = measuring.baseline_summaries(rows, figures["baselines"])
    _print_summary(figures)
    return figures


def _save(figures: dict, path: Path | None) -> None:
    if path:
        save_json({"heads": figures}, path)


def _earlier_figures(arguments: argparse.Namespace, origin: dict[str, Any]) -> dict:
    """Return the figures of the --json file that still hold; empty ones without --resume."""
    figures: dict = {"threads": arguments.threads, "made_from": origin, "rows": [], "baselines": {}}
    if (path := resumed_file(arguments)) is None:
        return figures
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))["heads"]
        valid = still_valid(earlier, origin, path)
        figures["baselines"] = {
            name: {method: row for method, row in rows.items() if valid.baselines and _holds(name, method, row)}
            for name, rows in earlier["baselines"].items()
        }
        figures["rows"] = [
            row
            for row in earlier["rows"]
            if row["modality"] in valid.modalities and row["report"]["precision"] == arguments.precision and row["name"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FusionError(f"{path} holds no cases of heads to go on from; name another file.") from error
    return figures


def _holds(name: str, method: str, row: dict) -> bool:
    """Decide whether a baseline's row was measured with today's settings."""
    from BSAFusionResearch.evaluation.baselines import HEAD_SETTINGS

    modality = name.split("-")[1]
    return method in HEAD_SETTINGS and row["settings"] == HEAD_SETTINGS[method][modality]


def _header() -> str:
    names = " | ".join(name.rjust(width) for name, width in COLUMNS)
    return f"| {names} |\n| " + " | ".join("-" * (width - 1) + ":" for _, width in COLUMNS) + " |"


def _line(row: dict) -> str:
    errors = row["error_mm"]
    cells = [row["name"], *(f"{errors[name]:.2f}" for name in ("before", "best_rigid", "search", "final"))]
    cells += [f"{errors['final'] - errors['search']:+.2f}", f"{row['seconds']:.0f}"]
    return "| " + " | ".join(cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)) + " |"


def _print_summary(figures: dict) -> None:
    from BSAFusionResearch.evaluation import baselines
    from BSAFusionResearch.evaluation.tables import markdown_table
    from BSAFusionResearch.evaluation_heads.rows import HARM_MM

    header = [
        "",
        "cases",
        "before",
        "best rigid",
        "search",
        "rigid",
        "undamped",
        "final",
        "removed",
        "worst",
        "harmed",
        "seconds",
    ]
    lines = [
        [
            *(name, str(group["cases"])),
            *(
                f"{group[error]:.2f}"
                for error in ("before", "best_rigid", "search", "initialization", "undamped", "final")
            ),
            "" if group["residual_removed"] is None else f"{group['residual_removed']:.0%}",
            *(f"{group['worst_final']:.2f}", f"{group['share_harmed']:.0%}", f"{group['seconds']:.0f}"),
        ]
        for name, group in figures["summary"].items()
    ]
    print(f"\n{markdown_table(header, lines)}")
    print(
        "\nremoved: 1 - mean(final) / mean(best rigid); undamped: the network's whole field, before the checks;\n"
        "search: the rigid transform that the network went on from; rigid: after it corrected shift and turn;\n"
        f"harmed: final worse than the search by over {HARM_MM:g} mm"
    )
    if figures["expected_summary"]:
        print(_expected_table(figures["expected_summary"]))
    if figures["baseline_summary"]:
        titles = {"ours": "ours", **baselines.HEAD_TITLES}
        lines = [
            [
                *(f"{group}, {titles[method]}", str(one["cases"]), str(one["gave_up"])),
                *(f"{one['rigid']:.2f}", f"{one['final']:.2f}", f"{one['seconds']:.0f}"),
            ]
            for group, methods in figures["baseline_summary"].items()
            for method, one in methods.items()
        ]
        print("\n" + markdown_table(["side by side", "cases", "gave up", "its rigid", "final", "seconds"], lines))


def _expected_table(summaries: dict[str, dict]) -> str:
    """Return the table of expected errors, and a line on each modality."""
    from BSAFusionResearch.evaluation.tables import markdown_table

    header = ["expected error", "cases", "true / expected", "variance", "rank within a case", "if right"]
    lines = [
        [f"{modality.upper()}, {size}", str(group["cases"])]
        + [f"{group[name]:.2f}" for name in ("ratio", "variance", "rank_within", "rank_if_right")]
        for modality, summary in summaries.items()
        for size, group in summary["groups"].items()
    ]
    remarks = [
        f"{modality.upper()}, true / expected in fifths of the expected error: "
        f"{', '.join(f'{ratio:.2f}' for ratio in summary['fifths'])}; rank between cases "
        + ("-" if summary["rank_between"] is None else f"{summary['rank_between']:.2f}")
        for modality, summary in summaries.items()
    ]
    return "\n".join(["", markdown_table(header, lines), "", *remarks])
