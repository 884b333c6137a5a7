"""oneDNN's fused operations give what PyTorch's own give, and are left alone where they do not."""

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from BSAFusionLib.network.fast import onednn
from BSAFusionLib.network.fast.onednn import ACTIVATIONS, convolve, convolve_plus, convolve_times, has_onednn, linear

repository = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    if not has_onednn(torch.empty(0, dtype=request.param)):
        # With the pinned PyTorch, float32 has them on every x86 CPU: else all would be slower without a word.
        assert not ("CI" in os.environ and request.param == torch.float32 and platform.machine() == "x86_64")
        pytest.skip("this CPU or PyTorch has no fused operations for it")
    return request.param


@pytest.fixture
def try_again() -> Iterator[Callable[[], None]]:
    """Forgets what was tried before, as a new process does, and again at the end."""
    yield onednn._works.cache_clear
    onednn._works.cache_clear()


def random(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    x = torch.randn(*shape).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def assert_same_by_both_ways(function: Callable[[], torch.Tensor], dtype: torch.dtype) -> None:
    fused = function()
    with torch.backends.mkldnn.flags(enabled=False):
        plain = function()
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert fused.dtype == plain.dtype == dtype
    torch.testing.assert_close(fused, plain, atol=tolerance, rtol=tolerance)


@torch.inference_mode()
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(("padding", "stride"), [([1, 1], 1), ([1, 1], 2), ([0, 1], 1)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_convolution_is_the_same_by_both_ways(dtype, activation, padding, stride, has_bias):
    torch.manual_seed(0)
    x, weight = random(dtype, 2, 5, 9, 8), random(dtype, 7, 5, 3, 3) / 7
    bias = random(dtype, 7) if has_bias else None
    assert_same_by_both_ways(lambda: convolve(x, weight, bias, padding, stride, activation), dtype)


@torch.inference_mode()
@pytest.mark.parametrize("function", [convolve_times, convolve_plus])
def test_a_convolution_times_or_plus_a_map_is_the_same_by_both_ways(dtype, function):
    torch.manual_seed(0)
    x, weight, bias = random(dtype, 2, 5, 9, 8), random(dtype, 7, 5, 3, 3) / 7, random(dtype, 7)
    other = random(dtype, 2, 7, 7, 8)
    assert_same_by_both_ways(lambda: function(x, other, weight, bias, [0, 1]), dtype)


@torch.inference_mode()
def test_a_linear_layer_is_the_same_by_both_ways(dtype):
    torch.manual_seed(0)
    x, weight, bias = random(dtype, 2, 11, 16), random(dtype, 6, 16) / 4, random(dtype, 6)
    assert_same_by_both_ways(lambda: linear(x, weight, bias), dtype)


@pytest.mark.parametrize("operation", ["_fused_convolution", "_fused_convolution_with", "_fused_linear"])
@pytest.mark.parametrize("change", ["other arguments", "other answers"])
def test_an_operation_that_another_pytorch_changed_is_not_used(dtype, operation, change, monkeypatch, try_again):
    """A private operation may change without notice in a version that nobody has tried."""
    original = getattr(onednn, operation)

    def changed(*arguments: object) -> torch.Tensor:
        if change == "other arguments":
            raise RuntimeError("_linear_pointwise() is missing value for argument")
        return original(*arguments) + 0.5

    monkeypatch.setattr(onednn, operation, changed)
    try_again()
    assert not has_onednn(torch.empty(0, dtype=dtype))


def test_a_pytorch_older_than_was_tried_is_not_asked(dtype, monkeypatch, try_again):
    monkeypatch.setattr(torch, "__version__", "2.4.1+cpu")
    try_again()
    assert not has_onednn(torch.empty(0, dtype=dtype))


def test_the_private_operations_are_named_in_one_file():
    """The benchmarks name them, too, to count their work; nothing is computed there."""
    naming = {path.name for path in repository.glob("BSAFusionLib/**/*.py") if "torch.ops" in path.read_text()}
    assert naming == {"onednn.py"}
