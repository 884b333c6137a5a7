"""Weights are loaded once, and again when their file has changed."""

from pathlib import Path

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.weights import load_inference_network, save_network


def test_weights_are_loaded_once_and_again_when_their_file_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_network(path, BSAFusion(Metadata(modality="pet")))
    first = load_inference_network(path)
    assert load_inference_network(path) is first
    assert load_inference_network(path, "bfloat16") is not first
    save_network(path, BSAFusion(Metadata(modality="ct")))
    assert load_inference_network(path).metadata.modality == "ct"
