"""Slices go through the network in batches, and can be stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.network.bsafusion import BSAFusion, Metadata
from BSAFusionLib.network.checkpoints import load_network
from BSAFusionLib.network.inference import (
    Running,
    _usual_batch,
    choose_device,
    compare_slices,
    fuse_slices,
    register_slices,
    warp_slices,
)
from BSAFusionLib.network.warp import EXACT, PUBLISHED


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
    return generator.random((5, 32, 64), np.float32), generator.random((5, 32, 64), np.float32)


def test_the_batch_size_does_not_change_the_result(network, pair):
    for function, count, size in ((register_slices, 2, (4, 8)), (fuse_slices, 1, (32, 64))):
        whole, by_two = (function(*pair, Running(network, batch_size))[:count] for batch_size in (5, 2))
        for all_at_once, in_parts in zip(whole, by_two, strict=True):
            assert all_at_once.shape[0] == 5 and all_at_once.shape[-2:] == size
            assert np.abs(all_at_once).max() > 1e-3
            np.testing.assert_allclose(in_parts, all_at_once, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("convention", [EXACT, PUBLISHED])
def test_features_agree_the_better_the_nearer_slices_lie(convention):
    torch.manual_seed(2)
    shipped = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "ct.safetensors"
    network = load_network(shipped) if convention == EXACT else BSAFusion(Metadata(convention)).eval()
    noise = F.interpolate(torch.rand(3, 1, 10, 10), (160, 160), mode="bicubic").clamp(0, 1)[:, 0].numpy()
    shifted = [noise[:, 16:144, 16 - by : 144 - by] for by in (0, 6, 14)]
    agreement = [compare_slices(shifted[0], each, Running(network)).agreement for each in shifted]
    assert agreement[0].shape == (3,)
    assert (np.diff(agreement, axis=0) < 0).all()


def test_what_the_slices_tell_smoothed_is_the_networks_field(network, pair):
    told = register_slices(*pair, Running(network))
    with torch.no_grad():
        field = network(*(torch.from_numpy(each)[:, None] for each in pair), fuse=False).field
        smooth = network.bsfa.priors[-1](
            torch.from_numpy(told.mean) / 2, torch.from_numpy(told.precision) * 4, (16, 32), (16, 32)
        )
    grown = torch.nn.functional.interpolate(2 * smooth, scale_factor=2, mode="bilinear")
    assert (grown - field).abs().mean() < 0.05 * field.abs().mean()


def test_joined_with_its_mirror_image_what_a_slice_tells_mirrors_as_the_slice_does(network, pair):
    told = register_slices(*pair, Running(network), mirrored=True)
    turned = register_slices(*(each[..., ::-1].copy() for each in pair), Running(network), mirrored=True)
    signs = np.array([-1.0, 1.0])[:, None, None]
    np.testing.assert_allclose(turned.mean[..., ::-1] * signs, told.mean, atol=1e-3, rtol=1e-2)


def test_progress_counts_the_slices_done_after_every_batch(network, pair):
    counted = []
    register_slices(*pair, Running(network, batch_size=2, progress=counted.append))
    assert counted == [2, 4, 5]


def test_it_stops_between_batches_when_asked(network, pair):
    asked = []

    def cancelled() -> bool:
        asked.append(None)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        fuse_slices(*pair, Running(network, batch_size=2, cancelled=cancelled))
    assert len(asked) == 2


def test_a_network_that_answers_with_nan_is_reported(pair):
    broken = BSAFusion().eval()
    torch.nn.init.constant_(broken.mmff.reconstruction[-1].bias, torch.nan)
    with pytest.raises(FusionError, match="not finite"):
        fuse_slices(*pair, Running(broken))


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


@pytest.mark.parametrize(("free", "batch"), [(2**34, 32), (2**30, 4), (2**20, 1)])
def test_on_a_gpu_the_batch_is_what_half_of_its_free_memory_holds(free, batch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**35))
    assert _usual_batch(torch.device("cuda"), 256 * 256) == batch
