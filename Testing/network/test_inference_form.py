"""The inference form answers as the training form does, whatever the weights."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from BSAFusionLib.network.factory import make_network
from BSAFusionLib.network.fast import layers as inference_layers
from BSAFusionLib.network.fast.bsfa import correlate
from BSAFusionLib.network.fast.form import inference_form
from BSAFusionLib.network.fast.layers import fold
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.layers import convolution_pair
from BSAFusionLib.network.matching import LocalCorrelation
from BSAFusionLib.network.metadata import DEEP, EXACT, LIGHT, PUBLISHED, Metadata
from BSAFusionLib.network.weights import load_network

models = Path(__file__).resolve().parents[2] / "Resources" / "Models"


def random_network(convention: str, fusion: str = DEEP) -> FusionNetwork:
    """Make a network whose every layer matters, without the zeros of an untrained one."""
    torch.manual_seed(0)
    network = make_network(Metadata(convention, fusion=fusion)).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    return network


@pytest.fixture(scope="module", params=[PUBLISHED, EXACT, LIGHT, "ct", "pet", "spect"])
def network(request: pytest.FixtureRequest) -> FusionNetwork:
    if request.param in (PUBLISHED, EXACT):
        return random_network(request.param)
    if request.param == LIGHT:
        return random_network(EXACT, LIGHT)
    return load_network(models / f"{request.param}.safetensors")


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth noise, brighter in the middle: something to register."""
    torch.manual_seed(1)
    noise = F.interpolate(torch.rand(4, 1, 10, 12), (80, 96), mode="bicubic").clamp(0, 1)
    return noise[:2], noise[2:]


@torch.inference_mode()
def test_both_forms_give_the_same_fused_slice_and_field(network, pair):
    form = inference_form(network)
    expected, found = network(*pair), form(*pair)
    assert expected.field.abs().max() > 0.1
    torch.testing.assert_close(found.fused, expected.fused, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.field, expected.field, atol=1e-3, rtol=0)


@torch.inference_mode()
def test_both_forms_have_the_same_evidence_agreement_and_fusion(network, pair):
    form = inference_form(network)
    expected, found = network.evidence(*pair), form.evidence(*pair)
    torch.testing.assert_close(found.mean, expected.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.precision, expected.precision, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(form.fuse(*pair), network.fuse(*pair), atol=1e-4, rtol=0)
    torch.testing.assert_close(form.agreement(*pair), network.agreement(*pair), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_the_evidence_is_the_same_with_and_without_the_field_that_it_leads_to(pair):
    network = random_network(EXACT)
    features = network.mdf_fr(*pair)
    for alone, among in zip(network.bsfa.evidence(*features), network.bsfa(*features).evidence, strict=True):
        assert torch.equal(alone, among)


@torch.inference_mode()
def test_slices_are_fused_without_the_transfer_as_with_it(pair):
    mdf_fr = random_network(EXACT).mdf_fr
    for encoded, features in zip(mdf_fr.encode(*pair), mdf_fr(*pair), strict=True):
        assert torch.equal(encoded.token_map, features.token_map)
        assert all(torch.equal(*maps) for maps in zip(encoded.maps, features.maps, strict=True))


@torch.inference_mode()
def test_both_forms_agree_without_the_operations_of_onednn(pair):
    network = random_network(PUBLISHED)
    expected = network(*pair)
    with torch.backends.mkldnn.flags(enabled=False):
        found = inference_form(network)(*pair)
    torch.testing.assert_close(found.fused, expected.fused, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.field, expected.field, atol=1e-3, rtol=0)


@torch.inference_mode()
def test_bands_of_rows_make_no_difference(pair, monkeypatch):
    form = inference_form(random_network(PUBLISHED))
    whole = form(*pair)
    monkeypatch.setattr(inference_layers, "GATE_VALUES_AT_ONCE", 2**13)
    torch.testing.assert_close(form(*pair).fused, whole.fused, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_images_by_themselves_are_transformed_as_several_at_once(network, pair, monkeypatch):
    expected = network(*pair)
    monkeypatch.setattr(inference_layers, "MAP_PX_AT_ONCE", 1)
    torch.testing.assert_close(inference_form(network)(*pair).fused, expected.fused, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_step_that_finds_nothing_answers_once_for_all_pairs(pair):
    network = random_network(EXACT)
    for step in (*network.bsfa.forward_steps[1:], network.bsfa.reverse_steps[0]):
        step.joining[2].bias.fill_(-1e3)
    form = inference_form(network)
    answered = []
    for step in form.bsfa.forward_steps:
        step.answer.register_forward_hook(lambda _, __, answer: answered.append(len(answer)))
    torch.testing.assert_close(form(*pair).field, network(*pair).field, atol=1e-3, rtol=0)
    assert answered == [2, 1, 1, 1, 1]


@pytest.mark.parametrize("modality", ["ct", "pet", "spect"])
@torch.inference_mode()
def test_half_the_bits_change_little(modality, pair):
    network = load_network(models / f"{modality}.safetensors")
    expected, found = network(*pair), inference_form(network, torch.bfloat16)(*pair)
    assert found.fused.dtype == found.field.dtype == torch.float32
    assert (found.fused - expected.fused).abs().mean() < 5e-3
    assert 0 < (found.field - expected.field).abs().mean() < 0.05 * expected.field.abs().mean()


@pytest.mark.parametrize("side", [1, 2, 7])
@torch.inference_mode()
def test_pairs_of_convolutions_fold_exactly_up_to_the_border(side):
    torch.manual_seed(2)
    pairs = [convolution_pair(3, 5), convolution_pair(3, 4)]
    x = torch.randn(2, 3, side, side + 1)
    weight, bias = fold(*pairs)
    found = F.conv2d(F.pad(x, [0, 0, 0, 0, 0, 1], value=1.0), weight, bias, padding=1)
    torch.testing.assert_close(found, torch.cat([pair(x) for pair in pairs], dim=1), atol=1e-5, rtol=1e-5)


def test_the_network_itself_stays_as_it_was():
    network = random_network(EXACT)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    inference_form(network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert len(before) == len(network.state_dict())


@pytest.mark.parametrize("radius", [2, 3, 4])
@pytest.mark.parametrize("size", [(8, 4), (5, 7), (1, 13)])
def test_correlations_by_tiles_are_those_of_the_training_form(radius, size):
    torch.manual_seed(6)
    positions, candidates = torch.randn(2, 5, *size), torch.randn(2, 2, 2, 5, *size)
    expected = LocalCorrelation.apply(positions, candidates, radius)
    found = correlate(positions.permute(0, 2, 3, 1), candidates.flatten(1, 2).permute(0, 3, 4, 1, 2), radius)
    torch.testing.assert_close(found.permute(0, 3, 1, 2), expected, atol=1e-5, rtol=0)
