"""Measure how fast it is: the network's forms side by side, and one whole job by stages."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import refuse_overwriting
from BSAFusionLib.resources import MODELS
from BSAFusionResearch.commands._inputs import SHARED_DATA, add_baselines, add_threads

if TYPE_CHECKING:
    import numpy as np
    import torch

    from BSAFusionResearch.evaluation.case_rows import CaseBench
    from BSAFusionResearch.evaluation.cases import Case
    from BSAFusionResearch.evaluation.speed import Cost

DEFAULT_VOLUMES = SHARED_DATA / "volumes"
GROWN_STACKS = ((32, 128), (128, 128), (512, 128), (32, 256), (32, 512))
"""Slices, and pixels along a side."""

PASSES = {"forward": "registered and fused", "evidence": "registered", "fuse": "fused"}
"""Methods of the network that are measured, and how a table calls them."""

TRAINING_FORMS = {
    "published, inference form": "published graph",
    "exact, inference form": "exact, training form",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.description += (
        " The network has random weights. Ratios are of CPU seconds on the CPU and of wall clock seconds on a GPU: the "
        "median over the repetitions, in each of which every form has its turn, with the least and the greatest."
    )
    parser.add_argument(
        "--volumes",
        type=Path,
        default=DEFAULT_VOLUMES,
        metavar="DIR",
        help="a folder with mri_t1.nii.gz and pet.nii.gz of one head, in one space; the PET is moved by a known motion "
        "(default: shared/data/volumes beside the folder of run.py; without it, the whole job is left out)",
    )
    add_threads(parser)
    parser.add_argument(
        "--repetitions", type=int, default=5, metavar="N", help="repetitions of each measurement (default: 5)"
    )
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 4], metavar="N", help="slice pairs at once (default: 1 4)"
    )
    parser.add_argument("--side", type=int, default=256, metavar="PIXELS", help="side of the slices (default: 256)")
    parser.add_argument(
        "--growth",
        action="store_true",
        help="also measure how the network's stage grows from 32 to 512 slices and 128 to 512 pixels (two minutes)",
    )
    parser.add_argument(
        "--device", nargs="+", metavar="NAME", help="devices: cpu, cuda:0, mps (default: all that are here)"
    )
    add_baselines(parser)
    parser.add_argument(
        "--weights",
        type=Path,
        default=MODELS / "pet.safetensors",
        metavar="FILE",
        help="weights of the whole job (default: the shipped ones)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def run(arguments: argparse.Namespace) -> int:
    """Print the figures, write them where asked, and return 0.

    Raises:
        FusionError: An option is out of range, a file is missing, or an output would overwrite an input.
    """
    import torch

    from BSAFusionLib.network.devices import choose_device, list_devices
    from BSAFusionResearch.evaluation.clock import limit_threads

    _check(arguments)
    names = arguments.device or [device.name for device in list_devices() if device.works]
    devices = [choose_device(name) for name in names]
    limit_threads(arguments.threads)

    figures: dict = {"threads": arguments.threads, "repetitions": arguments.repetitions, "side": arguments.side}
    figures["torch"] = torch.__version__
    figures["network"] = [row for device in devices for row in network_rows(arguments, device)]
    figures.update(headline(figures["network"]))
    figures["roofline"] = [row for device in devices for row in roofline_rows(arguments, device, figures["network"])]
    if arguments.growth:
        figures["growth"] = [row for device in devices for row in growth_rows(device)]
    if arguments.volumes.is_dir():
        figures["whole_job"] = job_rows(arguments, names[0])
    else:
        print(f"\nThere is no folder {arguments.volumes}, so the whole job is left out.")
    if arguments.json:
        save_json(figures, arguments.json)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    from BSAFusionResearch.evaluation.baselines import check_baselines

    if min(arguments.threads, arguments.repetitions, *arguments.batches) < 1:
        raise FusionError("Threads, repetitions and batches must each be 1 or more.")
    if arguments.side < 16 or arguments.side % 16:
        raise FusionError(f"The side of a slice must be a multiple of 16 pixels, not {arguments.side}.")
    if arguments.volumes != DEFAULT_VOLUMES and not arguments.volumes.is_dir():
        raise FusionError(f"There is no folder {arguments.volumes}; check --volumes.")
    refuse_overwriting([arguments.weights, *arguments.volumes.glob("*.nii.gz")], [arguments.json])
    if arguments.baselines:
        check_baselines(arguments.baselines)


def network_rows(arguments: argparse.Namespace, device: "torch.device") -> list[dict]:
    """Print what a slice pair costs on a device, one table for each of `PASSES`, and return the rows."""
    from BSAFusionResearch.evaluation import speed
    from BSAFusionResearch.evaluation.tables import markdown_table

    rows: list[dict] = []
    for passes, title in PASSES.items():
        found = list(speed.costs(device, arguments.batches, arguments.repetitions, arguments.side, passes))
        exact = {(cost.batch, cost.form): cost for cost in found if cost.precision == "float32"}
        added = [{"device": str(device), "passes": passes, **_cost_row(cost, exact, device)} for cost in found]
        print(f"\n{device}, a pair of {arguments.side} x {arguments.side} pixels {title}\n")
        header = ["form", "precision", "pairs at once", "s a pair", "CPU s", "peak, MB", "x published", "x training"]
        print(markdown_table(header, list(map(_cost_cells, added))), flush=True)
        rows += added
    return rows


def _cost_row(cost: "Cost", exact: "dict[tuple[int, str], Cost]", device: "torch.device") -> dict:
    """Return the figures of one cost; `exact` holds the costs in float32 by batch size and form."""
    import numpy as np

    from BSAFusionResearch.evaluation.speed import speed_up

    references = {"published": "published graph", "training_form": TRAINING_FORMS.get(cost.form, cost.form)}
    return {
        "form": cost.form,
        "precision": cost.precision,
        "batch": cost.batch,
        "seconds_per_pair": float(np.median(cost.seconds)) / cost.batch,
        "cpu_seconds_per_pair": float(np.median(cost.cpu_seconds)) / cost.batch,
        "peak_bytes": cost.peak_bytes,
        **{
            f"over_{name}": _spread(speed_up(exact[cost.batch, reference], cost, device))
            for name, reference in references.items()
        },
    }


def _spread(ratios: "np.ndarray") -> dict[str, float]:
    import numpy as np

    return {"median": float(np.median(ratios)), "least": float(ratios.min()), "greatest": float(ratios.max())}


def _cost_cells(row: dict) -> list[str]:
    peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}"
    ratios = (row["over_published"], row["over_training_form"])
    return [
        *(row["form"], row["precision"], str(row["batch"])),
        *(f"{row[name]:.4f}" for name in ("seconds_per_pair", "cpu_seconds_per_pair")),
        peak,
        *(f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['greatest']:.2f})" for ratio in ratios),
    ]


def roofline_rows(arguments: argparse.Namespace, device: "torch.device", costs: list[dict]) -> list[dict]:
    """Print how far each form is from a device's ceilings, registered and fused in float32, and return the rows.

    On the CPU all seconds are CPU seconds.

    Args:
        arguments: Options of the command.
        device: The device.
        costs: Rows of `network_rows`.
    """
    from BSAFusionResearch.evaluation import roofline
    from BSAFusionResearch.evaluation.tables import markdown_table

    most = roofline.ceilings(device)
    clock = "cpu_seconds_per_pair" if device.type == "cpu" else "seconds_per_pair"
    rows = []
    for form, work in roofline.works(device, arguments.side).items():
        same = {"device": str(device), "passes": "forward", "form": form, "precision": "float32"}
        taken = min(cost[clock] for cost in costs if same.items() <= cost.items())
        floor = work.floor(most)
        rows.append(
            {
                **same,
                "flops": work.flops,
                "bytes": work.bytes,
                "flops_ceiling": most.flops,
                "bytes_ceiling": most.bytes,
                "floor_seconds": floor,
                "seconds": taken,
                "times_the_floor": taken / floor,
                "binds": "arithmetic" if floor == work.flops / most.flops else "memory",
            }
        )
    print(
        f"\n{device}: at most {most.flops / 1e9:.0f} GFLOP/s (a product of matrices or a convolution) and "
        f"{most.bytes / 1e9:.1f} GB/s (a copy); the floor of a pair, and the seconds of the best batch\n"
    )
    header = ["form", "GFLOP", "GB", "floor, s", "binds", "s a pair", "times the floor"]
    lines = [
        [
            row["form"],
            f"{row['flops'] / 1e9:.1f}",
            f"{row['bytes'] / 1e9:.2f}",
            f"{row['floor_seconds']:.3f}",
            row["binds"],
            f"{row['seconds']:.3f}",
            f"{row['times_the_floor']:.1f}",
        ]
        for row in rows
    ]
    print(markdown_table(header, lines), flush=True)
    return rows


def growth_rows(device: "torch.device") -> list[dict]:
    """Print what the network's stage costs as stacks grow, and return the rows.

    Ratios are 1 where time grows as the pixels do, and where memory does not grow with the slices.
    """
    from BSAFusionResearch.evaluation import speed
    from BSAFusionResearch.evaluation.tables import markdown_table

    on_cpu = device.type == "cpu"
    rows: list[dict] = []
    for slices, side in GROWN_STACKS:
        row = {"device": str(device), **asdict(speed.growth(device, slices, side))}
        row["seconds_a_megapixel"] = row["cpu_seconds" if on_cpu else "seconds"] / (slices * side**2 / 1e6)
        row["working_bytes"] = (row["peak_bytes"] or 0) - (row["answer_bytes"] if on_cpu else 0)
        rows.append(row)
        fewest = next(other for other in rows if other["side"] == side)
        row["time_over_linear"] = row["seconds_a_megapixel"] / rows[0]["seconds_a_megapixel"]
        row["memory_over_fewest_slices"] = row["working_bytes"] / (fewest["working_bytes"] or float("nan"))
    lines = [
        [
            str(row["slices"]),
            str(row["side"]),
            f"{row['seconds_a_megapixel']:.2f}",
            f"{row['time_over_linear']:.2f}",
            f"{row['working_bytes'] / 1e6:.0f}",
            f"{row['memory_over_fewest_slices']:.2f}",
        ]
        for row in rows
    ]
    seconds = "CPU s a megapixel" if on_cpu else "s a megapixel"
    print(f"\n{device}, the network's stage as stacks grow; memory without the slices and the answers\n")
    header = ["slices", "pixels", seconds, "by the first", "peak, MB", "by the fewest slices"]
    print(markdown_table(header, lines), flush=True)
    return rows


def headline(rows: list[dict]) -> dict:
    """Return the figures asked for most: ratios of the forms, and our network's seconds a pair.

    They are those of float32 on the CPU (without it, on the first device), registered and fused, at the first batch
    size.
    """
    devices = [row["device"] for row in rows]
    device = "cpu" if "cpu" in devices else devices[0]
    first = {
        row["form"]: row
        for row in reversed(rows)
        if (row["passes"], row["precision"], row["device"]) == ("forward", "float32", device)
    }
    published, ours = first["published, inference form"], first["exact, inference form"]
    return {
        "inference_over_training_form": published["over_training_form"]["median"],
        "exact_inference_over_training_form": ours["over_training_form"]["median"],
        "exact_inference_over_published_graph": ours["over_published"]["median"],
        "seconds_per_pair": ours["seconds_per_pair"],
    }


def job_rows(arguments: argparse.Namespace, device: str) -> list[dict]:
    """Print what it takes to register and fuse T1 and a moved PET, a row a method, and return the rows."""
    from BSAFusionResearch.commands._case_table import there_and_back
    from BSAFusionResearch.evaluation.case_rows import CaseBench
    from BSAFusionResearch.evaluation.cases import Case

    case = Case(0, "pet", "k", 12.0, 15.0, 6.0, "as is")
    bench = CaseBench(arguments.volumes, {case.modality: arguments.weights}, there_and_back, device)
    ours = bench.measure(case)
    rows = _method_rows(arguments, bench, case, ours)
    print(
        f"\nT1 with PET moved by {case.degrees:g} degrees, {case.mm:g} mm and {case.elastic_mm:g} mm elastically "
        f"({ours['error_mm']['before']:.2f} mm off), ours on {device}, threads: {arguments.threads}\n"
    )
    _print_job(rows)
    return rows


def _method_rows(arguments: argparse.Namespace, bench: "CaseBench", case: "Case", ours: dict) -> list[dict]:
    """Return a row for our method, with its stages, and for each baseline."""
    measured = {"ours": ours}
    if arguments.baselines:
        measured.update(bench.measure_baselines(case, arguments.baselines, arguments.threads))
    rows: list[dict] = []
    for method, row in measured.items():
        if "gave_up" in row:
            rows.append({"method": method, "gave_up": row["gave_up"]})
        else:
            times = {name: row[name] for name in ("seconds", "cpu_seconds")}
            rows.append({"method": method, **times, "true_error_mm": row["error_mm"]["after"]})
    rows[0]["stages"] = ours["report"]["seconds"]
    return rows


def _print_job(rows: list[dict]) -> None:
    from BSAFusionResearch.evaluation.baselines import TITLES
    from BSAFusionResearch.evaluation.tables import markdown_table

    decimals = {"seconds": 1, "cpu_seconds": 1, "true_error_mm": 2}
    lines = [
        [{"ours": "ours", **TITLES}[row["method"]], *(f"{row[name]:.{places}f}" for name, places in decimals.items())]
        for row in rows
        if "gave_up" not in row
    ]
    print(markdown_table(["method", "seconds", "CPU seconds", "true error, mm"], lines))
    for row in rows:
        if "gave_up" in row:
            print(row["gave_up"])
    stages = [[name, f"{seconds:.1f}"] for name, seconds in rows[0]["stages"].items()]
    print("\n" + markdown_table(["stage of ours", "seconds"], stages), flush=True)
