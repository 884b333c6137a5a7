"""The head network's weights come back as they were written, or are refused with the reason."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from BSAFusionLib.errors import FusionError
from BSAFusionLib.head_pose.network import HeadNetwork
from BSAFusionLib.head_pose.weights import FORMAT, load_head_network, save_head_network


@pytest.fixture
def written(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_head_network(tmp_path / "head.safetensors", HeadNetwork(), {"steps": "7"})
    return tmp_path / "head.safetensors"


def test_weights_come_back_in_half_precision(written: Path) -> None:
    torch.manual_seed(0)
    own, read = HeadNetwork().state_dict(), load_head_network(written).state_dict()
    assert all(torch.equal(own[name].half().float(), read[name]) for name in own)
    assert written.stat().st_size < 2.2e6


def test_the_network_answers_for_every_even_size(written: Path) -> None:
    network = load_head_network(written)
    for shape in ((16, 16, 16), (18, 26, 30), (22, 50, 34)):
        prediction = network(torch.randn(1, 3, *shape))
        assert prediction.coordinate.shape == (1, 3, *(length // 2 for length in shape))
        assert torch.isfinite(prediction.coordinate).all()


def test_damaged_files_are_refused(written: Path) -> None:
    cut = written.with_name("cut.safetensors")
    cut.write_bytes(written.read_bytes()[:5000])
    with pytest.raises(FusionError, match="cannot be read"):
        load_head_network(cut)
    with pytest.raises(FusionError, match="is missing"):
        load_head_network(written.with_name("none.safetensors"))


@pytest.mark.parametrize("damage", ["lacking", "unknown", "shape", "format", "nan"])
def test_weights_of_another_network_are_refused(written: Path, damage: str) -> None:
    tensors, header = load_file(written), {"format": FORMAT}
    if damage == "lacking":
        del tensors["last.bias"]
    elif damage == "unknown":
        tensors["more"] = torch.zeros(1)
    elif damage == "shape":
        tensors["last.bias"] = torch.zeros(6)
    elif damage == "format":
        header = {}
    else:
        tensors["last.bias"] = tensors["last.bias"] * torch.nan
    other = written.with_name("other.safetensors")
    save_file(tensors, other, header)
    with pytest.raises(FusionError, match="not finite" if damage == "nan" else "another network"):
        load_head_network(other)
