"""Measures a cohort of 24 cases: here, on a cluster that loses a worker, and one case at a time.

    python Testing/benchmarks/cohort.py ../shared/data/volumes

The T1 template with the PET and the CT, each moved by twelve known motions of 15 degrees and 20 mm with a smooth
deformation of 6 mm, resampled to `--spacing` mm. Printed are seconds a case, the ratio to one case at a time, and
whether both ways gave the same to the bit. Starting the processes counts.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

import SimpleITK as sitk  # noqa: E402

from BSAFusionLib.evaluation.known_motion import KnownMotion  # noqa: E402
from BSAFusionLib.evaluation.volumes import degrees, elastic_mm, mm  # noqa: E402
from Testing.cohort.cluster import cluster, kill_a_busy_worker, same_results  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", type=Path, help="the folder with mri_t1.nii.gz, pet.nii.gz and ct.nii.gz")
    parser.add_argument("--cases", type=int, default=24, help="(default: %(default)s)")
    parser.add_argument("--alone", type=int, default=24, help="cases that are run one at a time (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--spacing", type=float, default=2.0, metavar="MM", help="(default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    table = write_cohort(folder, arguments.volumes, arguments.cases, arguments.spacing)
    few = table.with_name("few.csv")
    few.write_text("\n".join(table.read_text().splitlines()[: arguments.alone + 1]))
    alone = seconds(batch(few, folder / "alone", "--workers", "1")) / min(arguments.alone, arguments.cases)
    print(f"one at a time: {alone:.1f} s a case ({arguments.alone} cases)", flush=True)
    here = seconds(batch(table, folder / "here", "--workers", str(arguments.workers))) / arguments.cases
    print(f"{arguments.workers} processes: {here:.1f} s a case, {alone / here:.2f} times as fast", flush=True)
    again = seconds(batch(table, folder / "here", "--workers", str(arguments.workers)))
    print(f"a second run: {again:.1f} s in all", flush=True)
    with cluster(folder) as (address, workers):
        run = batch(table, folder / "cluster", "--scheduler", address)
        kill_a_busy_worker(address, workers, folder / "cluster")
        lost = seconds(run) / arguments.cases
    print(f"a cluster of two workers, of which one is killed: {lost:.1f} s a case", flush=True)
    with (folder / "cluster" / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    finished = sum(row["state"] == "finished" for row in rows)
    same = sum(same_results(folder / "here" / row["folder"], folder / "cluster" / row["folder"]) for row in rows)
    print(f"{finished} of {len(rows)} cases finished there, {same} the same to the bit as here")


def write_cohort(folder: Path, volumes: Path, cases: int, spacing: float) -> Path:
    """Moved volumes and the table of them."""
    fixed = coarse(sitk.ReadImage(str(volumes / "mri_t1.nii.gz")), spacing)
    sitk.WriteImage(fixed, str(folder / "mri.nii.gz"))
    rows = ["case,fixed,moving,modality"]
    for number in range(cases):
        modality, seed = ("pet", "ct")[number % 2], number // 2
        moving = coarse(sitk.ReadImage(str(volumes / f"{modality}.nii.gz")), spacing)
        sitk.WriteImage(
            KnownMotion(seed, degrees, mm, elastic_mm).move(moving, fixed), str(folder / f"{number}.nii.gz")
        )
        rows.append(f"{number},mri.nii.gz,{number}.nii.gz,{modality}")
    table = folder / "cohort.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    return table


def coarse(image: sitk.Image, spacing: float) -> sitk.Image:
    """The volume at that spacing in mm, in float32."""
    image = sitk.Cast(image, sitk.sitkFloat32)
    size = [round(count * own / spacing) for count, own in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [spacing] * 3, image.GetDirection()
    )


def batch(table: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "BSAFusionLib", "batch", table, "--out", out, *options]
    return subprocess.Popen(list(map(str, command)), cwd=repository, stdout=subprocess.DEVNULL)


def seconds(run: subprocess.Popen) -> float:
    """How long a run that has just been started takes."""
    begun = time.perf_counter()
    if run.wait():
        raise SystemExit("the run failed")
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
