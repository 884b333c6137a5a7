"""The smooth prior fills in where there is no evidence, and gives way to precise evidence."""

import pytest
import torch

from BSAFusionLib.network.smooth_prior import SmoothPrior, solve
from BSAFusionResearch.training.unaligned_pairs import Simulator

size = (128, 96)


@pytest.fixture(scope="module")
def prior() -> SmoothPrior:
    return SmoothPrior().eval()


@pytest.fixture(scope="module")
def field() -> torch.Tensor:
    """Make a displacement as in training, (2, 2, 32, 24) in pixels of a halved slice."""
    torch.manual_seed(0)
    return torch.nn.functional.avg_pool2d(Simulator(pixel=2).random_field(2, size, torch.device("cpu")), 4)


def precise(precision: float) -> torch.Tensor:
    return torch.tensor([precision, precision, 0.0])[:, None, None].expand(2, 3, 32, 24)


@torch.no_grad()
def test_precise_evidence_everywhere_is_returned_on_any_grid(prior, field):
    assert (prior(field, precise(100.0), size, (32, 24)) - field).square().sum(dim=1).sqrt().mean() < 0.15
    finer = prior(field, precise(100.0), size, (64, 48))
    assert (torch.nn.functional.avg_pool2d(finer, 2) - field).square().sum(dim=1).sqrt().mean() < 0.15


@torch.no_grad()
def test_without_evidence_nothing_moves(prior, field):
    assert prior(field, precise(0.0), size, (32, 24)).abs().max() == 0


@torch.no_grad()
def test_positions_without_evidence_are_filled_in_from_around(prior, field):
    precision = precise(100.0).clone()
    precision[:, :, 12:18, 9:15] = 0
    wrong = field.clone()
    wrong[:, :, 12:18, 9:15] = 50
    errors = (prior(wrong, precision, size, (32, 24)) - field).square().sum(dim=1).sqrt()
    lengths = field.square().sum(dim=1).sqrt()
    assert errors[:, 12:18, 9:15].mean() < 0.5 * lengths[:, 12:18, 9:15].mean()


@torch.no_grad()
def test_an_edge_is_evidence_across_itself_and_none_along(prior, field):
    across_only = torch.tensor([100.0, 0.0, 0.0])[:, None, None].expand(2, 3, 32, 24)
    answer = prior(field, across_only, size, (32, 24))
    assert (answer[:, 0] - field[:, 0]).abs().mean() < 0.1
    assert answer[:, 1].abs().max() == 0


def test_gradients_pass_through_it(prior, field):
    mean = field.clone().requires_grad_()
    precision = precise(0.1).clone().requires_grad_()
    gradients = torch.autograd.grad(prior(mean, precision, size, (32, 24)).square().sum(), [mean, precision])
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)


def test_several_systems_are_solved_on_several_threads():
    """PyTorch's own solver fails for several matrices of this size at once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(0)
        square = torch.randn(4, 256, 256, dtype=torch.float64)
        matrices, vectors = square @ square.mT + 256 * torch.eye(256), torch.randn(4, 256, dtype=torch.float64)
        for _ in range(5):
            answers = solve(matrices, vectors)
            torch.testing.assert_close((matrices @ answers[..., None])[..., 0], vectors)
    finally:
        torch.set_num_threads(threads)
