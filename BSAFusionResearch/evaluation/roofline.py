"""Measure how far each form of the network is from the floor that arithmetic and memory set (roofline model)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from BSAFusionResearch.evaluation.speed import random_forms, seconds_of

CPU_MATRIX_SIDE, GPU_MATRIX_SIDE = 2048, 8192
CPU_COPY_VALUES, GPU_COPY_VALUES = 2**26, 2**28
"""Float32 values of the copy, more than any cache holds."""


@dataclass(frozen=True)
class Ceilings:
    """Highest rates that were measured on a device, in float32.

    Attributes:
        flops: Floating-point operations a second.
        bytes: Bytes a second.
    """

    flops: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """What one slice pair asks of a device.

    Attributes:
        flops: Floating-point operations of convolutions and matrix products.
        bytes: Bytes, if every operation reads its inputs from memory and writes its results there.
    """

    flops: int
    bytes: int

    def floor(self, ceilings: Ceilings) -> float:
        """Return the least seconds it can take, whichever rate binds (Williams et al., Roofline, CACM 2009)."""
        return max(self.flops / ceilings.flops, self.bytes / ceilings.bytes)


def ceilings(device: torch.device, repetitions: int = 3) -> Ceilings:
    """Measure a device's ceilings, as the best of some repetitions.

    Arithmetic is the faster of a product of two large matrices, which PyTorch computes slowly on some CPUs, and a 3x3
    convolution of 64 channels; memory is a copy that no cache holds.
    """
    on_cpu = device.type == "cpu"
    side, length = (CPU_MATRIX_SIDE, CPU_COPY_VALUES) if on_cpu else (GPU_MATRIX_SIDE, GPU_COPY_VALUES)
    matrix, values = torch.rand(side, side, device=device), torch.rand(length, device=device)
    product, copy = torch.empty_like(matrix), torch.empty_like(values)
    image, weight = torch.rand(1, 64, 256, 256, device=device), torch.rand(64, 64, 3, 3, device=device)
    image, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (image, weight))

    def best(run: Callable[[], object]) -> float:
        run()
        column = 1 if on_cpu else 0  # CPU seconds on the CPU, as in `speed_up`
        return min(float(seconds_of(run, device)[column]) for _ in range(repetitions))

    return Ceilings(
        max(
            2 * side**3 / best(lambda: torch.mm(matrix, matrix, out=product)),
            2 * weight.numel() * 256**2 / best(lambda: torch.conv2d(image, weight, padding=1)),
        ),
        2 * values.nbytes / best(lambda: copy.copy_(values)),
    )


@torch.no_grad()
def works(device: torch.device, side: int, passes: str = "forward") -> dict[str, Work]:
    """Return what one pair of slices asks in float32, by form.

    Args:
        device: The device.
        side: Side of the slices in pixels.
        passes: Name of the network's method, as for `speed.costs`.
    """
    pair = [torch.rand(1, 1, side, side, device=device) for _ in range(2)]
    found = {}
    for form, network in random_forms(device).items():
        with FlopCounterMode(display=False, custom_mapping=_onednn_flops()) as counter, _Traffic() as traffic:
            getattr(network, passes)(*pair)
        found[form] = Work(counter.get_total_flops(), traffic.bytes)
    return found


def _onednn_flops() -> dict:
    """Return counting functions for operations of oneDNN that PyTorch's counter does not know."""

    def of_convolution(x: tuple, *given: tuple, out_shape: tuple, **_: object) -> int:
        weight = given[0] if len(given[1] or ()) != 4 else given[1]  # after the factor, where there is one
        return 2 * math.prod(out_shape) * math.prod(weight[1:])

    def of_product(x: tuple, weight: tuple, *_: object, out_shape: tuple, **__: object) -> int:
        return 2 * math.prod(out_shape) * weight[1]

    known = {"_convolution_pointwise": of_convolution, "_linear_pointwise": of_product}
    return {getattr(torch.ops.mkldnn, name): count for name, count in known.items() if hasattr(torch.ops.mkldnn, name)}


class _Traffic(TorchDispatchMode):
    """Adds up the bytes that operations read and write; views move nothing and are left out."""

    bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        answer = operation(*args, **(kwargs or {}))
        if not operation.is_view:
            tensors = filter(torch.is_tensor, tree_leaves((args, kwargs, answer)))
            self.bytes += sum(tensor.nbytes for tensor in tensors)
        return answer
