"""A worker loads weights once, and anew when their file has changed."""

from pathlib import Path

from BSAFusionLib.network.bsafusion import BSAFusion, Metadata
from BSAFusionLib.network.checkpoints import kept_network, save_network


def test_weights_are_loaded_once_and_anew_when_their_file_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_network(path, BSAFusion(Metadata(modality="pet")))
    first = kept_network(path)
    assert kept_network(path) is first
    assert kept_network(path, "bfloat16") is not first
    save_network(path, BSAFusion(Metadata(modality="ct")))
    assert kept_network(path).metadata.modality == "ct"
