"""Reads and writes the head network's weights: safetensors, half precision."""

from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from BSAFusionLib.errors import FusionError
from BSAFusionLib.head_pose.network import HeadNetwork
from BSAFusionLib.resources import MODELS

SHIPPED_WEIGHTS = MODELS / "head_pose.safetensors"
FORMAT = "head pose 1"


@lru_cache(maxsize=2)
def load_head_network(path: Path = SHIPPED_WEIGHTS) -> HeadNetwork:
    """Load the network, float32, for inference on the CPU.

    Args:
        path: a file that `save_head_network` wrote.

    Raises:
        FusionError: the file is missing, damaged, or of another network.
    """
    if not path.is_file():
        raise FusionError(f"The weights file {path} is missing; install the extension again.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise FusionError(f"The weights file {path} cannot be read ({error}); install the extension again.") from error
    network = HeadNetwork()
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if header.get("format") != FORMAT or {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected:
        raise FusionError(f"The weights file {path} belongs to another network; install the extension again.")
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise FusionError(f"The weights file {path} holds values that are not finite; install the extension again.")
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def save_head_network(path: Path, network: HeadNetwork, details: dict[str, str] | None = None) -> None:
    """Write the weights in half precision, beside the file first and then in its place.

    Args:
        path: the file, `.safetensors`.
        network: the network.
        details: what else its header says, such as the training's steps and hours.
    """
    tensors = {name: tensor.detach().half().contiguous() for name, tensor in network.state_dict().items()}
    unfinished = path.with_suffix(".unfinished")
    save_file(tensors, unfinished, {"format": FORMAT} | (details or {}))
    unfinished.replace(path)
