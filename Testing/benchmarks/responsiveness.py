"""Time a run of the panel beside the command line's, and how long it blocks Slicer's main thread.

    python Testing/benchmarks/responsiveness.py [--voxels COLUMNS ROWS SLICES]

The sample MRI and PET, or, with --voxels, phantoms of that size, are aligned and fused by `fuse`, then twice by a click
on the panel's button: in a fresh process, and in that process again. The event loop keeps Python's lock while it waits,
as Slicer's does. A timer of Qt's asks for 200 turns a second; printed are the longest waits between two turns, stage by
stage. "click" is where the voxels are written to files, "end" where the scene is filled.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

import numpy as np  # noqa: E402

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
        fused, fused_alone = command_line(pair, Path(folder, "out"), choices)
        fixed, moving = (slicer.util.loadVolume(str(path)) for path in pair)
        widget = slicer.util.getModuleWidget("BSAFusion")
        parameters = widget.logic.getParameterNode()
        parameters.fixedVolume, parameters.movingVolume = fixed, moving
        parameters.start = type(parameters.start)(arguments.prealignment)
        parameters.device = arguments.device
        print(f"{'x'.join(map(str, fixed.GetImageData().GetDimensions()))} voxels; the panel opened in {opened:.1f} s")
        print(f"{'':<24}{'whole job, s':>14}{'to `fuse`':>12}{'computing, s':>14}{'beside it, s':>14}")
        row("`fuse`", fused, fused_alone, fused)
        waits = {}
        for name in ("panel, first run", "panel, second run"):
            seconds, alone, waits[name] = run(widget)
            row(name, seconds, alone, fused)
        for name, found in waits.items():
            print(f"{name:<24}{'longest wait, ms':>18}{'waits over 50 ms':>20}")
            for stage, stage_waits in found.items():
                print(f"  {stage:<22}{1000 * max(stage_waits):>18.0f}{sum(wait > 0.05 for wait in stage_waits):>20}")


def row(name: str, seconds: float, alone: float, fused: float) -> None:
    """Print the time of a run: in all, as a share of the command line's, of its stages, and besides them."""
    print(f"{name:<24}{seconds:>14.2f}{seconds / fused:>12.2f}{alone:>14.2f}{seconds - alone:>14.2f}")


def command_line(pair: list[Path], out: Path, choices: list[str]) -> tuple[float, float]:
    """Return the seconds of `fuse`, from its start to its end, and those of its stages alone."""
    command = [sys.executable, "-m", "BSAFusionLib", "fuse", *map(str, pair), "--out", str(out), *choices]
    begun = time.perf_counter()
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    return seconds, sum(json.loads((out / "report.json").read_text())["seconds"].values())


def run(widget) -> tuple[float, float, dict[str, list[float]]]:
    """Click the button and wait for the end.

    Returns:
        Seconds in all, seconds of the stages alone, and the waits between two turns of the event loop, by stage.
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
    begun = last[0] = time.perf_counter()
    widget.ui.applyButton.click()
    note("click")
    while widget.run.running:
        event_loop.wait_for_events(at_most_ms=100)
    slicer.app.processEvents()
    note("end")
    seconds = time.perf_counter() - begun
    timer.stop()
    assert widget.ui.messageLabel.text.startswith("Done"), widget.ui.messageLabel.text
    report = json.loads(widget.logic.getParameterNode().report)
    return seconds, sum(report["seconds"].values()), waits


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
