"""A worker for tests: our own loop with our own jobs, or with quick ones that import nothing, told what to do by files.

    python program.py FOLDER real|quick

What a test may write into FOLDER is said by `Control`.
"""

import builtins
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.pipeline.measures import Displacement
from BSAFusionLib.pipeline.progress import STAGE_SHARES
from BSAFusionLib.pipeline.report import Report, Verdict
from BSAFusionLib.report.overlay import OverlayWindow
from BSAFusionLib.report.pictures import Pictures
from BSAFusionLib.worker import main
from BSAFusionLib.worker.case import Deformation, Outcome, write_outcome
from BSAFusionLib.worker.volumes import Volume

folder = Path(sys.argv[1])


def quick_case(arguments, progress, cancelled):
    """Fuse nothing: the fixed volume is the result; takes milliseconds."""
    where = Path(arguments["folder"])
    fixed = Volume.load(arguments["fixed"], where)
    done = 0.0
    for stage, share in STAGE_SHARES.items():
        progress(stage, done, None)
        if cancelled():
            raise Cancelled
        done += share
    grid = [np.zeros((2, 2, 2, 3), np.float32), fixed.origin, (200.0, 200.0, 200.0), fixed.direction]
    fused = np.repeat((fixed.voxels > 0).astype(np.uint8)[..., None], 3, axis=3)
    report = Report(
        "pet", "none", 1, ("k",), Verdict(), 0.1, 0.2, 0.3, Displacement(0, 0, 0), Displacement(0, 0, 0), 1.0, 0.0,
        "cpu", "float32", "none.safetensors", "0" * 64, {"fusion": 0.1},
    )  # fmt: skip
    return write_outcome(
        Outcome(
            Volume(fused, fixed.origin, fixed.spacing, fixed.direction),
            fixed,
            Deformation(Volume(*grid), np.eye(4), 0.0, 0.0, 200.0),
            report,
            Pictures((), np.zeros(3), np.zeros(3), OverlayWindow(0.0, 1.0, "relative")),
        ),
        where,
    )


def quick_devices(arguments, progress, cancelled):
    return [{"name": "cuda:0", "label": "A GPU, 8 GB", "works": False}, {"name": "cpu", "label": "CPU", "works": True}]


@contextmanager
def unknown_gpu():
    """Let PyTorch list a GPU that it cannot compute on, as one whose architecture the build does not know."""
    import torch

    before = torch.cuda.device_count, torch.cuda.get_device_properties
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_properties = lambda index: SimpleNamespace(name="Some GPU", total_memory=24 * 2**30)
    yield
    torch.cuda.device_count, torch.cuda.get_device_properties = before


def obedient(job):
    """Make a job wait, fail or run out of memory where a file in the folder says so."""

    def run(arguments, progress, cancelled):
        def ask():
            return not (folder / "deaf").exists() and cancelled()

        def wait_in(stage):
            hold = folder / "hold"
            while hold.exists() and hold.read_text() == stage:
                if ask():
                    raise Cancelled
                time.sleep(0.01)

        def told(stage, fraction, slices):
            progress(stage, fraction, slices)
            wait_in(stage)

        if (folder / "hold").exists() and (folder / "hold").read_text() == "begun":
            progress("registration", 0.5, (12, 91))
        wait_in("begun")
        if (folder / "error").exists():
            name, _, text = (folder / "error").read_text().partition(" ")
            raise getattr(builtins, name)(*[text] if text else [])
        if (folder / "megabytes").exists():
            import resource  # which Windows lacks

            pages = int(Path("/proc/self/statm").read_text().split()[0])
            room = pages * resource.getpagesize() + int((folder / "megabytes").read_text()) * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
        with unknown_gpu() if (folder / "gpu").exists() else nullcontext():
            return job(arguments, told, ask)

    return run


if __name__ == "__main__":
    time.sleep(float((folder / "seconds_to_start").read_text()) if (folder / "seconds_to_start").exists() else 0)
    if (folder / "idle_minutes").exists():
        main.IDLE_MINUTES = float((folder / "idle_minutes").read_text())
    if sys.argv[2] == "real":
        from BSAFusionLib.worker.jobs import JOBS
    else:
        JOBS = {"case": quick_case, "devices": quick_devices}
    print("not a message")  # as libraries do
    main.serve({name: obedient(job) for name, job in JOBS.items()}, lambda: not (folder / "unfit").exists())
