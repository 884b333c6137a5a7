"""Runs the network over a stack of slices, in batches, on the chosen device."""

import contextlib
import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.warp import warp


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes the first CUDA GPU that works, else Apple's, else the CPU.

    Raises:
        FusionError: no such device here, or this PyTorch has no code for it.
    """
    if name == "auto":
        for candidate in ("cuda", "mps"):
            with contextlib.suppress(FusionError):
                return choose_device(candidate)
        return torch.device("cpu")
    try:
        device = torch.device(name)
        # A GPU may be listed and still be of an architecture that this build has no kernels for: ask it to compute.
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise FusionError(f"The device {name!r} cannot be used here; choose another, or 'cpu'.") from error
    return device


class FusedSlices(NamedTuple):
    """What `fuse_slices` found, and how.

    fused: float32 (N, H, W) in [0, 1]. field: float32 (N, 2, H, W) in pixels, the one followed, channel 0 along
    columns: moving sampled at x + field(x) lies on fixed. device: where it ended. remarks: what the user should know
    of the way, a sentence each.
    """

    fused: np.ndarray
    field: np.ndarray
    device: torch.device
    remarks: tuple[str, ...]


@torch.inference_mode()
def fuse_slices(
    network: BSAFusion,
    fixed: np.ndarray,
    moving: np.ndarray,
    batch_size: int | None = None,
    strength: float = 1.0,
    progress: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    device: torch.device | None = None,
) -> FusedSlices:
    """Register and fuse slice pairs on a device.

    Where memory runs out, batches are halved. Where that does not help, or the device fails, the rest goes through the
    network where that was given, on the CPU.

    Args:
        network: in evaluation mode.
        fixed, moving: float32 (N, H, W) in [0, 1]; H and W multiples of 16.
        batch_size: slice pairs at once; None for 4 on the CPU and 16 on a GPU.
        strength: share of the composed field that is followed, 0..1.
        progress: told how many slice pairs are done.
        cancelled: asked between batches.
        device: None for that of the network; on another one works a copy, since a GPU that fails gives nothing back.

    Raises:
        Cancelled: `cancelled` said so.
        FusionError: the network answered with values that are not finite; memory does not do for one slice pair.
    """
    home = next(network.parameters()).device
    device = home if device is None else device
    batch_size = batch_size or _usual_batch(device)
    fused = np.empty(fixed.shape, np.float32)
    field = np.empty((len(fixed), 2, *fixed.shape[1:]), np.float32)
    placed: BSAFusion | None = None
    remarks: dict[str, str] = {}
    start = 0
    while start < len(fixed):
        if cancelled is not None and cancelled():
            raise Cancelled
        chosen = slice(start, start + batch_size)
        try:
            if placed is None:
                placed = network if device == home else copy.deepcopy(network).to(device)
            fused[chosen], field[chosen] = _fuse_batch(placed, fixed[chosen], moving[chosen], strength)
        except RuntimeError as error:  # what torch raises for lack of memory and for a device that fails
            problem = error.with_traceback(None)  # which would keep the batch's tensors in memory
        else:
            if not (np.isfinite(fused[chosen]).all() and np.isfinite(field[chosen]).all()):
                raise FusionError("The network gave values that are not finite; choose other weights.")
            start += batch_size
            if progress is not None:
                progress(min(start, len(fixed)))
            continue
        if _is_lack_of_memory(problem) and batch_size > 1:
            batch_size //= 2
            remarks[f"memory of {device}"] = (
                f"Memory ran out on {device}, so the slices went through the network {batch_size} at a time."
            )
            if device.type == "cuda":
                torch.cuda.empty_cache()
        elif device != home:  # a mistake of ours shows itself there, too
            remarks["device"] = f"{device} failed ({_first_line(problem)}), so the rest ran on the {home.type.upper()}."
            placed, device, batch_size = None, home, _usual_batch(home)
        elif _is_lack_of_memory(problem):
            raise FusionError(
                "The memory does not do for a single pair of slices; close other programs, or choose another device."
            ) from problem
        else:
            raise problem
    return FusedSlices(fused, field, device, tuple(remarks.values()))


def _fuse_batch(
    network: BSAFusion, fixed: np.ndarray, moving: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    device = next(network.parameters()).device
    pair = (torch.from_numpy(slices).to(device, torch.float32)[:, None] for slices in (fixed, moving))
    output = network(*pair, strength=strength)
    return output.fused[:, 0].cpu().numpy(), output.field.cpu().numpy()


def _usual_batch(device: torch.device) -> int:
    return 4 if device.type == "cpu" else 16


def _is_lack_of_memory(error: RuntimeError) -> bool:
    # Only CUDA's has a class of its own; these are Apple's, PyTorch's on the CPU, and oneDNN's.
    signs = "out of memory", "allocate memory", "could not create a primitive"
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)


def _first_line(error: RuntimeError) -> str:
    return str(error).partition("\n")[0].rstrip(".")


@torch.inference_mode()
def warp_slices(images: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Sample images (N, C, H, W) at x + field(x), bilinear, clamped to the border; field (N, 2, H, W) in pixels."""
    return warp(torch.from_numpy(images), torch.from_numpy(field)).numpy()
