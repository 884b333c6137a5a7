"""Slices go through the network in batches, and can be stopped."""

import numpy as np
import pytest
import torch

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.inference import choose_device, fuse_slices, warp_slices


@pytest.fixture(scope="module")
def network() -> BSAFusion:
    torch.manual_seed(0)
    network = BSAFusion().eval()
    for steps in (network.bsfa.forward_steps, network.bsfa.reverse_steps):
        for step in steps:
            torch.nn.init.normal_(step.answer.weight, std=0.05)
    return network


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((5, 32, 48), np.float32), generator.random((5, 32, 48), np.float32)


def test_the_batch_size_does_not_change_the_result(network, pair):
    fused, field, *_ = fuse_slices(network, *pair, batch_size=5)
    fused_by_two, field_by_two, *_ = fuse_slices(network, *pair, batch_size=2)
    assert fused.shape == (5, 32, 48)
    assert field.shape == (5, 2, 32, 48)
    assert np.abs(field).max() > 0.1
    np.testing.assert_allclose(field_by_two, field, atol=1e-4)
    np.testing.assert_allclose(fused_by_two, fused, atol=1e-4)


def test_progress_counts_the_slices_done_after_every_batch(network, pair):
    told = []
    fuse_slices(network, *pair, batch_size=2, progress=told.append)
    assert told == [2, 4, 5]


def test_it_stops_between_batches_when_asked(network, pair):
    asked = []

    def cancelled() -> bool:
        asked.append(None)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        fuse_slices(network, *pair, batch_size=2, cancelled=cancelled)
    assert len(asked) == 2


def test_a_network_that_answers_with_nan_is_reported(pair):
    broken = BSAFusion().eval()
    torch.nn.init.constant_(broken.mmff.reconstruction[-1].bias, torch.nan)
    with pytest.raises(FusionError, match="not finite"):
        fuse_slices(broken, *pair)


def test_images_are_carried_along_the_field():
    images = np.arange(6, dtype=np.float32).reshape(1, 1, 1, 6).repeat(2, axis=1)
    field = np.zeros((1, 2, 1, 6), np.float32)
    field[:, 0] = 1
    np.testing.assert_allclose(warp_slices(images, field)[0, :, 0], [[1, 2, 3, 4, 5, 5]] * 2)


def test_auto_always_finds_a_device():
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "abacus", "vulkan", ""])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(FusionError, match="cpu"):
        choose_device(name)
