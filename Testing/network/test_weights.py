"""Weights files are read completely and exactly, or rejected with a message that names the problem."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.metadata import DEEP, LIGHT, Metadata
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.published.key_names import released_name
from BSAFusionLib.network.weights import load_network, save_network
from BSAFusionLib.network.weights_file import sha256
from Testing.released import to_released

shared_layout = "parity/state_dict.json"


@pytest.fixture(scope="module")
def ours() -> BSAFusion:
    torch.manual_seed(1)
    return BSAFusion(Metadata("exact", "pet", 256)).eval()


@pytest.fixture(scope="module")
def released() -> dict:
    torch.manual_seed(2)
    return to_released(PublishedBSAFusion())


def same(network: FusionNetwork, other: FusionNetwork) -> bool:
    own, others = network.state_dict(), other.state_dict()
    return own.keys() == others.keys() and all(torch.equal(own[name], others[name]) for name in own)


def test_our_file_brings_back_weights_and_metadata(ours, tmp_path):
    save_network(tmp_path / "pet.safetensors", ours, torch.float32)
    loaded = load_network(tmp_path / "pet.safetensors")
    assert same(loaded, ours)
    assert loaded.metadata == Metadata("exact", "pet", 256)
    assert not loaded.training


def test_a_file_brings_back_its_fusion(tmp_path):
    light = BSAFusion(Metadata(modality="ct", fusion=LIGHT))
    save_network(tmp_path / "ct.safetensors", light, torch.float32)
    assert load_network(tmp_path / "ct.safetensors").metadata.fusion == LIGHT
    assert same(load_network(tmp_path / "ct.safetensors"), light)


def test_a_file_of_an_earlier_version_names_no_fusion_and_has_the_deep_one(ours, tmp_path):
    header = {"convention": "exact", "modality": "pet", "size": "256"}
    (tmp_path / "pet.safetensors").write_bytes(save(ours.state_dict(), header))
    assert load_network(tmp_path / "pet.safetensors").metadata.fusion == DEEP


def test_shipped_files_are_half_the_size_and_still_load(ours, tmp_path):
    save_network(tmp_path / "half.safetensors", ours)
    assert (tmp_path / "half.safetensors").stat().st_size < 2.1 * sum(p.numel() for p in ours.parameters())
    assert load_network(tmp_path / "half.safetensors").state_dict()["mmff.blocks.0.entry.weight"].dtype == torch.float32


def test_every_tensor_of_the_released_layout_has_its_place(shared):
    layout = json.loads((shared / shared_layout).read_text())
    expected = {f"{section}.{key}": tuple(shape) for section, keys in layout.items() for key, shape in keys}
    own = PublishedBSAFusion().state_dict()
    assert {released_name(name): tuple(tensor.shape) for name, tensor in own.items()} == expected


def test_a_released_checkpoint_loads_whole_and_in_parts(released, tmp_path):
    path = tmp_path / "BSAFusion_PET.pkl"
    torch.save(released, path)
    whole = load_network(path)
    content = path.read_bytes()
    path.unlink()
    half = len(content) // 2
    (tmp_path / "BSAFusion_PET.pklaa").write_bytes(content[:half])
    (tmp_path / "BSAFusion_PET.pklab").write_bytes(content[half:])
    assert same(load_network(tmp_path / "BSAFusion_PET.pklaa"), whole)
    assert same(load_network(path), whole)
    (tmp_path / "BSAFusion_PET.pklab").unlink()
    with pytest.raises(FusionError, match="cut short"):
        load_network(tmp_path / "BSAFusion_PET.pklaa")


def damaged(sections: dict, change) -> dict:
    copy = {section: dict(tensors) for section, tensors in sections.items()}
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("reg_net_state_dict"), "reg_net_state_dict"),
        (lambda s: s["encoder_state_dict"].pop("rb1.mlp.weight"), "rb1.mlp.weight"),
        (lambda s: s["encoder_state_dict"].update({"rb1.mlp.weight": torch.zeros(3)}), "rb1.mlp.weight"),
        (lambda s: s["encoder_state_dict"].update({"rb1.mlp.bias": "text"}), "rb1.mlp.bias"),
        (lambda s: s["fusion_net_state_dict"].update({"F9.mlp.bias": torch.zeros(1)}), "F9.mlp.bias"),
        (lambda s: s["encoder_state_dict"].update({"rb1.mlp.bias": torch.full((8,), torch.nan)}), "rb1.mlp.bias"),
    ],
)
def test_a_released_checkpoint_with_a_wrong_tensor_is_rejected_by_its_name(released, tmp_path, change, named):
    torch.save(damaged(released, change), tmp_path / "wrong.pkl")
    with pytest.raises(FusionError, match=named):
        load_network(tmp_path / "wrong.pkl")


def test_our_file_with_a_wrong_tensor_is_rejected_by_its_name(ours, tmp_path):
    header = {"convention": "exact", "modality": "pet", "size": "256"}
    tensors = {name: tensor.contiguous() for name, tensor in ours.state_dict().items()}
    wrong = tensors | {"mmff.blocks.0.entry.weight": torch.zeros(2, 2)}
    save_file(wrong, tmp_path / "wrong.safetensors", header)
    with pytest.raises(FusionError, match=r"mmff\.blocks\.0\.entry\.weight"):
        load_network(tmp_path / "wrong.safetensors")
    save_file(tensors, tmp_path / "nameless.safetensors")
    with pytest.raises(FusionError, match="does not say"):
        load_network(tmp_path / "nameless.safetensors")


def test_a_file_that_is_cut_short_or_neither_kind_is_rejected(ours, released, tmp_path):
    save_network(tmp_path / "a.safetensors", ours)
    torch.save(released, tmp_path / "b.pkl")
    for name in ("a.safetensors", "b.pkl"):
        content = (tmp_path / name).read_bytes()
        for length in (0, 9, 1000, len(content) // 2, len(content) - 1):
            cut = tmp_path / f"cut-{name}"
            cut.write_bytes(content[:length])
            with pytest.raises(FusionError, match=r"cut-.*(cut short|get the file again|choose another)"):
                load_network(cut)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n" + bytes(100))
    with pytest.raises(FusionError, match="neither"):
        load_network(tmp_path / "picture.png")
    with pytest.raises(FusionError, match="no weights file"):
        load_network(tmp_path / "absent.safetensors")


class Planted:
    """A malicious pickle, which here leaves a file behind when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_never_run(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"encoder_state_dict": Planted(trace)}, tmp_path / "zip.pkl")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Planted(trace)))
    for name in ("zip.pkl", "plain.pkl"):
        with pytest.raises(FusionError):
            load_network(tmp_path / name)
    assert not trace.exists()
    pickle.loads((tmp_path / "plain.pkl").read_bytes())
    assert trace.exists()


def test_a_file_that_differs_from_its_card_is_rejected(ours, tmp_path):
    path = tmp_path / "ct.safetensors"
    save_network(path, ours)
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256(path.read_bytes())}))
    load_network(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FusionError, match="card"):
        load_network(path)
