"""Where cases are computed: processes of this machine, or the workers of a Dask cluster, by the same code."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import dask
import psutil
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, SpecCluster, as_completed
from distributed.system import MEMORY_LIMIT

from BSAFusionLib.errors import FusionError

case_memory = 3 * 2**30  # bytes that a case may take
case_gpu_memory = 4 * 2**30  # bytes of a GPU; a cautious guess
here = "127.0.0.1"  # the processes of this machine listen to it alone
gpu = "GPU"  # the resource that workers with a GPU declare (`dask worker --resources GPU=1`)


def fitting_workers(cases: int, cores: int, memory: int, gpu_memories: Sequence[int] = ()) -> int:
    """How many processes fit: one a core, as long as each has a case's memory here and on its GPU; at least one.

    memory, gpu_memories: bytes, of this machine and of each of its GPUs.
    """
    on_gpus = [len(gpu_memories) * (min(gpu_memories) // case_gpu_memory)] if gpu_memories else []
    return max(1, min(cases, cores, memory // case_memory, *on_gpus))


class PatientNanny(Nanny):
    """A nanny that gives its process a minute to end; five seconds are too short on a busy machine."""

    async def close(  # type: ignore[override]
        self, timeout: float = 60, reason: str = "nanny-close"
    ) -> Literal["OK"]:
        return await super().close(timeout, reason)


@contextmanager
def connected(
    scheduler: str | None, workers: int | None, cases: int, gpu_memories: Sequence[int] = ()
) -> Iterator[Client]:
    """A client of the cluster at that address, or of one made of this machine's processes for as long as it is used.

    workers: of this machine; None lets cores and memory decide. gpu_memories: bytes of each of its GPUs, which its
    processes take turns at. FusionError where no scheduler answers.
    """
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError, TimeoutError) as error:
            raise FusionError(f"No Dask scheduler answers at {scheduler}; see that it runs.") from error
        with client:
            yield client
        return
    memory = min(MEMORY_LIMIT, psutil.virtual_memory().available)
    count = workers or fitting_workers(cases, CPU_COUNT, memory, gpu_memories)
    # What a case leaves behind in memory must not stop its worker from taking the next; the limit itself holds. A case
    # that costs its worker's life is tried once more.
    limits: dict[str, Any] = {f"distributed.worker.memory.{level}": False for level in ("target", "spill", "pause")}
    limits["distributed.scheduler.allowed-failures"] = 1
    with dask.config.set(limits), _local_cluster(count, len(gpu_memories)) as cluster, Client(cluster) as client:
        yield client


def run_all(
    client: Client, function: Callable[..., Any], calls: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[str, Any]]:
    """Call the function once for each name, with its arguments; yield names and outcomes as they come.

    An outcome is what the function returned, or the exception that it raised or that befell its worker more often than
    the cluster allows. Where workers declare the resource GPU, each call takes one.
    """
    declared = (worker.get("resources", {}) for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    resources = {gpu: 1} if any(gpu in resources for resources in declared) else None
    futures = {
        client.submit(function, *arguments, key=f"case-{name}", pure=False, resources=resources): name
        for name, arguments in calls.items()
    }
    try:
        for future in as_completed(futures):
            error = future.exception()
            yield futures[future], error if error is not None else future.result()
            future.release()
    finally:
        client.cancel(list(futures), force=True)


def _local_cluster(count: int, gpus: int) -> SpecCluster:
    def worker(number: int) -> dict[str, Any]:
        # One thread a case: sums are then taken in one order, so that a case comes out the same wherever it is run.
        options: dict[str, Any] = {"nthreads": 1, "memory_limit": MEMORY_LIMIT // count, "env": {}, "host": here}
        if gpus:
            options.update(resources={gpu: 1}, env={"CUDA_VISIBLE_DEVICES": _visible_gpus(gpus)[number % gpus]})
        return {"cls": PatientNanny, "options": {"silence_logs": logging.ERROR, **options}}

    web = {"dashboard": False, "dashboard_address": f"{here}:0"}
    scheduler = {"cls": Scheduler, "options": {"host": here, "port": 0, **web}}
    return SpecCluster({number: worker(number) for number in range(count)}, scheduler, silence_logs=logging.ERROR)


def _visible_gpus(count: int) -> list[str]:
    """What CUDA calls each of this process's GPUs."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(count)]
