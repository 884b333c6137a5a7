"""Convolutions and linear layers by oneDNN's fused operations where this PyTorch has them, else by PyTorch's own.

The fused operations are those that torch.compile calls. They are private: their names and arguments may change with
any version. So they are named in this file alone, and used only after `_works` has tried them.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F

OLDEST_TORCH = "2.5"  # in which the operations have the arguments that are given to them here
ACTIVATIONS = {"none": lambda x: x, "relu": F.relu_, "leaky_relu": F.leaky_relu_, "gelu": F.gelu, "tanh": torch.tanh_}
LEAKY_SLOPE = 0.01  # of F.leaky_relu


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: list[int],
    stride: int = 1,
    activation: str = "none",
) -> torch.Tensor:
    """Convolve and apply an activation; in one pass over the maps where oneDNN does it.

    Args:
        x: (N, C, H, W), of the precision of the weights. Channels last spares two passes that reorder the maps.
        weight: (D, C, h, w).
        bias: (D,).
        padding: Of rows and of columns, pixels.
        stride: Pixels.
        activation: A key of `ACTIVATIONS`.

    Returns:
        (N, D, H', W').
    """
    if activation == "none" or not has_onednn(x):
        activated: torch.Tensor = ACTIVATIONS[activation](F.conv2d(x, weight, bias, stride, padding))
        return activated
    return _fused_convolution(x, weight, bias, padding, stride, activation)


def convolve_times(
    x: torch.Tensor, factor: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: list[int]
) -> torch.Tensor:
    """Convolve and multiply the answer with a map of its shape; arguments otherwise as of `convolve`."""
    if not has_onednn(x):
        return F.conv2d(x, weight, bias, padding=padding).mul_(factor)
    return _fused_convolution_with(x, "mul", factor, weight, bias, padding)


def convolve_plus(
    x: torch.Tensor, addend: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: list[int]
) -> torch.Tensor:
    """Convolve and add a map of the answer's shape; arguments otherwise as of `convolve`."""
    if not has_onednn(x):
        return F.conv2d(x, weight, bias, padding=padding).add_(addend)
    return _fused_convolution_with(x, "add", addend, weight, bias, padding)


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Apply a linear layer to (..., C), weight (D, C); oneDNN's product is the faster on AMD's CPUs."""
    if not has_onednn(x):
        return F.linear(x, weight, bias)
    return _fused_linear(x, weight, bias)


def has_onednn(x: torch.Tensor) -> bool:
    """Return whether oneDNN's fused operations are used for x: on an x86 CPU where they give the right answers."""
    return x.device.type == "cpu" and bool(torch.backends.mkldnn.enabled) and _works(x.dtype)


def _fused_convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: list[int],
    stride: int,
    activation: str,
) -> torch.Tensor:
    slope = [LEAKY_SLOPE] if activation == "leaky_relu" else []
    algorithm = "none" if activation == "gelu" else ""  # not the approximation by tanh
    shape = padding, [stride] * 2, [1, 1], 1
    convolved: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, *shape, activation, slope, algorithm
    )
    return convolved


def _fused_convolution_with(
    x: torch.Tensor,
    operation: str,
    other: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: list[int],
) -> torch.Tensor:
    shape = padding, [1, 1], [1, 1], 1
    fused = torch.ops.mkldnn._convolution_pointwise.binary
    answer: torch.Tensor = fused(x, other, weight, bias, *shape, operation, None, None, [], None)
    return answer


def _fused_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    transformed: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return transformed


@lru_cache
def _works(dtype: torch.dtype) -> bool:
    """Return whether the fused operations are here and give PyTorch's own answers, by trying each one once."""
    if torch.torch_version.TorchVersion(torch.__version__) < OLDEST_TORCH:
        return False
    if "AVX" not in torch.backends.cpu.get_cpu_capability() or dtype not in (torch.float32, torch.bfloat16):
        return False
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        return _right(dtype)
    except Exception:  # whatever a private operation of another version raises
        return False


@torch.no_grad()
def _right(dtype: torch.dtype) -> bool:
    """Return whether the fused operations give PyTorch's own answers for maps and weights that are never alike."""

    def values(*shape: int) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return torch.sin(torch.arange(count) * 1.7 + count).view(shape).to(dtype)

    x, weight, bias = values(2, 16, 6, 5), values(8, 16, 3, 3), values(8)
    x, weight = (each.contiguous(memory_format=torch.channels_last) for each in (x, weight))
    answer = F.conv2d(x, weight, bias, padding=[0, 1])
    factor, tokens, matrix = values(*answer.shape), values(2, 7, 16), values(8, 16)
    pairs = [
        (_fused_convolution(x, weight, bias, [1, 1], stride, name), act(F.conv2d(x, weight, bias, stride, 1)))
        for name, act in ACTIVATIONS.items()
        for stride in (1, 2)
        if name != "none"
    ]
    for name, expected in (("mul", answer * factor), ("add", answer + factor)):
        pairs.append((_fused_convolution_with(x, name, factor, weight, bias, [0, 1]), expected))
    pairs.append((_fused_linear(tokens, matrix, bias), F.linear(tokens, matrix, bias)))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2  # of values up to about 10
    return all(torch.allclose(fused, plain, rtol=tolerance, atol=tolerance) for fused, plain in pairs)
