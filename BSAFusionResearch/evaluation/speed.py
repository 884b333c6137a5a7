"""What the network costs: seconds and memory a slice pair, its forms beside one another in one run."""

import contextlib
import ctypes
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from BSAFusionLib.network.factory import make_network
from BSAFusionLib.network.fast.form import PRECISIONS, inference_form
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.metadata import EXACT, PUBLISHED, Metadata
from BSAFusionLib.network.runner import Runner
from BSAFusionLib.network.stack import Stack

forms = {  # by name: the convention, and whether in the inference form
    "published graph": (PUBLISHED, False),
    "published, inference form": (PUBLISHED, True),
    "exact, training form": (EXACT, False),
    "exact, inference form": (EXACT, True),
}


@dataclass(frozen=True)
class Cost:
    """Of one form at one batch size and precision, all of one length: a value a repetition.

    seconds: on the clock, for the whole batch. cpu_seconds: likewise, of this process on all CPUs, which other
    programs' work lengthens less. peak_bytes: most memory beyond what was taken before, of one pass; None where it
    cannot be told.
    """

    form: str
    precision: str
    batch: int
    seconds: np.ndarray
    cpu_seconds: np.ndarray
    peak_bytes: int | None


def random_forms(device: torch.device, precision: str = "float32") -> dict[str, FusionNetwork]:
    """Every one of `forms` on a device, in evaluation mode; two of one convention have the same random weights.

    The precision is that of the inference forms; the others are run under `torch.autocast`.
    """
    torch.manual_seed(0)
    trained = {convention: make_network(Metadata(convention)).eval().to(device) for convention in (PUBLISHED, EXACT)}
    return {
        name: inference_form(trained[convention], PRECISIONS[precision]) if inferring else trained[convention]
        for name, (convention, inferring) in forms.items()
    }


def usable_precisions(device: torch.device) -> list[str]:
    """Those that the device calculates in by itself, and does not imitate more slowly."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return list(PRECISIONS) if native else ["float32"]


@torch.inference_mode()
def costs(
    device: torch.device, batches: list[int], repetitions: int, side: int, passes: str = "forward"
) -> Iterator[Cost]:
    """Costs of every form in every usable precision, batch by batch, on slices of `side` pixels of random values.

    In every repetition each form has its turn, so that what disturbs the machine disturbs all. `passes` names the
    method of the network that is run: "forward", or "evidence" and "fuse", which the pipeline runs.
    """
    networks = {precision: random_forms(device, precision) for precision in usable_precisions(device)}
    for batch in batches:
        pair = [torch.rand(batch, 1, side, side, device=device) for _ in range(2)]
        runs = {
            (form, precision): _run_in("float32" if inferring else precision, device, getattr(made[form], passes), pair)
            for form, (_, inferring) in forms.items()
            for precision, made in networks.items()
        }
        peaks = {}
        for key, run in runs.items():
            run()  # what is made once, as kernels that are chosen and modes of the prior, is no part of the cost
            peaks[key] = _peak_bytes(run, device)
        taken = np.array([[_clocked(run, device) for run in runs.values()] for _ in range(repetitions)])
        for (form, precision), each in zip(runs, taken.swapaxes(0, 1), strict=True):
            yield Cost(form, precision, batch, each[:, 0], each[:, 1], peaks[form, precision])


def speed_up(slower: Cost, faster: Cost, device: torch.device) -> np.ndarray:
    """How many times as fast, a value a repetition; by the CPU's seconds on the CPU, by the clock on a GPU."""
    if device.type == "cpu":
        return slower.cpu_seconds / faster.cpu_seconds
    return slower.seconds / faster.seconds


@dataclass(frozen=True)
class Growth:
    """What a stack of slices costs in the network's stage, registered and fused; seconds and peak_bytes as in `Cost`,
    the answers' own bytes among these on the CPU."""

    slices: int
    side: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    answer_bytes: int


def growth(device: torch.device, slices: int, side: int) -> Growth:
    """The costs of our inference form, as the pipeline runs it, on a stack of random values."""
    runner = Runner(random_forms(torch.device("cpu"))["exact, inference form"], device=device)
    pair = np.random.default_rng(0).random((2, slices, side, side), np.float32)

    def run(count: int) -> int:
        stack = Stack(sitk.Image(side, side, count, sitk.sitkUInt8), *pair[:, :count])
        (evidence,), fused = runner.register([stack]), runner.fuse(stack)
        return evidence.mean.nbytes + evidence.precision.nbytes + fused.nbytes

    few = min(slices, 4)
    answer_bytes = run(few) // few * slices
    taken: list[tuple[float, float]] = []
    peak = _peak_bytes(lambda: taken.append(_clocked(lambda: run(slices), device)), device)
    return Growth(slices, side, *taken[0], peak, answer_bytes)


@dataclass(frozen=True)
class Ceilings:
    """What a device was measured to do at most, in float32: floating-point operations and bytes a second."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """What one slice pair asks of a device: floating-point operations of convolutions and matrix products, and bytes,
    were every operation to read what it needs from memory and write what it makes there."""

    flops: int
    bytes: int

    def floor(self, ceilings: Ceilings) -> float:
        """The least seconds it can take, whichever binds (Williams et al., Roofline, CACM 2009)."""
        return max(self.flops / ceilings.flops, self.bytes / ceilings.bytes)


def ceilings(device: torch.device, repetitions: int = 3) -> Ceilings:
    """By a product of two large matrices or a 3x3 convolution of 64 channels, the faster of both (PyTorch's product is
    slow on some CPUs), and by a copy that no cache holds; the best of the repetitions."""
    side, length = (2048, 2**26) if device.type == "cpu" else (8192, 2**28)
    matrix, values = torch.rand(side, side, device=device), torch.rand(length, device=device)
    product, copy = torch.empty_like(matrix), torch.empty_like(values)
    image, weight = torch.rand(1, 64, 256, 256, device=device), torch.rand(64, 64, 3, 3, device=device)
    image, weight = (each.contiguous(memory_format=torch.channels_last) for each in (image, weight))

    def best(run: Callable[[], object]) -> float:
        run()
        column = 1 if device.type == "cpu" else 0  # of the CPU's time there, as in `speed_up`
        return min(_clocked(run, device)[column] for _ in range(repetitions))

    return Ceilings(
        max(
            2 * side**3 / best(lambda: torch.mm(matrix, matrix, out=product)),
            2 * weight.numel() * 256**2 / best(lambda: torch.conv2d(image, weight, padding=1)),
        ),
        2 * values.nbytes / best(lambda: copy.copy_(values)),
    )


@torch.no_grad()
def works(device: torch.device, side: int, passes: str = "forward") -> dict[str, Work]:
    """What one pair of slices asks, by form, in float32; `passes` as for `costs`."""
    pair = [torch.rand(1, 1, side, side, device=device) for _ in range(2)]
    found = {}
    for form, network in random_forms(device).items():
        with FlopCounterMode(display=False, custom_mapping=_onednn_flops()) as counter, _Traffic() as traffic:
            getattr(network, passes)(*pair)
        found[form] = Work(counter.get_total_flops(), traffic.bytes)
    return found


def _onednn_flops() -> dict:
    """How to count those operations of oneDNN that PyTorch's counter does not know; none where PyTorch lacks them."""

    def of_convolution(x: tuple, *given: tuple, out_shape: tuple, **_: object) -> int:
        weight = given[0] if len(given[1] or ()) != 4 else given[1]  # after the factor, where there is one
        return 2 * math.prod(out_shape) * math.prod(weight[1:])

    def of_product(x: tuple, weight: tuple, *_: object, out_shape: tuple, **__: object) -> int:
        return 2 * math.prod(out_shape) * weight[1]

    known = {"_convolution_pointwise": of_convolution, "_linear_pointwise": of_product}
    return {getattr(torch.ops.mkldnn, name): count for name, count in known.items() if hasattr(torch.ops.mkldnn, name)}


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of what operations read and write, views left out, which move nothing."""

    bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        answer = operation(*args, **(kwargs or {}))
        if not operation.is_view:
            self.bytes += sum(each.nbytes for each in tree_leaves((args, kwargs, answer)) if torch.is_tensor(each))
        return answer


def _run_in(precision: str, device: torch.device, function: Callable, pair: list[torch.Tensor]) -> Callable[[], None]:
    def run() -> None:
        with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32"):
            function(*pair)

    return run


def _clocked(run: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds of one run on the clock, and of this process on all CPUs."""
    _wait_for(device)
    begun = time.perf_counter(), time.process_time()
    run()
    _wait_for(device)
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _peak_bytes(run: Callable[[], None], device: torch.device) -> int | None:
    """Most memory that one run takes beyond what was taken before; on the CPU as Linux counts it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what earlier runs freed would be taken again unseen (malloc_trim(3))
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (proc(5))
        before = _status_bytes("VmRSS")
        run()
        return _status_bytes("VmHWM") - before
    return None


def _status_bytes(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024
