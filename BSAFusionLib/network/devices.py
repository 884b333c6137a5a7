"""The devices that the network can run on here, by name and memory."""

from typing import NamedTuple

import torch

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.inference import choose_device


class Device(NamedTuple):
    """name: as Settings.device takes it. label: what a person knows it by. works: whether this PyTorch can use it."""

    name: str
    label: str
    works: bool


def list_devices() -> list[Device]:
    """Every CUDA GPU, Apple's GPU where there is one, and the CPU; each GPU is asked to compute."""
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        label = f"{properties.name}, {properties.total_memory / 2**30:.0f} GB"
        found.append((f"cuda:{index}", label))
    if torch.backends.mps.is_available():
        found.append(("mps", "Apple GPU"))
    return [*(Device(name, label, _works(name)) for name, label in found), Device("cpu", "CPU", True)]


def _works(name: str) -> bool:
    try:
        choose_device(name)
    except FusionError:
        return False
    return True
