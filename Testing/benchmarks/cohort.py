"""Measure a cohort of 24 cases and one damaged file: here, on a cluster that loses a worker, and one at a time.

    python Testing/benchmarks/cohort.py ../shared/data/volumes --json cohort.json

The T1 template with the PET and the CT, each moved by twelve known motions of 15 degrees and 20 mm with a smooth
deformation of 6 mm, are resampled to `--spacing` mm. Printed are wall clock and CPU seconds a case, the ratio to one
case at a time, and whether both ways gave results equal to the bit. Starting the processes counts. Options that this
program does not know go to `run.py batch`.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

import SimpleITK as sitk  # noqa: E402

from BSAFusionResearch.evaluation.known_motion import KnownMotion  # noqa: E402
from BSAFusionResearch.evaluation.volumes import DEGREES, ELASTIC_MM, MM  # noqa: E402
from Testing.cohort.cluster import cluster, kill_a_busy_worker, same_results  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", type=Path, help="the folder with mri_t1.nii.gz, pet.nii.gz and ct.nii.gz")
    parser.add_argument("--cases", type=int, default=24, help="(default: %(default)s)")
    parser.add_argument("--alone", type=int, default=24, help="cases that are run one at a time (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--spacing", type=float, default=2.0, metavar="MM", help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments, options)
    if arguments.json:
        figures = {**figures, "options": options, "spacing": arguments.spacing, "cores": len(os.sched_getaffinity(0))}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path, arguments: argparse.Namespace, options: list[str]) -> dict:
    table = write_cohort(folder, arguments.volumes, arguments.cases, arguments.spacing)
    workers = ("--workers", str(arguments.workers))
    figures: dict = {"cases": arguments.cases, "alone": arguments.alone, "workers": arguments.workers}

    def report(name: str, figure: object) -> None:
        figures[name] = figure
        print(f"{name}: {figure}", flush=True)

    few = table.with_name("few.csv")
    few.write_text("\n".join(table.read_text().splitlines()[: arguments.alone + 1]))
    alone = Spent(batch(few, folder / "alone", "--workers", "1", *options), arguments.alone)
    report("one at a time, seconds a case", vars(alone))
    here = Spent(batch(table, folder / "here", *workers, *options), arguments.cases)
    report("processes here, seconds a case", vars(here))
    report("times as fast as one at a time", round(alone.clock / here.clock, 2))
    report("states here", states(folder / "here"))
    before = modified(folder / "here")
    again = Spent(batch(table, folder / "here", *workers, *options), 1)
    report("a second run, seconds in all", vars(again))
    report("results that the second run touched", len(modified(folder / "here") - before))
    with cluster(folder) as (address, processes):
        begun = time.perf_counter()
        run = batch(table, folder / "cluster", "--scheduler", address, *options)
        kill_a_busy_worker(address, processes, folder / "cluster")
        lost = Spent(run, arguments.cases, begun)
    report("a cluster of two workers, of which one is killed, seconds a case by the clock", lost.clock)
    report("states there", states(folder / "cluster"))
    done = [row["folder"] for row in rows(folder / "here") if row["state"] == "finished"]
    same = sum(same_results(folder / "here" / case, folder / "cluster" / case) for case in done)
    report("cases the same to the bit, here and there", f"{same} of {len(done)}")
    return figures


class Spent:
    """Wall clock seconds a case of a run of `batch` since it began, or now, and CPU seconds of all its processes."""

    def __init__(self, run: subprocess.Popen, cases: int, begun: float | None = None):
        begun, used = time.perf_counter() if begun is None else begun, cpu_of_ended_processes()
        run.wait()
        self.clock = round((time.perf_counter() - begun) / cases, 2)
        self.cpu = round((cpu_of_ended_processes() - used) / cases, 2)


def cpu_of_ended_processes() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def rows(results: Path) -> list[dict[str, str]]:
    with (results / "summary.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def states(results: Path) -> dict[str, int]:
    """Return how many cases ended in each state."""
    return dict(Counter(row["state"] for row in rows(results)))


def modified(results: Path) -> set[tuple[Path, int]]:
    """Return the files of the cases, each with the time at which it was written."""
    return {(path, path.stat().st_mtime_ns) for path in results.glob("sub-*/*/*")}


def write_cohort(folder: Path, volumes: Path, cases: int, spacing: float) -> Path:
    """Write moved volumes and their table, which is returned; the last case's volume is cut short."""
    fixed = coarse(sitk.ReadImage(str(volumes / "mri_t1.nii.gz")), spacing)
    sitk.WriteImage(fixed, str(folder / "mri.nii.gz"))
    rows = ["case,fixed,moving,modality"]
    for number in range(cases):
        modality, seed = ("pet", "ct")[number % 2], number // 2
        moving = coarse(sitk.ReadImage(str(volumes / f"{modality}.nii.gz")), spacing)
        sitk.WriteImage(
            KnownMotion(seed, DEGREES, MM, ELASTIC_MM).move(moving, fixed), str(folder / f"{number}.nii.gz")
        )
        rows.append(f"{number},mri.nii.gz,{number}.nii.gz,{modality}")
    whole = (folder / "0.nii.gz").read_bytes()
    (folder / "damaged.nii.gz").write_bytes(whole[: len(whole) // 2])
    rows.append("damaged,mri.nii.gz,damaged.nii.gz,pet")
    table = folder / "cohort.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    return table


def coarse(image: sitk.Image, spacing: float) -> sitk.Image:
    """Resample a volume to a spacing in mm, as float32."""
    image = sitk.Cast(image, sitk.sitkFloat32)
    size = [round(count * own / spacing) for count, own in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [spacing] * 3, image.GetDirection()
    )


def batch(table: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "BSAFusionLib", "batch", table, "--out", out, *options]
    return subprocess.Popen(list(map(str, command)), cwd=repository, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
