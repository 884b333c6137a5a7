"""Measures how long the panel's event loop is blocked while a run is on: `python Testing/benchmarks/responsiveness.py`.

The sample MRI and PET, or, with --voxels, phantoms of that size, are aligned and fused by a click on the button, in
a process that has not imported torch before. A timer of Qt's asks for 200 turns a second; printed are the longest waits
between two of its turns, stage by stage. "click" is where the voxels are copied, "end" where the scene is filled.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

import numpy as np  # noqa: E402

from Testing import harness  # noqa: E402  (makes the modules qt and slicer)

import qt  # noqa: E402  isort: skip
import slicer  # noqa: E402  isort: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, nargs=3, metavar="N", help="columns, rows, slices of both volumes")
    parser.add_argument("--start", choices=("rigid", "placed"), default="rigid", help="(default: rigid)")
    parser.add_argument("--device", default="auto", help="(default: auto)")
    arguments = parser.parse_args()

    with harness.running():
        harness.load_module(repository / "BSAFusion" / "BSAFusion.py")
        slicer.util.selectModule("BSAFusion")
        widget = slicer.util.getModuleWidget("BSAFusion")
        fixed, moving = phantoms(arguments.voxels) if arguments.voxels else samples()
        widget.ui.fixedVolumeSelector.setCurrentNode(fixed)
        widget.ui.movingVolumeSelector.setCurrentNode(moving)
        widget.ui.startComboBox.currentIndex = ("rigid", "placed").index(arguments.start)
        widget.logic.getParameterNode().device = arguments.device
        assert "torch" not in sys.modules
        seconds, waits = run(widget)
        print(f"{'x'.join(map(str, fixed.GetImageData().GetDimensions()))} voxels, {seconds:.1f} s in all")
        print(f"{'stage':<16}{'longest wait, ms':>18}{'waits over 200 ms':>20}")
        for stage, found in waits.items():
            print(f"{stage:<16}{1000 * max(found):>18.0f}{sum(wait > 0.2 for wait in found):>20}")


def run(widget) -> tuple[float, dict[str, list[float]]]:
    """Clicks the button and waits for the end: seconds, and the waits between two turns of the event loop by stage."""
    waits: dict[str, list[float]] = defaultdict(list)
    last = [time.perf_counter()]

    def note(stage: str) -> None:
        now = time.perf_counter()
        waits[stage].append(now - last[0])
        last[0] = now

    stage = ["click"]
    show, computed = widget.run._showProgress, widget.run._computed
    widget.run._showProgress = lambda name, *told: (stage.__setitem__(0, name), show(name, *told))
    widget.run._computed = lambda answer: (note(stage[0]), stage.__setitem__(0, "end"), computed(answer))
    timer = qt.QTimer()
    timer.setInterval(5)
    timer.connect("timeout()", lambda: note(stage[0]))
    timer.start()
    slicer.app.processEvents()
    begun = last[0] = time.perf_counter()
    widget.ui.applyButton.click()
    note("click")
    while widget.run.running:
        slicer.app.processEvents()
    slicer.app.processEvents()
    note("end")
    assert widget.ui.messageLabel.text.startswith("Done"), widget.ui.messageLabel.text
    return time.perf_counter() - begun, waits


def samples():
    folder = repository / "Resources" / "SampleData"
    return [slicer.util.loadVolume(str(folder / name)) for name in ("mri_t1.nii.gz", "pet_fdg.nii.gz")]


def phantoms(size: list[int]):
    """Two heads of the same shape and unlike contrast, 200 mm across."""
    k, j, i = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in reversed(size))]
    radius = np.sqrt((i / 0.7) ** 2 + (j / 0.8) ** 2 + (k / 0.75) ** 2)
    inside = 1 / (1 + np.exp((radius - 1) * 9))
    folds = np.cos(5 * i) * np.cos(4 * j) * np.cos(4 * k)
    volumes = []
    for name, values in (("MRI", inside * (100 + 40 * folds)), ("PET", inside * (60 - 30 * folds + 20 * i))):
        volume = slicer.util.addVolumeFromArray(values.astype(np.float32), name=name)
        volume.SetSpacing(*(200 / np.array(size)))
        volumes.append(volume)
    return volumes


if __name__ == "__main__":
    main()
