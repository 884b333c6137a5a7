"""Print the table of the designed cases: a line a case as it is measured, then summaries by every factor."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionResearch.commands._inputs import baselines_alone, check_threads, made_from, resumed_file, still_valid

if TYPE_CHECKING:
    import numpy as np

    from BSAFusionLib.pipeline.result import Result
    from BSAFusionResearch.evaluation.case_rows import CaseBench
    from BSAFusionResearch.evaluation.cases import Case

MOTIONS = ("before", "prealigned", "after")
COLUMNS = (
    *(("case", 4), ("modality", 8), ("axis", 4), ("degrees, mm", 11), ("elastic", 7), ("sampling", 27)),
    *(("before", 6), ("rigid", 6), ("after", 6), ("change", 6)),
    *(("of the motion: rigid", 20), ("after", 6), ("change", 6)),
    *(("Jacobian", 8), ("inverse", 7), ("seconds", 7)),
)
"""Titles of the columns, and their widths in characters."""


def print_cases(arguments: argparse.Namespace, folder: Path, weights: dict[str, Path]) -> dict:
    """Measure the designed cases, print the tables and return the figures.

    Every case is in the --json file as soon as it is measured. With --resume, the cases that are there already are
    taken from it: ours where weights, their calibration and precision are the same, the baselines' where the volumes
    are.

    Args:
        arguments: Options of `evaluate`.
        folder: Holds the volumes.
        weights: A checkpoint for each modality.

    Raises:
        FusionError: An option is out of range, or volumes, weights or the baselines' environment are missing.
    """
    from BSAFusionResearch.evaluation import baselines
    from BSAFusionResearch.evaluation.case_rows import CaseBench
    from BSAFusionResearch.evaluation.cases import designed_cases
    from BSAFusionResearch.evaluation.clock import limit_threads

    cases = designed_cases()
    if not 0 <= arguments.cases <= len(cases):
        raise FusionError(f"There are 1 to {len(cases)} cases to choose from, not {arguments.cases}; change --cases.")
    check_threads(arguments.threads)
    if arguments.baselines:
        baselines.check_baselines(arguments.baselines)
    bench = CaseBench(folder, weights, there_and_back, arguments.device, arguments.precision)
    limit_threads(arguments.threads)
    origin = made_from(weights, [folder / f"{name}.nii.gz" for name in ("mri_t1", *weights)])
    measured = _earlier_rows(arguments, origin)
    cases = cases[: arguments.cases or None]
    print(
        f"\nMean error inside the head in mm, of {len(cases)} cases; {arguments.threads} "
        f"thread{'s' if arguments.threads > 1 else ''} for every method; of the motion: against the estimate for the\n"
        f"unmoved pair\n\n{_case_header()}",
        flush=True,
    )
    figures: dict = {"threads": arguments.threads, "made_from": origin}
    rows = []
    for case in cases:
        row = measured[case.number] = _measured_row(arguments, bench, case, measured.get(case.number))
        rows.append(row)
        print(_case_line(row), flush=True)
        figures["rows"] = list(measured.values())
        if arguments.json:
            save_json({"cases": figures}, arguments.json)
    figures.update(_summaries(rows, bool(arguments.baselines)))
    _print_summary(figures, rows)
    return figures


def there_and_back(result: "Result", points: "np.ndarray") -> "np.ndarray":
    """Send points through the grid transform that Slicer gets and through Slicer's inverse of it.

    Args:
        result: Of a run.
        points: (N, 3), mm, LPS.

    Returns:
        Where the points end, (N, 3), mm, LPS.
    """
    import numpy as np
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkPoints

    from BSAFusionLib.mrml.convert import RAS_LPS, transform_from_field

    transform = transform_from_field(result.network_field, result.prealignment, np.eye(4))
    signs = np.diag(RAS_LPS)[:3]
    given, sent, back = vtkPoints(), vtkPoints(), vtkPoints()
    for stage in (given, sent, back):
        stage.SetDataTypeToDouble()
    given.SetData(numpy_to_vtk(points * signs, deep=True))
    transform.TransformPoints(given, sent)
    transform.GetInverse().TransformPoints(sent, back)
    return vtk_to_numpy(back.GetData()) * signs


def _measured_row(arguments: argparse.Namespace, bench: "CaseBench", case: "Case", earlier: dict | None) -> dict:
    """Return the row of a case, measuring what an earlier row lacks."""
    row = earlier or {}
    if "error_mm" not in row:
        row = bench.measure(case) | ({"baselines": row["baselines"]} if "baselines" in row else {})
    if arguments.baselines and "baselines" not in row:
        row["baselines"] = bench.measure_baselines(case, arguments.baselines, arguments.threads)
    return row


def _earlier_rows(arguments: argparse.Namespace, origin: dict[str, Any]) -> dict[int, dict]:
    """Return the rows of the --json file by number, the baselines alone where ours no longer hold."""
    if (path := resumed_file(arguments)) is None:
        return {}
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["cases"]
        rows = [_with_new_names(row) for row in figures["rows"]]
        valid = still_valid(figures, origin, path)
        known = {}
        for row in rows:
            # What an interrupted run has not measured again yet has no such errors.
            ours = bool(row.get("motion_error_mm")) and row["report"]["precision"] == arguments.precision
            if ours and row["modality"] in valid.modalities:
                known[row["number"]] = row
            elif valid.baselines and "baselines" in row:
                known[row["number"]] = baselines_alone(row)
        return known
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FusionError(f"{path} holds no cases to resume from; name another file.") from error


def _with_new_names(row: dict) -> dict:
    """Return a row with the key that versions before 0.5 wrote as "rivals" under its name of today."""
    return {"baselines" if name == "rivals" else name: value for name, value in row.items()}


def _summaries(rows: list[dict], with_baselines: bool) -> dict:
    from BSAFusionResearch.evaluation import case_summary

    return {
        "summary": {name: case_summary.summary(level) for name, level in case_summary.by_level(rows).items()},
        "verdicts": {measure: case_summary.verdicts(rows, measure) for measure in case_summary.MEASURES},
        "methods": case_summary.side_by_side(rows) if with_baselines else {},
    }


def _case_header() -> str:
    names = " | ".join(name.rjust(width) for name, width in COLUMNS)
    return f"| {names} |\n| " + " | ".join("-" * (width - 1) + ":" for _, width in COLUMNS) + " |"


def _case_line(row: dict) -> str:
    from BSAFusionResearch.evaluation.case_summary import harm

    cells = (
        *(str(row["number"]), row["modality"], row["slice_axis"], f"{row['degrees']:g}, {row['mm']:g}"),
        *(f"{row['elastic_mm']:g}", row["sampling"]),
        *(f"{row['error_mm'][name]:.2f}" for name in MOTIONS),
        f"{harm(row):+.2f}",
        *(f"{row['motion_error_mm'][name]:.2f}" for name in MOTIONS[1:]),
        f"{harm(row, 'motion_error_mm'):+.2f}",
        f"{row['smallest_jacobian']:.2f}",
        f"{row['inverse_error_voxels']:.3f}",
        f"{row['seconds']:.0f}",
    )
    return "| " + " | ".join(cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)) + " |"


def _print_summary(figures: dict, rows: list[dict]) -> None:
    from BSAFusionResearch.evaluation import case_summary
    from BSAFusionResearch.evaluation.tables import markdown_table

    print(f"\n{_levels_table(figures['summary'])}")
    print(
        "\nerrors and seconds: means; change: after minus rigid, mm; harmed: worse than rigid by more than "
        f"{case_summary.HARM_MM:g} mm;\ninverse: largest distance between a point and itself there and back, voxels"
    )
    for measure, title in case_summary.MEASURES.items():
        harmed = case_summary.harmed(rows, measure)
        worse = ", ".join(f"{row['number']} ({case_summary.harm(row, measure):+.2f})" for row in harmed)
        print(f"\nby the error {title}: harmed: {worse or 'none'}\n")
        counts = figures["verdicts"][measure]
        header = ["the whole deformation is", "cases", "kept all", "some", "none", "right", "information rose", "fell"]
        print(markdown_table(header, [[truly, *map(str, count.values())] for truly, count in counts.items()]))
    print(
        "\nbetter and worse than rigid by more than "
        f"{case_summary.HARM_MM:g} mm; right: within the same distance of the better of all and nothing"
    )
    if figures["methods"]:
        print("\n" + _methods_table(figures["methods"]))


def _levels_table(summaries: dict[str, dict]) -> str:
    from BSAFusionResearch.evaluation.tables import markdown_table

    header = ["", "cases", "before", "rigid", "after", "worst change", "harmed"]
    header += ["of the motion: rigid", "after", "worst change", "harmed", "least Jacobian", "inverse", "seconds"]
    lines = [
        [
            *(name, str(level["cases"])),
            *(f"{level[motion]:.2f}" for motion in MOTIONS),
            *(f"{level['worst_harm']:+.2f}", str(level["harmed"])),
            *(f"{level[f'motion_{motion}']:.2f}" for motion in MOTIONS[1:]),
            *(f"{level['motion_worst_harm']:+.2f}", str(level["motion_harmed"])),
            *(f"{level['smallest_jacobian']:.2f}", f"{level['inverse_error_voxels']:.3f}", f"{level['seconds']:.0f}"),
        ]
        for name, level in summaries.items()
    ]
    return markdown_table(header, lines)


def _methods_table(methods: dict[str, dict]) -> str:
    from BSAFusionResearch.evaluation import baselines
    from BSAFusionResearch.evaluation.tables import markdown_table

    titles = {"ours": "ours", **baselines.TITLES}
    lines = [
        [
            *(titles[name], str(method["cases"]), str(method["gave_up"])),
            *(f"{method[motion]:.2f}" for motion in MOTIONS[1:]),
            *(f"{method[clock]:.0f}" for clock in ("seconds", "cpu_seconds")),
        ]
        for name, method in methods.items()
    ]
    return markdown_table(["", "cases", "gave up", "its rigid", "after", "seconds", "CPU seconds"], lines)
