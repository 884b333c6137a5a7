"""Run the program on inputs of the kinds that users reported as trouble, and table what it makes of them."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.texts import write_json

if TYPE_CHECKING:
    from BSAFusionResearch.wild.cases import WildCase
    from BSAFusionResearch.wild.sources import Sources

COLUMNS = (("case", 34), ("expected", 9), ("outcome", 10), ("error", 7), ("motion", 7), ("doubtful", 8), ("CPU s", 6))
SHOWN_LETTERS = 100  # of the first sentence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "wild", type=Path, metavar="DIR", help="the folder of given cases; data/volumes and data/heads lie beside it"
    )
    parser.add_argument("--kind", nargs="+", metavar="NN", help="only these kinds, such as 06 (default: all)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder that keeps a row a case; rows that are there are taken from it, so name another after a change",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows and the summary here")


def run(arguments: argparse.Namespace) -> int:
    """Print the table and its summary; return 1 where a result is silently wrong, else 0.

    Raises:
        FusionError: A folder is missing, or an output would overwrite an input.
    """
    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionResearch.evaluation.clock import limit_threads
    from BSAFusionResearch.wild.sources import Sources
    from BSAFusionResearch.wild.table import is_right, summary, wild_cases

    cases = wild_cases(arguments.kind)
    if not cases:
        raise FusionError(f"There are no cases of the kinds {', '.join(arguments.kind)}; name such as 01.")
    refuse_overwriting(arguments.wild.rglob("*"), [arguments.json])
    sources = Sources(arguments.wild)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    limit_threads(1)
    print(" | ".join(name.ljust(width) for name, width in COLUMNS) + " | sentence")
    rows = []
    for case in cases:
        rows.append(_row(case, sources, arguments.out))
        print(_line(rows[-1], is_right(rows[-1])), flush=True)
    figures = summary(rows)
    _print_summary(figures)
    if arguments.json:
        save_json({"rows": rows, "summary": figures}, arguments.json)
    return 1 if figures["silent"] else 0


def _row(case: "WildCase", sources: "Sources", folder: Path | None) -> dict[str, Any]:
    """Return a case's row, from the folder where it is there."""
    from BSAFusionResearch.wild.measure import measure

    path = folder / f"{case.title}.json" if folder else None
    if path is not None and path.is_file():
        earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {**earlier, "expected": case.expected, "words": list(case.words)}
    row = measure(case, sources)
    if path is not None:
        write_json(row, path)
    return row


def _line(row: dict[str, Any], right: bool) -> str:
    errors = ("" if row[name] is None else f"{row[name]:.2f}" for name in ("error_mm", "motion_error_mm"))
    doubt = {None: "", True: "yes", False: "no"}[row["doubtful"]]
    cells = (row["title"], row["expected"], row["outcome"], *errors, doubt, f"{row['seconds']:.1f}")
    padded = [cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)]
    sentence = " ".join(row["sentences"])[:SHOWN_LETTERS]
    return " | ".join(padded) + f" | {'' if right else 'NOT AS EXPECTED: '}{sentence}"


def _print_summary(figures: dict[str, Any]) -> None:
    print(f"\nas expected: {figures['right']} of {figures['cases']}")
    print(f"silently wrong, by over 10 mm or without a head in common: {_listed(figures['silent'])}")
    print(
        f"doubtful although right within 3 mm: {_listed(figures['falsely_doubtful'])}, "
        f"of {figures['judged_right']} right ones"
    )
    print(f"crashed, or with the wrong exit status: {_listed(figures['crashed'])}")
    if figures["found"] is not None:
        print(f"found within 3 mm of the motion, kinds 01 to 04, 06 and 07: {figures['found']:.0%}")


def _listed(titles: list[str]) -> str:
    return f"{len(titles)} ({', '.join(titles)})" if titles else "0"
