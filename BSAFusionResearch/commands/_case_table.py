"""The table of the designed cases: a line a case as it is measured, then what they come to by all that varies."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionLib.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from BSAFusionLib.pipeline.result import Result

motions = ("before", "prealigned", "after")


def print_cases(arguments: argparse.Namespace, folder: Path, weights: dict[str, Path]) -> dict:
    """Measure the cases on the volumes of a folder, print the tables and return the figures.

    Every case is in the --json file as soon as it is measured, and with --resume those that are there already, measured
    with the same weights, are taken from it. FusionError where volumes, weights or the rivals' environment are missing.
    """
    import SimpleITK as sitk
    import torch

    from BSAFusionResearch.evaluation import case_rows, rivals
    from BSAFusionResearch.evaluation.cases import designed_cases

    cases = designed_cases()
    if not 0 <= arguments.cases <= len(cases):
        raise FusionError(f"There are 1 to {len(cases)} cases to choose from, not {arguments.cases}.")
    if arguments.threads < 1:
        raise FusionError(f"There must be 1 thread or more, not {arguments.threads}.")
    if arguments.rivals:
        rivals.check_rivals(arguments.rivals)
    volumes = case_rows.CaseVolumes(folder)
    settings = {
        modality: Settings(modality, device=arguments.device, precision=arguments.precision, weights=path)
        for modality, path in weights.items()
    }
    unmoved = case_rows.Unmoved(volumes, settings)
    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)

    measured = _earlier_rows(arguments, weights)
    rows = []
    figures: dict = {"threads": arguments.threads}
    print(
        f"\nMean error inside the head in mm, of {arguments.cases or len(cases)} cases; {arguments.threads} "
        f"thread{'s' if arguments.threads > 1 else ''} for every method; of the motion: against what is found in the\n"
        "pair unmoved\n"
    )
    print(_case_header(), flush=True)
    for case in cases[: arguments.cases or None]:
        row = measured.get(case.number)
        if row is None:
            row, _ = case_rows.measure_case(case, volumes, unmoved, settings[case.modality], there_and_back)
        if arguments.rivals and "rivals" not in row:
            row["rivals"] = case_rows.measure_rivals(case, volumes, arguments.rivals, arguments.threads)
        rows.append(row)
        print(_case_line(row), flush=True)
        measured[case.number] = row
        figures["rows"] = list(measured.values())
        if arguments.json:
            save_json({"cases": figures}, arguments.json)
    figures["summary"] = {name: case_rows.summary(level) for name, level in case_rows.by_level(rows).items()}
    figures["verdicts"] = {measure: case_rows.verdicts(rows, measure) for measure in case_rows.measures}
    figures["methods"] = case_rows.side_by_side(rows) if arguments.rivals else {}
    _print_summary(figures, rows)
    return figures


def there_and_back(result: "Result", points: "np.ndarray") -> "np.ndarray":
    """Points (N, 3), mm, LPS, through the grid transform that Slicer gets and through Slicer's inverse of it."""
    import numpy as np
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkPoints

    from BSAFusionLib.mrml.scene import ras_lps, transform_from_field

    transform = transform_from_field(result.network_field, result.prealignment, np.eye(4))
    signs = np.diag(ras_lps)[:3]
    here, there, back = vtkPoints(), vtkPoints(), vtkPoints()
    for each in (here, there, back):
        each.SetDataTypeToDouble()
    here.SetData(numpy_to_vtk(points * signs, deep=True))
    transform.TransformPoints(here, there)
    transform.GetInverse().TransformPoints(there, back)
    return vtk_to_numpy(back.GetData()) * signs


def _earlier_rows(arguments: argparse.Namespace, weights: dict[str, Path]) -> dict[int, dict]:
    """The rows in the --json file that these weights made in that precision, by number; none without --resume."""
    from BSAFusionLib.network.weights import read_parts, sha256

    if not arguments.resume:
        return {}
    if not arguments.json:
        raise FusionError("--resume goes on from the --json file; name one.")
    if not arguments.json.is_file():
        return {}
    used = {modality: sha256(read_parts(path)) for modality, path in weights.items()}
    try:
        rows = json.loads(arguments.json.read_text(encoding="utf-8"))["cases"]["rows"]
        reports = {row["number"]: row["report"] for row in rows if row["motion_error_mm"]}
        return {
            row["number"]: row
            for row in rows
            if reports[row["number"]]["weights_sha256"] == used[row["modality"]]
            and reports[row["number"]]["precision"] == arguments.precision
        }
    except (ValueError, KeyError, TypeError) as error:
        raise FusionError(f"{arguments.json} holds no cases to go on from; name another file.") from error


columns = (
    *(("case", 4), ("modality", 8), ("axis", 4), ("degrees, mm", 11), ("elastic", 7), ("sampling", 27)),
    *(
        ("before", 6),
        ("rigid", 6),
        ("after", 6),
        ("change", 6),
        ("of the motion: rigid", 20),
        ("after", 6),
        ("change", 6),
    ),
    *(("Jacobian", 8), ("inverse", 7), ("seconds", 7)),
)


def _case_header() -> str:
    names = " | ".join(name.rjust(width) for name, width in columns)
    return f"| {names} |\n| " + " | ".join("-" * (width - 1) + ":" for _, width in columns) + " |"


def _case_line(row: dict) -> str:
    from BSAFusionResearch.evaluation.case_rows import harm

    cells = (
        *(str(row["number"]), row["modality"], row["slice_axis"], f"{row['degrees']:g}, {row['mm']:g}"),
        *(f"{row['elastic_mm']:g}", row["sampling"]),
        *(f"{row['error_mm'][name]:.2f}" for name in motions),
        f"{harm(row):+.2f}",
        *(f"{row['motion_error_mm'][name]:.2f}" for name in motions[1:]),
        f"{harm(row, 'motion_error_mm'):+.2f}",
        f"{row['smallest_jacobian']:.2f}",
        f"{row['inverse_error_voxels']:.3f}",
        f"{row['seconds']:.0f}",
    )
    return "| " + " | ".join(cell.rjust(width) for cell, (_, width) in zip(cells, columns, strict=True)) + " |"


def _print_summary(figures: dict, rows: list[dict]) -> None:
    from BSAFusionResearch.evaluation import case_rows, rivals
    from BSAFusionResearch.evaluation.tables import markdown_table

    header = ["", "cases", "before", "rigid", "after", "worst change", "harmed"]
    header += ["of the motion: rigid", "after", "worst change", "harmed", "least Jacobian", "inverse", "seconds"]
    lines = [
        [
            *(name, str(level["cases"])),
            *(f"{level[motion]:.2f}" for motion in motions),
            *(f"{level['worst_harm']:+.2f}", str(level["harmed"])),
            *(f"{level[f'motion_{motion}']:.2f}" for motion in motions[1:]),
            *(f"{level['motion_worst_harm']:+.2f}", str(level["motion_harmed"])),
            *(f"{level['smallest_jacobian']:.2f}", f"{level['inverse_error_voxels']:.3f}", f"{level['seconds']:.0f}"),
        ]
        for name, level in figures["summary"].items()
    ]
    print(f"\n{markdown_table(header, lines)}")
    print(
        "\nerrors and seconds: means; change: after less rigid, mm; harmed: worse than rigid by more than "
        f"{case_rows.harm_mm:g} mm;\ninverse: largest distance between a point and itself there and back, voxels"
    )
    for measure, title in case_rows.measures.items():
        harmed = case_rows.harmed(rows, measure)
        worse = ", ".join(f"{row['number']} ({case_rows.harm(row, measure):+.2f})" for row in harmed)
        print(f"\nby the error {title}: harmed: {worse or 'none'}\n")
        counts = figures["verdicts"][measure]
        header = ["all that was found is", "cases", "kept all", "some", "none", "rightly", "information rose", "fell"]
        print(markdown_table(header, [[truly, *map(str, count.values())] for truly, count in counts.items()]))
    print(
        "\nbetter and worse than rigid by more than "
        f"{case_rows.harm_mm:g} mm; rightly: within as much of the better one of all and nothing"
    )
    if figures["methods"]:
        titles = {"ours": "ours", **rivals.titles}
        lines = [
            [
                *(titles[method], str(one["cases"]), str(one["gave_up"])),
                *(f"{one[name]:.2f}" for name in ("prealigned", "after")),
                *(f"{one[name]:.0f}" for name in ("seconds", "cpu_seconds")),
            ]
            for method, one in figures["methods"].items()
        ]
        print("\n" + markdown_table(["", "cases", "gave up", "its rigid", "after", "seconds", "CPU seconds"], lines))
