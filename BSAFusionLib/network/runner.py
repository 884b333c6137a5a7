"""Runs the network on stacks of slices, falling back to the CPU when a device fails."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.network.estimate import combine_mirrored
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.stack import Evidence, Stack

CPU_BATCH_PX = 2**20  # slice pixels of a batch on the CPU: sixteen pairs of 256 x 256, shared by its threads
BYTES_PER_PX = 2048  # of a slice pair's feature maps on a GPU, a generous guess from their channels
LARGEST_BATCH = 32

Function = Callable[..., list[torch.Tensor]]  # a network and two batches (n, 1, H, W) to tensors of n rows


class Runner:
    """Runs a network on stacks of slices, in batches, and remembers what happened on the way.

    Where memory runs out, batches are halved. Where that does not help, or the device fails, the rest runs on the
    network's own device, usually the CPU; a copy of the network works on any other, since a GPU that fails gives
    nothing back.

    Attributes:
        device: Where the network runs now.
        remarks: What the user should know about the run, a sentence each.
    """

    def __init__(
        self,
        network: FusionNetwork,
        device: torch.device | None = None,
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare to run a network.

        Args:
            network: In evaluation mode.
            device: Where to run; the network's own by default.
            batch_size: Slice pairs at once. By default 16 of 256 x 256 pixels on the CPU and as many as half of a GPU's
                free memory holds; more where they are smaller, but `LARGEST_BATCH` at most.
            progress: Called after every batch of `register` and `fuse` with the number of slices done and of all.
            cancelled: Asked before every batch; True stops the run.
        """
        self._network, self._home = network, next(network.parameters()).device
        self.device = self._home if device is None else device
        self._batch_size, self._progress, self._cancelled = batch_size, progress, cancelled
        self._placed: FusionNetwork | None = None
        self._memory_limit = LARGEST_BATCH if batch_size is None else batch_size  # pairs at once
        self._remarks: dict[str, str] = {}

    @property
    def remarks(self) -> list[str]:
        """Return what the user should know about the run so far, a sentence each."""
        return list(self._remarks.values())

    def register(self, stacks: Sequence[Stack], mirrored: bool = False) -> list[Evidence]:
        """Estimate the displacement between the filled slice pairs of every stack.

        Args:
            stacks: Slices whose sides are multiples of 16.
            mirrored: Whether to run the mirrored slices as well and combine both estimates.

        Returns:
            The evidence of each stack.

        Raises:
            Cancelled: `cancelled` returned True.
            FusionError: The network gave values that are not finite, or one slice pair needs too much memory.
        """

        def estimate(network: FusionNetwork, *pair: torch.Tensor) -> list[torch.Tensor]:
            straight = network.evidence(*pair)
            if not mirrored:
                return list(straight)
            return list(combine_mirrored(straight, network.evidence(*(slices.flip(-1) for slices in pair))))

        evidence, done, total = [], 0, sum(len(stack.filled) for stack in stacks)
        for stack in stacks:
            estimates = self._run(estimate, stack, self._counter(done, total))
            spread = [np.zeros((len(stack.fixed), *part.shape[1:]), np.float32) for part in estimates]
            for whole, part in zip(spread, estimates, strict=True):
                whole[stack.filled] = part
            evidence.append(Evidence(stack.grid, *spread))
            done += len(stack.filled)
        return evidence

    def agreement(self, stack: Stack) -> np.ndarray:
        """Measure how well the features of each slice pair agree as it lies; see `FusionNetwork.agreement`.

        Returns:
            (slice,), float32; NaN for slices that are not filled.

        Raises:
            Cancelled: `cancelled` returned True.
            FusionError: As `register` does.
        """
        values = np.full(len(stack.fixed), np.nan, np.float32)
        if len(stack.filled) > 0:
            (values[stack.filled],) = self._run(lambda network, *pair: [network.agreement(*pair)], stack)
        return values

    def moving_log_odds(self, stack: Stack) -> np.ndarray:
        """Classify the moving slices of the filled pairs; see `FusionNetwork.moving_log_odds`.

        Returns:
            (filled slice,), float32.

        Raises:
            Cancelled: `cancelled` returned True.
            FusionError: As `register` does.
        """
        if len(stack.filled) == 0:
            return np.empty(0, np.float32)
        (values,) = self._run(lambda network, fixed, moving: [network.moving_log_odds(moving)], stack)
        return values

    def fuse(self, stack: Stack) -> np.ndarray:
        """Fuse slice pairs that are aligned; one that is not filled keeps the larger of its two pixels.

        Returns:
            (slice, row, column), float32 in [0, 1].

        Raises:
            Cancelled: `cancelled` returned True.
            FusionError: As `register` does.
        """
        slices: np.ndarray = np.maximum(stack.fixed, stack.moving)
        if len(stack.filled) > 0:
            counter = self._counter(0, len(stack.filled))
            (slices[stack.filled],) = self._run(lambda network, *pair: [network.fuse(*pair)[:, 0]], stack, counter)
        return slices

    def _counter(self, done_before: int, total: int) -> Callable[[int], None]:
        """Return a function that reports how many slices of one stack are done as part of all stacks."""

        def count(done: int) -> None:
            if self._progress is not None:
                self._progress(done_before + done, total)

        return count

    @torch.inference_mode()
    def _run(self, function: Function, stack: Stack, count: Callable[[int], None] | None = None) -> list[np.ndarray]:
        """Run a function of the network on the filled slice pairs, batch by batch, and join its answers."""
        fixed, moving = stack.filled_pairs()
        answers: list[np.ndarray] = []
        start = 0
        while start < len(fixed):
            if self._cancelled is not None and self._cancelled():
                raise Cancelled
            batch = slice(start, start + self._batch(fixed.shape[-2] * fixed.shape[-1]))
            try:
                answer = self._run_batch(function, fixed[batch], moving[batch])
            except RuntimeError as error:  # what torch raises for lack of memory and for a device that fails
                problem = error.with_traceback(None)  # which would keep the batch's tensors in memory
            else:
                answers = answers or [np.empty((len(fixed), *part.shape[1:]), part.dtype) for part in answer]
                for whole, part in zip(answers, answer, strict=True):
                    whole[batch] = part
                start = min(batch.stop, len(fixed))
                if count is not None:
                    count(start)
                continue
            self._recover(problem, batch.stop - batch.start)
        return answers

    def _run_batch(self, function: Function, *pair: np.ndarray) -> list[np.ndarray]:
        """Run a function of the network on one batch of slices (n, H, W), on the present device."""
        if self._placed is None:
            moves = self.device != self._home
            self._placed = copy.deepcopy(self._network).to(self.device) if moves else self._network
        tensors = (_send(slices, self.device) for slices in pair)
        answer = [part.cpu().numpy() for part in _run_in_threads(partial(function, self._placed), *tensors)]
        if not all(np.isfinite(part).all() for part in answer):
            if self.device != self._home:  # the device may be at fault
                raise RuntimeError("its values are not finite")
            raise FusionError("The network gave values that are not finite; choose other weights.")
        return answer

    def _recover(self, problem: RuntimeError, batch_size: int) -> None:
        """Choose a smaller batch or the fallback device after a batch failed; raise where neither can help."""
        if _is_out_of_memory(problem) and batch_size > 1:
            self._memory_limit = batch_size // 2
            self._remarks[f"memory of {self.device}"] = (
                f"Memory ran out on {self.device}; the slices were processed {self._memory_limit} at a time."
            )
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        elif self.device != self._home:  # a mistake of ours shows itself there, too
            reason = str(problem).partition("\n")[0].rstrip(".")
            self._remarks["device"] = f"{self.device} failed ({reason}); the rest ran on the {self._home.type.upper()}."
            self._placed, self.device, self._memory_limit = None, self._home, LARGEST_BATCH
            self._batch_size = None
        elif _is_out_of_memory(problem):
            raise FusionError(
                "There is not enough memory for a single pair of slices; close other programs or choose another device."
            ) from problem
        else:
            raise problem

    def _batch(self, pixels: int) -> int:
        """Return how many slice pairs of so many pixels each go through at once."""
        return min(self._memory_limit, self._batch_size or default_batch_size(self.device, pixels))


def default_batch_size(device: torch.device, pixels: int) -> int:
    """Return how many slice pairs of so many pixels each a device processes at once."""
    if device.type not in ("cpu", "cuda"):
        return LARGEST_BATCH // 2
    if device.type == "cpu":
        return max(1, min(LARGEST_BATCH, CPU_BATCH_PX // pixels))
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return max(1, min(LARGEST_BATCH, free_bytes // 2 // BYTES_PER_PX // pixels))


def _run_in_threads(function: Callable[..., list[torch.Tensor]], *pair: torch.Tensor) -> list[torch.Tensor]:
    """Run a function on a batch; on the CPU every thread takes some of the pairs.

    The threads then wait for one another once a batch. When they share every operation, most of which take well under
    a millisecond, two are hardly faster than one.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(pair[0])) if pair[0].device.type == "cpu" else 1
    if workers == 1:
        return function(*pair)
    parts = (slices.tensor_split(workers) for slices in pair)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            answers = list(pool.map(torch.inference_mode()(function), *parts))
    finally:
        torch.set_num_threads(threads)  # a thread sets its own number, and that of threads yet to come
    return [torch.cat(part) for part in zip(*answers, strict=True)]


def _send(slices: np.ndarray, device: torch.device) -> torch.Tensor:
    """Send slices (n, H, W) to a device as (n, 1, H, W), to CUDA from pinned memory while it still computes."""
    tensor = torch.from_numpy(slices)[:, None].float()
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _is_out_of_memory(error: RuntimeError) -> bool:
    # Only CUDA's has a class of its own; these are Apple's, PyTorch's on the CPU, oneDNN's and CUDA's libraries'.
    signs = "out of memory", "allocate memory", "could not create a primitive", "ALLOC_FAILED"
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)
