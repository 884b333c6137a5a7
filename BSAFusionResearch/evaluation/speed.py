"""Measure what the network costs: seconds and memory a slice pair, its forms side by side in one run."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from BSAFusionLib.network.factory import make_network
from BSAFusionLib.network.fast.form import PRECISIONS, inference_form
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.metadata import EXACT, PUBLISHED, Metadata
from BSAFusionLib.network.runner import Runner
from BSAFusionLib.network.stack import Stack
from BSAFusionResearch.evaluation.clock import clocks

FORMS = {
    "published graph": (PUBLISHED, False),
    "published, inference form": (PUBLISHED, True),
    "exact, training form": (EXACT, False),
    "exact, inference form": (EXACT, True),
}
"""The network's forms by name: their convention, and whether they are inference forms."""

RESET_PEAK = "5"
"""Written to /proc/self/clear_refs, resets the peak of the resident memory (proc(5))."""


@dataclass(frozen=True)
class Cost:
    """Cost of one form at one batch size and precision, one value a repetition.

    Attributes:
        form: A key of `FORMS`.
        precision: "float32" or "bfloat16".
        batch: Slice pairs at once.
        seconds: Wall clock seconds of the whole batch.
        cpu_seconds: CPU seconds of this process, which other programs' work lengthens less.
        peak_bytes: Peak memory of one pass beyond what was used before; None where it is unknown.
    """

    form: str
    precision: str
    batch: int
    seconds: np.ndarray
    cpu_seconds: np.ndarray
    peak_bytes: int | None


def random_forms(device: torch.device, precision: str = "float32") -> dict[str, FusionNetwork]:
    """Return every form on a device, in evaluation mode; forms of one convention have the same random weights.

    Args:
        device: The device.
        precision: Of the inference forms; the training forms are run under `torch.autocast`.
    """
    torch.manual_seed(0)
    trained = {convention: make_network(Metadata(convention)).eval().to(device) for convention in (PUBLISHED, EXACT)}
    return {
        name: inference_form(trained[convention], PRECISIONS[precision]) if inferring else trained[convention]
        for name, (convention, inferring) in FORMS.items()
    }


def usable_precisions(device: torch.device) -> list[str]:
    """Return the precisions that a device computes in natively, without a slower emulation."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return list(PRECISIONS) if native else ["float32"]


@torch.inference_mode()
def costs(
    device: torch.device, batches: list[int], repetitions: int, side: int, passes: str = "forward"
) -> Iterator[Cost]:
    """Yield the costs of every form in every usable precision, batch by batch, on slices of random values.

    In every repetition each form has its turn, so that what disturbs the machine disturbs all.

    Args:
        device: The device.
        batches: Slice pairs at once.
        repetitions: Measurements of each.
        side: Side of the slices in pixels.
        passes: Name of the network's method: "forward", or "evidence" and "fuse", which the pipeline runs.
    """
    networks = {precision: random_forms(device, precision) for precision in usable_precisions(device)}
    for batch in batches:
        pair = [torch.rand(batch, 1, side, side, device=device) for _ in range(2)]
        runs = {
            (form, precision): _run_in("float32" if inferring else precision, device, getattr(made[form], passes), pair)
            for form, (_, inferring) in FORMS.items()
            for precision, made in networks.items()
        }
        peaks = {}
        for key, run in runs.items():
            run()  # kernels that are chosen and modes of the prior that are made once are no part of the cost
            peaks[key] = _peak_bytes(run, device)
        taken = np.array([[seconds_of(run, device) for run in runs.values()] for _ in range(repetitions)])
        for (form, precision), times in zip(runs, taken.swapaxes(0, 1), strict=True):
            yield Cost(form, precision, batch, times[:, 0], times[:, 1], peaks[form, precision])


def speed_up(slower: Cost, faster: Cost, device: torch.device) -> np.ndarray:
    """Return the ratio of times, one a repetition: of CPU seconds on the CPU, of wall clock seconds on a GPU."""
    if device.type == "cpu":
        return slower.cpu_seconds / faster.cpu_seconds
    return slower.seconds / faster.seconds


@dataclass(frozen=True)
class Growth:
    """Cost of registering and fusing a stack of slices in the network's stage.

    Attributes:
        slices: Slices of the stack.
        side: Their side in pixels.
        seconds: Wall clock seconds.
        cpu_seconds: CPU seconds of this process.
        peak_bytes: Peak memory beyond what was used before, on the CPU with the answers; None where it is unknown.
        answer_bytes: Memory of the answers.
    """

    slices: int
    side: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    answer_bytes: int


def growth(device: torch.device, slices: int, side: int) -> Growth:
    """Measure our inference form, as the pipeline runs it, on a stack of random values."""
    runner = Runner(random_forms(torch.device("cpu"))["exact, inference form"], device=device)
    pair = np.random.default_rng(0).random((2, slices, side, side), np.float32)

    def run(count: int) -> int:
        stack = Stack(sitk.Image(side, side, count, sitk.sitkUInt8), *pair[:, :count])
        (evidence,), fused = runner.register([stack]), runner.fuse(stack)
        return evidence.mean.nbytes + evidence.precision.nbytes + fused.nbytes

    few = min(slices, 4)
    answer_bytes = run(few) // few * slices
    taken: list[np.ndarray] = []
    peak = _peak_bytes(lambda: taken.append(seconds_of(lambda: run(slices), device)), device)
    seconds, cpu_seconds = taken[0].tolist()
    return Growth(slices, side, seconds, cpu_seconds, peak, answer_bytes)


def seconds_of(run: Callable[[], object], device: torch.device) -> np.ndarray:
    """Return the wall clock and CPU seconds of one run, (2,), including what it left running on a device."""
    _wait_for(device)
    begun = clocks()
    run()
    _wait_for(device)
    return clocks() - begun


def _run_in(precision: str, device: torch.device, function: Callable, pair: list[torch.Tensor]) -> Callable[[], None]:
    def run() -> None:
        with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32"):
            function(*pair)

    return run


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _peak_bytes(run: Callable[[], None], device: torch.device) -> int | None:
    """Return the peak memory of one run beyond what was used before; on the CPU as Linux counts it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # memory that earlier runs freed would be reused unnoticed (malloc_trim(3))
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        before = _status_bytes("VmRSS")
        run()
        return _status_bytes("VmHWM") - before
    return None


def _status_bytes(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024
