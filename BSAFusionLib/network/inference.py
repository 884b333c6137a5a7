"""Runs the network over a stack of slices, in batches, on the chosen device."""

import contextlib
from collections.abc import Callable

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


@torch.inference_mode()
def fuse_slices(
    network: BSAFusion,
    fixed: np.ndarray,
    moving: np.ndarray,
    batch_size: int | None = None,
    strength: float = 1.0,
    progress: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Register and fuse slice pairs on the device that the network is on.

    Args:
        network: in evaluation mode.
        fixed, moving: float32 (N, H, W) in [0, 1]; H and W multiples of 16.
        batch_size: slice pairs at once; None for 4 on the CPU and 16 on a GPU.
        strength: share of the composed field that is followed, 0..1.
        progress: told how many slice pairs are done.
        cancelled: asked between batches.

    Returns:
        The fused slices, float32 (N, H, W) in [0, 1], and the field followed, float32 (N, 2, H, W) in pixels,
        channel 0 along columns: moving sampled at x + field(x) lies on fixed.

    Raises:
        Cancelled: `cancelled` said so.
        FusionError: the network answered with values that are not finite.
    """
    device = next(network.parameters()).device
    batch_size = batch_size or (4 if device.type == "cpu" else 16)
    fused = np.empty(fixed.shape, np.float32)
    field = np.empty((len(fixed), 2, *fixed.shape[1:]), np.float32)
    for start in range(0, len(fixed), batch_size):
        if cancelled is not None and cancelled():
            raise Cancelled
        chosen = slice(start, start + batch_size)
        pair = (torch.from_numpy(slices[chosen]).to(device, torch.float32)[:, None] for slices in (fixed, moving))
        output = network(*pair, strength=strength)
        fused[chosen] = output.fused[:, 0].cpu().numpy()
        field[chosen] = output.field.cpu().numpy()
        if not (np.isfinite(fused[chosen]).all() and np.isfinite(field[chosen]).all()):
            raise FusionError("The network gave values that are not finite; choose other weights or run on the CPU.")
        if progress is not None:
            progress(min(start + batch_size, len(fixed)))
    return fused, field


@torch.inference_mode()
def warp_slices(images: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Sample images (N, C, H, W) at x + field(x), bilinear, clamped to the border; field (N, 2, H, W) in pixels."""
    return warp(torch.from_numpy(images), torch.from_numpy(field)).numpy()
