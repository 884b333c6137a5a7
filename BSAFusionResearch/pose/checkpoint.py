"""Read checkpoints of the head network's training."""

from pathlib import Path
from typing import Any

import torch

from BSAFusionLib.errors import FusionError
from BSAFusionLib.head_pose.network import HeadNetwork
from BSAFusionLib.network.weights import load_torch_file

CHECKPOINT_KEYS = {"network", "average", "optimizer", "dice", "step", "seconds"}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of which only tensors and plain values are unpickled.

    Raises:
        FusionError: The file is missing, damaged, or not a checkpoint of the head network's training.
    """
    state = load_torch_file(path)
    if not isinstance(state, dict) or not state.keys() >= CHECKPOINT_KEYS:
        raise FusionError(f"{path} is not a checkpoint of the head network; give the checkpoint.pt of train_pose.")
    return state


def fill(network: HeadNetwork, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Copy tensors of a checkpoint into a network.

    Args:
        network: To fill.
        tensors: By name.
        path: The checkpoint, for the message.

    Raises:
        FusionError: They belong to a network of other layers.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:  # which lists every tensor that is missing or has another shape
        raise FusionError(f"The checkpoint {path} belongs to another network; train the head network again.") from error
