"""The published layout gives the published network's values."""

import numpy as np
import pytest
import torch

from BSAFusionLib.network.weights import load_network
from BSAFusionResearch import parity
from Testing.released import to_released


@pytest.fixture(scope="module")
def recorded(shared):
    with np.load(shared / "parity" / "expected.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", autouse=True)
def computed_once():
    """Compute the values of the same weights once, which takes seconds."""
    compute, known = parity.computed_values, {}

    def remembered(network, fixed, moving):
        key = float(sum(parameter.detach().double().sum() for parameter in network.parameters()))
        if key not in known:
            known[key] = compute(network, fixed, moving)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "computed_values", remembered)
        yield


def test_a_released_checkpoint_loaded_from_its_file_agrees_with_every_recorded_array(recorded, tmp_path):
    path = tmp_path / "BSAFusion_CT.pkl"
    torch.save(to_released(parity.deterministic_network().float()), path)
    network = load_network(path)
    assert network.metadata.convention == "published"
    rows = parity.differences(network.double(), recorded)
    assert len(rows) == len(recorded) - 2
    assert {name: row for name, row in rows.items() if row[0] > row[1]} == {}


def test_other_weights_do_not_agree(recorded):
    rows = parity.differences(parity.deterministic_network(salt="x"), recorded)
    assert all(difference > allowed for difference, allowed in rows.values())


def test_the_command_takes_any_part_of_the_arrays_and_says_whether_they_agree(recorded, tmp_path, capsys):
    path = tmp_path / "some.npz"
    chosen = {name: recorded[name] for name in ("fixed", "moving", "stage_flow_10", "fused")}
    np.savez(path, **chosen)
    assert parity.main([str(path)]) == 0
    assert parity.main([str(path), "--salt", "x"]) == 1
    assert capsys.readouterr().out.count("agrees") == 2


def test_an_array_of_another_shape_is_not_compared_by_broadcasting(recorded):
    wrong = {name: recorded[name] for name in ("fixed", "moving")} | {"fused": recorded["fused"][:1]}
    with pytest.raises(ValueError, match="fused"):
        parity.differences(parity.deterministic_network(), wrong)
