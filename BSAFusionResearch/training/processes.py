"""Makes a run on several processes, as torchrun starts them, learn what it would have learnt on one.

Every process draws the whole batch, from the same seed, and learns from its own rows of it; gradients are their mean.
Where a row alone does not tell (a loss divided by a sum over the batch, dropout), the functions here look at all rows.
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
    """Fabric on all the processes that torchrun started, each with a device of that kind, or on this process alone.

    Raises:
        FusionError: there is no such device, or there are fewer than processes.
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
            raise SystemExit(0) from None  # the first process here says it
        raise FusionError(
            f"This machine has no {device} device for every process (there are {here}); choose another --device, "
            "or start fewer processes."
        ) from error
    fabric.launch()
    return fabric


def several() -> bool:
    """Whether this is one of several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def own_rows(batch: torch.Tensor) -> torch.Tensor:
    """This process's rows of a batch (N, ...) that each has whole; N is a multiple of the number of processes."""
    return batch.chunk(dist.get_world_size())[dist.get_rank()] if several() else batch


def over_all_rows(total: torch.Tensor, least: float = 0.0) -> torch.Tensor:
    """A sum over this process's rows to that over all rows, at least `least`, divided by the number of processes.

    A loss divided by it, and not by the own sum, is in its mean over processes the loss of the whole batch. No gradient
    goes through it.
    """
    if not several():
        return total.clamp(min=least)
    total = total.detach().clone()
    dist.all_reduce(total)
    return total.clamp(min=least) / dist.get_world_size()


def true_everywhere(statement: torch.Tensor) -> bool:
    """Whether a boolean scalar is true on every process, so that all of them do the same about it."""
    if not several():
        return bool(statement)
    worst = statement.to(torch.uint8)
    dist.all_reduce(worst, dist.ReduceOp.MIN)
    return bool(worst)


def same_dropout(rows: int) -> AbstractContextManager:
    """Within it, attention drops of each process's `rows` what one process would have dropped of them."""
    return _WholeBatchAttention(rows) if several() else nullcontext()


class _WholeBatchAttention(TorchFunctionMode):
    """Attention with dropout sees a batch as long as the whole one, so that as many numbers are drawn for it."""

    def __init__(self, rows: int):
        super().__init__()
        self.rows, self.rank, self.processes = rows, dist.get_rank(), dist.get_world_size()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or not kwargs.get("dropout_p"):
            return func(*args, **kwargs)

        def widened(tokens: torch.Tensor) -> torch.Tensor:
            # The rows of the fixed slices may be followed by those of the moving ones.
            own = tokens.unflatten(0, (-1, 1, self.rows))
            return own.expand(-1, self.processes, *own.shape[2:]).flatten(0, 2)

        mixed = func(*map(widened, args), **kwargs)
        return mixed.unflatten(0, (-1, self.processes, self.rows))[:, self.rank].flatten(0, 1)


@contextmanager
def all_or_none() -> Iterator[None]:
    """What one process cannot do within it, none does; each raises the first one's FusionError."""
    said = None
    try:
        yield
    except FusionError as error:
        if not several():
            raise
        said = str(error)
    if several():
        sentences: list[str | None] = [None] * dist.get_world_size()
        dist.all_gather_object(sentences, said)
        for sentence in filter(None, sentences):
            raise FusionError(sentence)


@contextmanager
def one_speaks(fabric: Fabric) -> Iterator[None]:
    """Within it, what ends all processes is said once, by the first of them; the others leave without a word.

    Raises:
        FusionError: on the first process, also where another one was lost.
        SystemExit: on the others, without an error, so that torchrun lets the first one finish its sentence.
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
            error = FusionError("Another process of this run has ended, and so this one cannot go on.")
        if fabric.is_global_zero:
            raise error from None
        raise SystemExit(0) from None
