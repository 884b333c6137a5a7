"""Measures how fast it is: the network's forms beside one another, and one whole job by stages."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import refuse_overwriting
from BSAFusionLib.resources import MODELS
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation.rivals import default_python

if TYPE_CHECKING:
    import torch

grown_stacks = [(32, 128), (128, 128), (512, 128), (32, 256), (32, 512)]  # slices, pixels along a side
volumes_folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "volumes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description += (
        " The network has random weights. Ratios are of CPU seconds on the CPU, and of seconds on a GPU: the median "
        "over the repetitions, in each of which every form has its turn, with the least and the greatest."
    )
    parser.add_argument(
        "--volumes",
        type=Path,
        default=volumes_folder,
        metavar="DIR",
        help="a folder with mri_t1.nii.gz and pet.nii.gz of one head, in one space; the PET is moved by a known motion "
        "(default: ../shared/data/volumes; where there is none, the whole job is left out)",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of every method (default: 1)")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="of each measurement (default: 5)")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 4], metavar="N", help="slice pairs at once (default: 1 4)"
    )
    parser.add_argument("--side", type=int, default=256, metavar="PIXELS", help="of the slices (default: 256)")
    parser.add_argument(
        "--growth",
        action="store_true",
        help="also how the network's stage grows from 32 to 512 slices and from 128 to 512 pixels (two minutes)",
    )
    parser.add_argument("--device", nargs="+", metavar="NAME", help="cpu, cuda:0, mps (default: all that are here)")
    parser.add_argument(
        "--rivals",
        type=Path,
        nargs="?",
        const=default_python,
        metavar="PYTHON",
        help="ANTs and elastix on the same volumes, by a Python that has them (default: that of .venv-rivals, made "
        "with requirements-benchmark.txt)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=MODELS / "pet.safetensors",
        metavar="FILE",
        help="of the whole job (default: the shipped ones)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def run(arguments: argparse.Namespace) -> int:
    """Print the figures and write them where asked; FusionError where an option makes no sense or a file is missing."""
    import SimpleITK as sitk
    import torch

    from BSAFusionLib.network.devices import choose_device, list_devices
    from BSAFusionResearch.evaluation.rivals import check_rivals

    if min(arguments.threads, arguments.repetitions, *arguments.batches) < 1:
        raise FusionError("Threads, repetitions and batches must each be 1 or more.")
    if arguments.side < 16 or arguments.side % 16:
        raise FusionError(f"The side of a slice must be a multiple of 16 pixels, not {arguments.side}.")
    refuse_overwriting([arguments.weights, *arguments.volumes.glob("*.nii.gz")], [arguments.json])
    if arguments.rivals:
        check_rivals(arguments.rivals)
    names = arguments.device or [device.name for device in list_devices() if device.works]
    devices = [choose_device(name) for name in names]
    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)

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


def network_rows(arguments: argparse.Namespace, device: "torch.device") -> list[dict]:
    """Print what a slice pair costs on a device, a table for each way through the network, and return the rows."""
    import numpy as np

    from BSAFusionResearch.evaluation import speed
    from BSAFusionResearch.evaluation.tables import markdown_table

    rows: list[dict] = []
    for passes in ("forward", "evidence", "fuse"):
        found = list(speed.costs(device, arguments.batches, arguments.repetitions, arguments.side, passes))
        first = {(cost.batch, cost.form): cost for cost in found if cost.precision == "float32"}
        lines = []
        for cost in found:
            ratios = {}
            for name, reference in (("published", "published graph"), ("training_form", training_form(cost.form))):
                ratio = speed.speed_up(first[cost.batch, reference], cost, device)
                spread = {"median": np.median(ratio), "least": ratio.min(), "greatest": ratio.max()}
                ratios[f"over_{name}"] = {key: float(value) for key, value in spread.items()}
            row = {
                "device": str(device),
                "passes": passes,
                "form": cost.form,
                "precision": cost.precision,
                "batch": cost.batch,
                "seconds_per_pair": float(np.median(cost.seconds)) / cost.batch,
                "cpu_seconds_per_pair": float(np.median(cost.cpu_seconds)) / cost.batch,
                "peak_bytes": cost.peak_bytes,
                **ratios,
            }
            rows.append(row)
            lines.append([cost.form, cost.precision, str(cost.batch), *cells(row)])
        titles = {"forward": "registered and fused", "evidence": "registered", "fuse": "fused"}
        print(f"\n{device}, a pair of {arguments.side} x {arguments.side} pixels {titles[passes]}\n")
        header = ["form", "precision", "pairs at once", "s a pair", "CPU s", "peak, MB", "x published", "x training"]
        print(markdown_table(header, lines), flush=True)
    return rows


def roofline_rows(arguments: argparse.Namespace, device: "torch.device", costs: list[dict]) -> list[dict]:
    """Print how far each form is from what the device allows, registered and fused in float32, and return the rows.

    On the CPU all seconds are the CPU's.
    """
    from BSAFusionResearch.evaluation import speed
    from BSAFusionResearch.evaluation.tables import markdown_table

    most = speed.ceilings(device)
    clock = "cpu_seconds_per_pair" if device.type == "cpu" else "seconds_per_pair"
    rows = []
    for form, work in speed.works(device, arguments.side).items():
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
        [row["form"], f"{row['flops'] / 1e9:.1f}", f"{row['bytes'] / 1e9:.2f}", f"{row['floor_seconds']:.3f}"]
        + [row["binds"], f"{row['seconds']:.3f}", f"{row['times_the_floor']:.1f}"]
        for row in rows
    ]
    print(markdown_table(header, lines), flush=True)
    return rows


def growth_rows(device: "torch.device") -> list[dict]:
    """Print what the network's stage costs as stacks grow, and return the rows.

    Time that grows with the pixels and memory that does not grow with the slices are ratios of 1.
    """
    from BSAFusionResearch.evaluation import speed
    from BSAFusionResearch.evaluation.tables import markdown_table

    on_cpu = device.type == "cpu"
    rows: list[dict] = []
    for slices, side in grown_stacks:
        row = {"device": str(device), **asdict(speed.growth(device, slices, side))}
        row["seconds_a_megapixel"] = row["cpu_seconds" if on_cpu else "seconds"] / (slices * side**2 / 1e6)
        row["working_bytes"] = (row["peak_bytes"] or 0) - (row["answer_bytes"] if on_cpu else 0)
        rows.append(row)
        fewest = next(each for each in rows if each["side"] == side)
        row["time_over_linear"] = row["seconds_a_megapixel"] / rows[0]["seconds_a_megapixel"]
        row["memory_over_fewest_slices"] = row["working_bytes"] / fewest["working_bytes"]
    lines = [
        [str(row["slices"]), str(row["side"]), f"{row['seconds_a_megapixel']:.2f}", f"{row['time_over_linear']:.2f}"]
        + [f"{row['working_bytes'] / 1e6:.0f}", f"{row['memory_over_fewest_slices']:.2f}"]
        for row in rows
    ]
    seconds = "CPU s a megapixel" if on_cpu else "s a megapixel"
    print(f"\n{device}, the network's stage as stacks grow; memory without the slices and the answers\n")
    header = ["slices", "pixels", seconds, "by the first", "peak, MB", "by the fewest slices"]
    print(markdown_table(header, lines), flush=True)
    return rows


def training_form(form: str) -> str:
    return {"published, inference form": "published graph", "exact, inference form": "exact, training form"}.get(
        form, form
    )


def cells(row: dict) -> list[str]:
    peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}"
    ratios = (row["over_published"], row["over_training_form"])
    return [
        f"{row['seconds_per_pair']:.4f}",
        f"{row['cpu_seconds_per_pair']:.4f}",
        peak,
        *(f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['greatest']:.2f})" for ratio in ratios),
    ]


def headline(rows: list[dict]) -> dict:
    """The figures asked for most: the published graph's two forms, and our network's seconds, in float32 on the CPU
    (on the first device where the CPU was not asked for), registered and fused, at the first batch size."""
    devices = [row["device"] for row in rows]
    device = "cpu" if "cpu" in devices else devices[0]
    first = {
        row["form"]: row
        for row in reversed(rows)
        if (row["passes"], row["precision"], row["device"]) == ("forward", "float32", device)
    }
    return {
        # Of the published graph; ours follows.
        "inference_over_training_form": first["published, inference form"]["over_training_form"]["median"],
        "exact_inference_over_training_form": first["exact, inference form"]["over_training_form"]["median"],
        "exact_inference_over_published_graph": first["exact, inference form"]["over_published"]["median"],
        "seconds_per_pair": first["exact, inference form"]["seconds_per_pair"],
    }


def job_rows(arguments: argparse.Namespace, device: str) -> list[dict]:
    """Print what it takes to register and fuse T1 and a moved PET, a row a method, and return the rows."""
    from BSAFusionResearch.commands._case_table import there_and_back
    from BSAFusionResearch.evaluation.case_rows import CaseVolumes, Unmoved, measure_case, measure_rivals
    from BSAFusionResearch.evaluation.cases import Case
    from BSAFusionResearch.evaluation.rivals import titles
    from BSAFusionResearch.evaluation.tables import markdown_table

    case = Case(0, "pet", "k", 12.0, 15.0, 6.0, "as is")
    volumes = CaseVolumes(arguments.volumes)
    settings = Settings(case.modality, device=device, weights=arguments.weights)
    unmoved = Unmoved(volumes, {case.modality: settings})
    ours, _ = measure_case(case, volumes, unmoved, settings, there_and_back)
    measured = {"ours": ours}
    if arguments.rivals:
        measured.update(measure_rivals(case, volumes, arguments.rivals, arguments.threads))
    rows = [
        {"method": method, "gave_up": row["gave_up"]}
        if "gave_up" in row
        else {
            "method": method,
            "seconds": row["seconds"],
            "cpu_seconds": row["cpu_seconds"],
            "true_error_mm": row["error_mm"]["after"],
        }
        for method, row in measured.items()
    ]
    rows[0]["stages"] = ours["report"]["seconds"]
    print(
        f"\nT1 with PET moved by {case.degrees:g} degrees, {case.mm:g} mm and {case.elastic_mm:g} mm elastically "
        f"({ours['error_mm']['before']:.2f} mm off), ours on {device}, threads: {arguments.threads}\n"
    )
    came_through = [row for row in rows if "gave_up" not in row]
    lines = [
        [{"ours": "ours", **titles}[row["method"]]]
        + [f"{row[name]:.{decimals}f}" for name, decimals in (("seconds", 1), ("cpu_seconds", 1), ("true_error_mm", 2))]
        for row in came_through
    ]
    print(markdown_table(["method", "seconds", "CPU seconds", "true error, mm"], lines))
    for row in rows:
        if "gave_up" in row:
            print(row["gave_up"])
    print()
    stages = [[name, f"{seconds:.1f}"] for name, seconds in rows[0]["stages"].items()]
    print(markdown_table(["stage of ours", "seconds"], stages), flush=True)
    return rows
