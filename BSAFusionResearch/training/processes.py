"""Make a run on several processes, as torchrun starts them, learn the same as on one.

Every process draws the whole batch, from the same seed, and learns from its own rows of it; gradients are averaged.
Where a row is not enough (a loss divided by a sum over the batch, dropout), the functions here look at all rows.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.distributed as dist
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch.overrides import TorchFunctionMode

from BSAFusionLib.errors import FusionError


def launched_fabric(device: str) -> Fabric:
    """Start Fabric on all processes of torchrun, each with a device of its own, or on this process alone.

    Args:
        device: The kind of device: "auto", "cpu", "cuda" or "mps".

    Raises:
        FusionError: There are fewer such devices than processes.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # every process would announce itself
    everywhere, here = 1, 1
    if dist.is_available() and dist.is_torchelastic_launched():
        everywhere, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    # Each part of the training leaves the other part's parameters alone, which DDP must expect.
    strategy = DDPStrategy(find_unused_parameters=True) if everywhere > 1 else "auto"
    try:
        fabric = Fabric(accelerator=device, devices=here, num_nodes=everywhere // here, strategy=strategy)
    except (RuntimeError, ValueError) as error:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            raise SystemExit(0) from None  # the first process here reports it
        raise FusionError(
            f"This machine has no {device} device for every process (there are {here}); choose another --device, "
            "or start fewer processes."
        ) from error
    fabric.launch()
    return fabric


def several() -> bool:
    """Return whether this is one of several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def own_rows(batch: torch.Tensor) -> torch.Tensor:
    """Return this process's rows of a batch (N, ...) that every process has; N is a multiple of their number."""
    return batch.chunk(dist.get_world_size())[dist.get_rank()] if several() else batch


def over_all_rows(total: torch.Tensor, least: float = 0.0) -> torch.Tensor:
    """Return the sum over all processes' rows divided by the number of processes; no gradient flows through it.

    The mean over processes of a loss divided by it is the loss of the whole batch.

    Args:
        total: The sum over this process's rows, a scalar.
        least: Lower bound of the sum over all rows.
    """
    if not several():
        return total.clamp(min=least)
    total = total.detach().clone()
    dist.all_reduce(total)
    return total.clamp(min=least) / dist.get_world_size()


def true_everywhere(statement: torch.Tensor) -> bool:
    """Return whether a boolean scalar is true on every process, so that all of them act alike."""
    if not several():
        return bool(statement)
    worst = statement.to(torch.uint8)
    dist.all_reduce(worst, dist.ReduceOp.MIN)
    return bool(worst)


def same_dropout(rows: int) -> AbstractContextManager:
    """Return a context in which attention drops of each process's `rows` what one process would have dropped."""
    return _WholeBatchAttention(rows) if several() else nullcontext()


class _WholeBatchAttention(TorchFunctionMode):
    """Widens attention with dropout to the length of the whole batch, so that as many numbers are drawn for it."""

    def __init__(self, rows: int):
        super().__init__()
        self.rows, self.rank, self.processes = rows, dist.get_rank(), dist.get_world_size()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or not kwargs.get("dropout_p"):
            return func(*args, **kwargs)

        def widened(tokens: torch.Tensor) -> torch.Tensor:
            # The rows of the moving slices may follow those of the fixed ones.
            own = tokens.unflatten(0, (-1, 1, self.rows))
            return own.expand(-1, self.processes, *own.shape[2:]).flatten(0, 2)

        attended = func(*map(widened, args), **kwargs)
        return attended.unflatten(0, (-1, self.processes, self.rows))[:, self.rank].flatten(0, 1)


@contextmanager
def all_or_none() -> Iterator[None]:
    """Let every process raise the FusionError that the first of them met inside this context."""
    message = None
    try:
        yield
    except FusionError as error:
        if not several():
            raise
        message = str(error)
    if several():
        messages: list[str | None] = [None] * dist.get_world_size()
        dist.all_gather_object(messages, message)
        for first in filter(None, messages):
            raise FusionError(first)


@contextmanager
def errors_once(fabric: Fabric) -> Iterator[None]:
    """Report an error that ends all processes once, on the first of them.

    Raises:
        FusionError: On the first process, also where another one was lost.
        SystemExit: On the others, with exit code 0, so that torchrun lets the first one finish its message.
    """
    try:
        yield
    except (FusionError, RuntimeError) as error:
        if not several():
            raise
        if not isinstance(error, FusionError):
            # Gloo has no exception of its own.
            if not isinstance(error, dist.DistError) and "gloo" not in str(error):
                raise
            error = FusionError("Another process of this run has ended; fix its error above, and --resume the run.")
        if fabric.is_global_zero:
            raise error from None
        raise SystemExit(0) from None
