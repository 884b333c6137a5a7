"""Runs the network over a stack of slices, in batches, on the chosen device."""

import contextlib
import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.bsfa import Evidence
from BSAFusionLib.network.warp import warp

pixels_at_once = 2**19  # of the slice pairs on the CPU: eight of 256 x 256, shared by its threads
bytes_a_pixel = 2048  # of a slice pair's maps at once, a generous guess from their channels


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


class RegisteredSlices(NamedTuple):
    """What `register_slices` found, and how.

    mean: float32 (N, 2, h, w), what each position of a grid over the slices tells of the displacement fixed -> moving,
    in pixels, channel 0 along columns. precision: float32 (N, 3, h, w), its inverse covariance (xx, yy, xy) in
    1 / pixels^2. device: where it ended. remarks: what the user should know of the way, a sentence each.
    """

    mean: np.ndarray
    precision: np.ndarray
    device: torch.device
    remarks: tuple[str, ...]


class FusedSlices(NamedTuple):
    """What `fuse_slices` made, float32 (N, H, W) in [0, 1], and how; device and remarks as in `RegisteredSlices`."""

    fused: np.ndarray
    device: torch.device
    remarks: tuple[str, ...]


class ComparedSlices(NamedTuple):
    """What `compare_slices` found, float32 (N,), as `BSAFusion.agreement`, and how; as in `RegisteredSlices`."""

    agreement: np.ndarray
    device: torch.device
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Running:
    """How slices go through a network.

    network: in evaluation mode. batch_size: slice pairs at once; None for 8 of 256 x 256 pixels on the CPU and for as
    many as half of its free memory holds on a GPU, more where they are smaller, but 32 at most. progress: told how
    many slice pairs are done. cancelled: asked between batches. device: None for that of the network; on another one
    works a copy, since a GPU that fails gives nothing back.

    Where memory runs out, batches are halved. Where that does not help, or the device fails, the rest goes through the
    network where that was given, on the CPU.
    """

    network: BSAFusion
    batch_size: int | None = None
    progress: Callable[[int], None] | None = None
    cancelled: Callable[[], bool] | None = None
    device: torch.device | None = None


def register_slices(
    fixed: np.ndarray, moving: np.ndarray, running: Running, mirrored: bool = False
) -> RegisteredSlices:
    """Register slice pairs, float32 (N, H, W) in [0, 1], H and W multiples of 16; `mirrored`: also their mirror images.

    Raises:
        Cancelled: `cancelled` said so.
        FusionError: the network answered with values that are not finite; memory does not do for one slice pair.
    """

    def told(network: BSAFusion, *pair: torch.Tensor) -> list[torch.Tensor]:
        straight = network.told(*pair)
        return list(joined(straight, network.told(*(each.flip(-1) for each in pair))) if mirrored else straight)

    (mean, precision), device, remarks = _run(told, fixed, moving, running)
    return RegisteredSlices(mean, precision, device, remarks)


def joined(straight: Evidence, mirrored: Evidence) -> Evidence:
    """What slices and their mirror images tell together; neither tells much that is new, so precisions are averaged."""
    sides = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0], device=straight.mean.device)[:, None, None]
    mean = mirrored.mean.flip(-1) * sides[:2]
    precision = mirrored.precision.flip(-1) * sides[2:]
    total = (straight.precision + precision) / 2
    told = (weighted(straight.precision, straight.mean) + weighted(precision, mean)) / 2
    xx, yy, xy = total.unbind(1)
    inverse = torch.stack([yy, xx, -xy], dim=1) / (xx * yy - xy.square())[:, None]
    return Evidence(weighted(inverse, told), total)


def weighted(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Symmetric matrices (N, 3, h, w), xx, yy, xy, times vectors (N, 2, h, w)."""
    (xx, yy, xy), (x, y) = matrix.unbind(1), vector.unbind(1)
    return torch.stack([xx * x + xy * y, xy * x + yy * y], dim=1)


def fuse_slices(fixed: np.ndarray, registered: np.ndarray, running: Running) -> FusedSlices:
    """Fuse slice pairs that lie on each other, float32 (N, H, W) in [0, 1], H and W multiples of 16.

    Raises as `register_slices` does.
    """

    def fused(network: BSAFusion, *pair: torch.Tensor) -> list[torch.Tensor]:
        return [network.fuse(*pair)[:, 0]]

    (slices,), device, remarks = _run(fused, fixed, registered, running)
    return FusedSlices(slices, device, remarks)


def compare_slices(fixed: np.ndarray, moving: np.ndarray, running: Running) -> ComparedSlices:
    """How well the network's features of slice pairs, as in `register_slices`, agree as they lie.

    Raises as `register_slices` does.
    """

    def agreement(network: BSAFusion, *pair: torch.Tensor) -> list[torch.Tensor]:
        return [network.agreement(*pair)]

    (values,), device, remarks = _run(agreement, fixed, moving, running)
    return ComparedSlices(values, device, remarks)


@torch.inference_mode()
def _run(
    function: Callable[..., list[torch.Tensor]], fixed: np.ndarray, moving: np.ndarray, running: Running
) -> tuple[list[np.ndarray], torch.device, tuple[str, ...]]:
    """What `function` makes of a network and the slice pairs (n, 1, H, W), joined; where it ended, and remarks."""
    home = next(running.network.parameters()).device
    device = home if running.device is None else running.device
    pixels = fixed.shape[-2] * fixed.shape[-1]
    batch_size = running.batch_size or _usual_batch(device, pixels)
    answers: list[np.ndarray] = []
    placed: BSAFusion | None = None
    remarks: dict[str, str] = {}
    start = 0
    while start < len(fixed):
        if running.cancelled is not None and running.cancelled():
            raise Cancelled
        chosen = slice(start, start + batch_size)
        try:
            if placed is None:
                placed = running.network if device == home else copy.deepcopy(running.network).to(device)
            pair = (_sent(slices[chosen], device) for slices in (fixed, moving))
            answer = [each.cpu().numpy() for each in _by_threads(partial(function, placed), *pair)]
        except RuntimeError as error:  # what torch raises for lack of memory and for a device that fails
            problem = error.with_traceback(None)  # which would keep the batch's tensors in memory
        else:
            if not all(np.isfinite(each).all() for each in answer):
                raise FusionError("The network gave values that are not finite; choose other weights.")
            if not answers:
                answers = [np.empty((len(fixed), *each.shape[1:]), each.dtype) for each in answer]
            for whole, part in zip(answers, answer, strict=True):
                whole[chosen] = part
            start += batch_size
            if running.progress is not None:
                running.progress(min(start, len(fixed)))
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
            placed, device, batch_size = None, home, _usual_batch(home, pixels)
        elif _is_lack_of_memory(problem):
            raise FusionError(
                "The memory does not do for a single pair of slices; close other programs, or choose another device."
            ) from problem
        else:
            raise problem
    return answers, device, tuple(remarks.values())


def _by_threads(function: Callable[..., list[torch.Tensor]], *pair: torch.Tensor) -> list[torch.Tensor]:
    """What `function` makes of a batch; on the CPU every thread takes some of the pairs.

    They so wait for one another once a batch. When they share every operation, most of which take well under a
    millisecond, two are hardly faster than one.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(pair[0])) if pair[0].device.type == "cpu" else 1
    if workers == 1:
        return function(*pair)
    parts = (each.tensor_split(workers) for each in pair)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            answers = list(pool.map(torch.inference_mode(function), *parts))
    finally:
        torch.set_num_threads(threads)  # a thread sets its own number, and that of threads yet to come
    return [torch.cat(each) for each in zip(*answers, strict=True)]


def _sent(slices: np.ndarray, device: torch.device) -> torch.Tensor:
    """(n, H, W) to (n, 1, H, W) on the device; to CUDA from pinned memory, while the device still does the last."""
    there = torch.from_numpy(slices)[:, None].float()
    return there.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else there.to(device)


def _usual_batch(device: torch.device, pixels: int) -> int:
    if device.type not in ("cpu", "cuda"):
        return 16
    held = pixels_at_once if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 2 // bytes_a_pixel
    return max(1, min(32, held // pixels))


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
