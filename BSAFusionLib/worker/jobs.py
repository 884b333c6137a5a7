"""What the worker can be asked to do; a job imports what it needs when it is first asked for."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from BSAFusionLib.pipeline.memory import explain_memory_errors
from BSAFusionLib.pipeline.progress import Progress
from BSAFusionLib.worker.case import compute_case, read_case, write_outcome
from BSAFusionLib.worker.frames import carried_frames, read_frames, write_frames
from BSAFusionLib.worker.loading import load


def do_case(arguments: dict[str, Any], progress: Progress, cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Compute a case that `write_case` wrote; the outcome goes into the same folder."""
    load(("SimpleITK", "scipy", "torch", "einops", "safetensors"))
    fixed, moving, settings, fixed_mask = read_case(arguments)
    folder = Path(arguments["folder"])
    with explain_memory_errors():
        case = compute_case(fixed, moving, settings, progress, cancelled, fixed_mask)
        frames = carried_frames(read_frames(arguments, folder), case.result)
        return {**write_outcome(case.outcome(), folder), **write_frames(frames, folder, "carried")}


def list_devices(arguments: dict[str, Any], progress: Progress, cancelled: Callable[[], bool]) -> list[dict[str, Any]]:
    """List the devices that the network can run on here."""
    load(["torch"])
    from BSAFusionLib.network import devices

    return [device._asdict() for device in devices.list_devices()]


JOBS = {"case": do_case, "devices": list_devices}


def gpu_works() -> bool:
    """Return whether a GPU that this process has used still works; one that failed stays lost until it ends."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.ones(1, device="cuda").item()
    except RuntimeError:
        return False
    return True
