"""Time a run of the panel beside the command line's, and how long it blocks Slicer's main thread.

    python Testing/benchmarks/responsiveness.py [--voxels COLUMNS ROWS SLICES]

The sample MRI and PET, or, with --voxels, phantoms of that size, are aligned and fused by `fuse`, then twice by a click
on the panel's button: in a fresh process, and in that process again. The event loop keeps Python's lock while it waits,
as Slicer's does. Printed are, for each run, its time, the processor time of all its processes, which other programs
disturb less, and the time of its stages alone. A timer of Qt's asks for 200 turns a second; printed are the longest
waits between two turns, stage by stage. "click" is where the voxels are written to files, "end" where the scene is
filled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

import numpy as np  # noqa: E402
import psutil  # noqa: E402

from Testing import harness  # noqa: E402  (makes the modules qt and slicer)
from Testing.harness import event_loop  # noqa: E402

import qt  # noqa: E402  isort: skip
import slicer  # noqa: E402  isort: skip

TURNS_MS = 5


def main() -> None:
    """Print the times of all three runs and the waits of the last two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, nargs=3, metavar="N", help="columns, rows, slices of both volumes")
    parser.add_argument("--prealignment", choices=("rigid", "none"), default="rigid", help="(default: rigid)")
    parser.add_argument("--device", default="auto", help="(default: auto)")
    arguments = parser.parse_args()

    with harness.running(), tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        harness.load_module(repository / "BSAFusion" / "BSAFusion.py")
        slicer.util.selectModule("BSAFusion")
        slicer.app.processEvents()
        opened = time.perf_counter() - begun
        pair = phantoms(arguments.voxels, Path(folder)) if arguments.voxels else samples()
        choices = ["--prealignment", arguments.prealignment, "--device", arguments.device]
        fused = command_line(pair, Path(folder, "out"), choices)
        fixed, moving = (slicer.util.loadVolume(str(path)) for path in pair)
        widget = slicer.util.getModuleWidget("BSAFusion")
        parameters = widget.logic.getParameterNode()
        parameters.fixedVolume, parameters.movingVolume = fixed, moving
        parameters.start = type(parameters.start)(arguments.prealignment)
        parameters.device = arguments.device
        print(f"{'x'.join(map(str, fixed.GetImageData().GetDimensions()))} voxels; the panel opened in {opened:.1f} s")
        print(f"{'':<20}{'whole job, s':>14}{'to `fuse`':>11}{'processor, s':>14}{'to `fuse`':>11}{'stages, s':>11}")
        row("`fuse`", fused, fused)
        waits = {}
        for name in ("panel, first run", "panel, second run"):
            cost, waits[name] = run(widget)
            row(name, cost, fused)
        for name, found in waits.items():
            print(f"{name:<24}{'longest wait, ms':>18}{'waits over 50 ms':>20}")
            for stage, stage_waits in found.items():
                print(f"  {stage:<22}{1000 * max(stage_waits):>18.0f}{sum(wait > 0.05 for wait in stage_waits):>20}")


class Cost(NamedTuple):
    """Seconds of a run: from its start to its end, of the processors, and of its stages alone."""

    whole: float
    processor: float
    stages: float


def row(name: str, cost: Cost, fused: Cost) -> None:
    """Print what a run cost, also as a share of the command line's."""
    whole, processor = cost.whole / fused.whole, cost.processor / fused.processor
    print(f"{name:<20}{cost.whole:>14.2f}{whole:>11.2f}{cost.processor:>14.2f}{processor:>11.2f}{cost.stages:>11.2f}")


def command_line(pair: list[Path], out: Path, choices: list[str]) -> Cost:
    """Run `fuse` on a pair of files."""
    command = [sys.executable, "-m", "BSAFusionLib", "fuse", *map(str, pair), "--out", str(out), *choices]
    begun, before = time.perf_counter(), os.times()
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    whole, after = time.perf_counter() - begun, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(whole, processor, sum(json.loads((out / "report.json").read_text())["seconds"].values()))


def processor_time(pid: int) -> float:
    """Return the processor time of this process and the worker's, in seconds."""
    worker = psutil.Process(pid).cpu_times() if pid else None
    return time.process_time() + (worker.user + worker.system if worker else 0.0)


def run(widget) -> tuple[Cost, dict[str, list[float]]]:
    """Click the button and wait for the end.

    Returns:
        What the run cost, and the waits between two turns of the event loop in seconds, by stage.
    """
    waits: dict[str, list[float]] = defaultdict(list)
    last = [time.perf_counter()]

    def note(stage: str) -> None:
        now = time.perf_counter()
        waits[stage].append(now - last[0])
        last[0] = now

    stage = ["click"]
    show, computed = type(widget.run)._showProgress, type(widget.run)._computed
    widget.run._showProgress = lambda name, *told: (stage.__setitem__(0, name), show(widget.run, name, *told))
    widget.run._computed = lambda *answer: (note(stage[0]), stage.__setitem__(0, "end"), computed(widget.run, *answer))
    timer = qt.QTimer()
    timer.setInterval(TURNS_MS)
    timer.connect("timeout()", lambda: note(stage[0]))
    timer.start()
    slicer.app.processEvents()
    before = processor_time(widget.worker.pid)
    begun = last[0] = time.perf_counter()
    widget.ui.applyButton.click()
    note("click")
    while widget.run.running:
        event_loop.wait_for_events(at_most_ms=100)
    slicer.app.processEvents()
    note("end")
    whole = time.perf_counter() - begun
    processor = processor_time(widget.worker.pid) - before
    timer.stop()
    assert widget.ui.messageLabel.text.startswith("Done"), widget.ui.messageLabel.text
    report = json.loads(widget.logic.getParameterNode().report)
    return Cost(whole, processor, sum(report["seconds"].values())), waits


def samples() -> list[Path]:
    """Return the files of the MRI and the PET that we ship."""
    folder = repository / "Resources" / "SampleData"
    return [folder / name for name in ("mri_t1.nii.gz", "pet_fdg.nii.gz")]


def phantoms(size: list[int], folder: Path) -> list[Path]:
    """Write two heads of the same shape and unlike contrast, 200 mm across, to files."""
    import SimpleITK as sitk

    k, j, i = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in reversed(size))]
    radius = np.sqrt((i / 0.7) ** 2 + (j / 0.8) ** 2 + (k / 0.75) ** 2)
    inside = 1 / (1 + np.exp((radius - 1) * 9))
    folds = np.cos(5 * i) * np.cos(4 * j) * np.cos(4 * k)
    paths = []
    for name, values in (("MRI", inside * (100 + 40 * folds)), ("PET", inside * (60 - 30 * folds + 20 * i))):
        image = sitk.GetImageFromArray(values.astype(np.float32))
        image.SetSpacing((200 / np.array(size)).tolist())
        paths.append(folder / f"{name}.nrrd")
        sitk.WriteImage(image, str(paths[-1]))
    return paths


if __name__ == "__main__":
    main()
