"""Lists and chooses the devices that the network can run on."""

import contextlib
from typing import NamedTuple

import torch

from BSAFusionLib.errors import FusionError


class Device(NamedTuple):
    """A device of this machine.

    Attributes:
        name: As `Settings.device` takes it.
        label: For people.
        works: Whether this PyTorch can use it.
    """

    name: str
    label: str
    works: bool


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name, after asking it to compute.

    Args:
        name: As PyTorch names it; "auto" is the first CUDA GPU that works, else Apple's GPU, else the CPU.

    Raises:
        FusionError: There is no such device, or this PyTorch has no code for it.
    """
    if name == "auto":
        for candidate in ("cuda", "mps"):
            with contextlib.suppress(FusionError):
                return choose_device(candidate)
        return torch.device("cpu")
    try:
        device = torch.device(name)
        # A GPU may be listed and still be of an architecture that this build has no kernels for.
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise FusionError(f"The device {name!r} cannot be used on this computer; choose another, or 'cpu'.") from error
    return device


def list_devices() -> list[Device]:
    """List every CUDA GPU, Apple's GPU if there is one, and the CPU; each GPU is asked to compute."""
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        label = f"{properties.name}, {properties.total_memory / 2**30:.0f} GB"
        gpus.append((f"cuda:{index}", label))
    if torch.backends.mps.is_available():
        gpus.append(("mps", "Apple GPU"))
    return [*(Device(name, label, _works(name)) for name, label in gpus), Device("cpu", "CPU", True)]


def _works(name: str) -> bool:
    try:
        choose_device(name)
    except FusionError:
        return False
    return True
