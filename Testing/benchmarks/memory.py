"""Measure the peak memory of a run as volumes grow: `python Testing/benchmarks/memory.py`.

Phantoms of each size, MRI and PET, 200 mm across, go through `register_and_fuse` in a process of their own, with the
shipped weights and default choices, or with --small with a random network for slices of 64 x 64 pixels, which takes
less time. Printed are the largest resident set before the run (libraries and both volumes) and at its end, the bytes
that each further voxel took, and the largest set at the end of every stage. A size that would exceed --limit, judged by
the bytes of each further voxel, is named but not tried.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

sides = 64, 96, 128, 192, 256, 320, 512, 1024  # of each slice; there are 0.78 times as many slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=8.0, help="GiB that the largest run may take (%(default)s)")
    parser.add_argument("--type", choices=("int16", "float32"), default="int16", help="of the voxels (%(default)s)")
    parser.add_argument("--small", action="store_true", help="by a network for small slices")
    parser.add_argument("--size", type=int, nargs=3, help="one size alone: columns, rows and slices")
    arguments = parser.parse_args()
    if arguments.size:
        measure(arguments.size, arguments.type, arguments.small)
        return
    print(f"{'voxels':<18}{'before, GiB':>12}{'peak, GiB':>11}{'bytes a voxel':>15}  by the end of each stage, GiB")
    last: tuple[float, float] | None = None
    slope = 0.0
    for side in sides:
        size = side, side, round(0.78 * side)
        voxels, name = side * side * size[2], f"{side} x {side} x {size[2]}"
        if last is not None and slope > 0:
            expected = last[1] + slope * (voxels - last[0])
            if expected > arguments.limit * 2**30:
                print(f"{name:<18} would take about {expected / 2**30:.0f} GiB")
                continue
        command = [sys.executable, __file__, "--type", arguments.type, "--size", *map(str, size)]
        command += ["--small"] if arguments.small else []
        before, *stages, after = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        slope = (float(after) - last[1]) / (voxels - last[0]) if last is not None else 0.0
        last = voxels, float(after)
        figures = f"{float(before) / 2**30:>12.2f}{float(after) / 2**30:>11.2f}{slope:>15.0f}"
        print(f"{name:<18}{figures}  {' '.join(stages)}", flush=True)


def measure(size: tuple[int, int, int], kind: str, small: bool) -> None:
    """Print the peak in bytes before the run, in GiB at the end of each stage, and in bytes at the end."""
    import numpy as np
    import SimpleITK as sitk
    import torch

    from BSAFusionLib.network.bsafusion import BSAFusion
    from BSAFusionLib.network.metadata import Metadata
    from BSAFusionLib.network.weights import save_network
    from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
    from BSAFusionLib.settings import Settings

    volumes = []
    for modality in ("mri", "pet"):
        values = np.empty(size[::-1], kind)
        j, i = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
        for plane, k in zip(values, np.linspace(-1, 1, size[2]), strict=True):
            inside = 1 / (1 + np.exp((np.sqrt((i / 0.7) ** 2 + (j / 0.8) ** 2 + (k / 0.75) ** 2) - 1) * 9))
            folds = np.cos(5 * i) * np.cos(4 * j) * np.cos(4 * k)
            plane[:] = inside * (100 + 40 * folds if modality == "mri" else 6 - 3 * folds + 2 * i) * 100
        volumes.append(sitk.GetImageFromArray(values))
        volumes[-1].SetSpacing((200 / np.array(size)).tolist())
    del values, plane, inside, folds
    print(peak(), flush=True)
    ended = ""

    def print_peak(stage: str, done: float, slices: object) -> None:
        nonlocal ended
        if stage != ended and ended:
            print(f"{ended}:{peak() / 2**30:.2f}", flush=True)
        ended = stage

    with tempfile.TemporaryDirectory() as folder:
        weights = None
        if small:
            torch.manual_seed(0)
            weights = Path(folder, "random.safetensors")
            save_network(weights, BSAFusion(Metadata(size=64)))
        settings = Settings("pet", device="cpu", weights=weights)
        register_and_fuse(*volumes, settings, progress=print_peak)
    print(peak())


def peak() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
