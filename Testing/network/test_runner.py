"""Slices go through the network in batches, and can be stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.network import runner as runner_module
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.devices import choose_device
from BSAFusionLib.network.metadata import EXACT, PUBLISHED
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.runner import Runner, default_batch_size
from BSAFusionLib.network.stack import Stack
from BSAFusionLib.network.weights import load_network
from Testing.network.stacks import random_stack, stack_of


@pytest.fixture(scope="module")
def network() -> BSAFusion:
    torch.manual_seed(0)
    network = BSAFusion().eval()
    for steps in (network.bsfa.forward_steps, network.bsfa.reverse_steps):
        for step in steps:
            torch.nn.init.normal_(step.answer.weight, std=0.05)
    return network


@pytest.fixture(scope="module")
def stack() -> Stack:
    return random_stack(5, 32, 64)


def assert_nearly_the_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-3)


def test_the_batch_size_does_not_change_the_result(network, stack):
    whole, by_two = (Runner(network, batch_size=size) for size in (5, 2))
    (expected,), (found,) = whole.register([stack]), by_two.register([stack])
    assert expected.mean.shape == (5, 2, 4, 8)
    assert expected.precision.shape == (5, 3, 4, 8)
    assert_nearly_the_same(found.mean, expected.mean)
    assert_nearly_the_same(found.precision, expected.precision)
    fused = whole.fuse(stack)
    assert fused.shape == (5, 32, 64)
    assert_nearly_the_same(by_two.fuse(stack), fused)


@pytest.mark.parametrize("convention", [EXACT, PUBLISHED])
def test_features_agree_the_better_the_nearer_slices_lie(convention):
    torch.manual_seed(2)
    shipped = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "ct.safetensors"
    network = load_network(shipped) if convention == EXACT else PublishedBSAFusion().eval()
    noise = F.interpolate(torch.rand(3, 1, 10, 10), (160, 160), mode="bicubic").clamp(0, 1)[:, 0].numpy()
    shifted = [noise[:, 16:144, 16 - by : 144 - by] for by in (0, 6, 14)]
    agreement = [Runner(network).agreement(stack_of(shifted[0], slices)) for slices in shifted]
    assert agreement[0].shape == (3,)
    assert (np.diff(agreement, axis=0) < 0).all()


def test_smoothed_evidence_is_the_networks_field(network, stack):
    (evidence,) = Runner(network).register([stack])
    with torch.no_grad():
        field = network(*(torch.from_numpy(slices)[:, None] for slices in (stack.fixed, stack.moving)), False).field
        smooth = network.bsfa.priors[-1](
            torch.from_numpy(evidence.mean) / 2, torch.from_numpy(evidence.precision) * 4, (16, 32), (16, 32)
        )
    enlarged = F.interpolate(2 * smooth, scale_factor=2, mode="bilinear")
    assert (enlarged - field).abs().mean() < 0.05 * field.abs().mean()


def test_evidence_combined_with_its_mirror_image_mirrors_as_the_slices_do(network, stack):
    (evidence,) = Runner(network).register([stack], mirrored=True)
    turned_stack = stack_of(*(slices[..., ::-1].copy() for slices in (stack.fixed, stack.moving)))
    (turned,) = Runner(network).register([turned_stack], mirrored=True)
    signs = np.array([-1.0, 1.0])[:, None, None]
    np.testing.assert_allclose(turned.mean[..., ::-1] * signs, evidence.mean, atol=1e-3, rtol=1e-2)


def test_empty_slices_are_left_out_and_keep_the_larger_pixel(network, stack):
    fixed, moving = stack.fixed.copy(), stack.moving.copy()
    moving[2] = 0
    some_empty = stack_of(fixed, moving)
    runner = Runner(network)
    (evidence,) = runner.register([some_empty])
    assert some_empty.filled.tolist() == [0, 1, 3, 4]
    assert not evidence.precision[2].any()
    assert evidence.precision[3].any()
    assert np.isnan(runner.agreement(some_empty)).tolist() == [False, False, True, False, False]
    np.testing.assert_array_equal(runner.fuse(some_empty)[2], fixed[2])


def test_progress_counts_the_slices_of_all_stacks_after_every_batch(network, stack):
    counted = []
    runner = Runner(network, batch_size=2, progress=lambda *counts: counted.append(counts))
    runner.register([stack, random_stack(3, 32, 64)])
    assert counted == [(2, 8), (4, 8), (5, 8), (7, 8), (8, 8)]


def test_it_stops_between_batches_when_asked(network, stack):
    asked = []

    def cancelled() -> bool:
        asked.append(None)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        Runner(network, batch_size=2, cancelled=cancelled).fuse(stack)
    assert len(asked) == 2


def test_a_network_that_answers_with_nan_is_reported(stack):
    broken = BSAFusion().eval()
    torch.nn.init.constant_(broken.mmff.reconstruction[-1].bias, torch.nan)
    with pytest.raises(FusionError, match="not finite"):
        Runner(broken).fuse(stack)


def test_a_device_whose_values_are_not_finite_is_left(network, stack, monkeypatch):
    compute = runner_module._run_in_threads

    def broken_elsewhere(function, *pair):
        if pair[0].device.type == "meta":
            return [torch.full((len(pair[0]), 1), torch.nan)]
        return compute(function, *pair)

    monkeypatch.setattr(runner_module, "_run_in_threads", broken_elsewhere)
    runner = Runner(network, torch.device("meta"))
    np.testing.assert_array_equal(runner.fuse(stack), Runner(network).fuse(stack))
    assert runner.remarks == ["meta failed (its values are not finite); the rest ran on the CPU."]


def test_auto_always_finds_a_device():
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "abacus", "vulkan", ""])
def test_a_device_that_is_not_there_is_rejected(name):
    with pytest.raises(FusionError, match="cpu"):
        choose_device(name)


@pytest.mark.parametrize(("free", "batch"), [(2**34, 32), (2**30, 4), (2**20, 1)])
def test_on_a_gpu_the_batch_is_what_half_of_its_free_memory_holds(free, batch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**35))
    assert default_batch_size(torch.device("cuda"), 256 * 256) == batch
