"""Held-out slices are deformed by known fields, and the error against those is split as it says."""

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.sampling import warp
from BSAFusionResearch.evaluation import rotation, simulated
from BSAFusionResearch.evaluation.rotation import prealign_slices
from BSAFusionResearch.training.slice_pairs import load_pairs


@pytest.fixture(scope="module")
def still_network() -> BSAFusion:
    """A network that moves nothing."""
    network = BSAFusion().eval()
    for steps in (network.bsfa.forward_steps, network.bsfa.reverse_steps):
        for step in steps:
            torch.nn.init.zeros_(step.answer.weight)
            torch.nn.init.constant_(step.weight, -60.0)  # so little that no evidence moves it
    return network


def test_a_network_that_moves_nothing_leaves_every_error_as_it_was(still_network, data_folder):
    _, held_out = load_pairs(data_folder, "ct")
    values = simulated.measure(still_network, held_out)
    assert list(values) == list(simulated.TITLES)
    for name in ("end_point_error", "end_point_error_edges", "end_point_error_flat", "simulated_difference"):
        assert values[name]["ours"].shape == (2,)
        np.testing.assert_allclose(values[name]["ours"], values[name]["before"], rtol=1e-3)
    assert (values["end_point_error"]["before"] > 0.5).all()
    assert (values["simulated_folded_percent"]["ours"] == 0).all()


def test_what_is_found_in_undeformed_slices_too_is_no_error_of_the_motion(data_folder):
    """Where the moving slices lay three pixels aside beforehand, what is found is off by that, the motion is not."""

    class FindsTheTruth(BSAFusion):
        """It knows the field by the pair's place among the calls, and sees both slices three pixels apart."""

        def __init__(self, fields):
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(1))
            aside = torch.tensor([3.0, 0.0])[:, None, None]
            self.answers = [
                answer for field in fields for answer in (aside + warp(field, aside.expand_as(field)), aside)
            ]

        def forward(self, fixed, moving, fuse):
            return SimpleNamespace(field=self.answers.pop(0).expand(1, 2, *fixed.shape[-2:]))

    _, held_out = load_pairs(data_folder, "ct")
    fields = [made.field for made in simulated.unaligned_pairs(held_out, torch.device("cpu"))]
    values = simulated.measure(FindsTheTruth(fields), held_out)
    np.testing.assert_allclose(values["motion_error"]["ours"], 0, atol=1e-4)
    np.testing.assert_allclose(values["undeformed_error"]["ours"], 3, rtol=1e-5)
    assert (values["end_point_error"]["ours"] > 2).all()


def test_the_whole_head_lies_between_its_edges_and_its_flat_tissue(still_network, data_folder):
    _, held_out = load_pairs(data_folder, "ct")
    values = simulated.measure(still_network, held_out)
    parts = np.stack([values[f"end_point_error_{part}"]["before"] for part in ("edges", "flat")])
    assert (parts.min(axis=0) < values["end_point_error"]["before"]).all()
    assert (parts.max(axis=0) > values["end_point_error"]["before"]).all()


def test_a_slice_is_always_deformed_the_same_whatever_comes_before(data_folder):
    _, held_out = load_pairs(data_folder, "ct")
    torch.manual_seed(1)
    first, second = (made.field for made in simulated.unaligned_pairs(held_out, torch.device("cpu")))
    torch.manual_seed(2)
    (again,) = (made.field for made in simulated.unaligned_pairs(held_out, torch.device("cpu"), most=1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_edges_are_where_the_gradient_is_in_its_top_fifth():
    image = torch.zeros(1, 1, 40, 40)
    image[..., 20:] = torch.linspace(0, 1, 20)  # a ramp, as steep everywhere, over the right half
    image[..., 30:] += 2  # and a step in it
    head = torch.ones(40, 40, dtype=torch.bool)
    edges = simulated.edges_of(image, head)
    assert edges[:, 29:31].all()
    assert not edges[:, :19].any()
    assert edges.float().mean() <= 0.2


def test_the_rigid_initialization_removes_most_of_a_rotation_of_20_degrees(still_network, data_folder):
    _, held_out = load_pairs(data_folder, "ct")
    values = rotation.measure(still_network, held_out)["rotated_end_point_error"]
    np.testing.assert_allclose(values["ours"], values["before"], rtol=1e-3)
    np.testing.assert_allclose(values["prealigned_ours"], values["prealigned"], rtol=1e-3)
    assert (values["prealigned"] < values["before"]).all()


def test_the_rigid_initialization_estimates_a_known_rotation_and_shift_between_contrasts(benchmark_folder):
    with np.load(benchmark_folder / "ct.npz") as arrays:
        fixed, aligned = (
            sitk.GetImageFromArray(arrays[name][0].astype(np.float32) / 255) for name in ("fixed", "aligned_truth")
        )
    turn = sitk.Euler2DTransform((31.5, 31.5), np.radians(20.0), (3.0, -2.0))
    moving = sitk.Resample(aligned, turn.GetInverse(), sitk.sitkLinear, 0.0)
    found = prealign_slices(fixed, moving)
    field = np.zeros((2, 64, 64))
    off = np.linalg.norm(rotation.points(found, field) - rotation.points(turn, field), axis=0)
    assert off[16:48, 16:48].mean() < 0.5
