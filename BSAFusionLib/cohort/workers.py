"""Run cases in processes of this machine or on the workers of a Dask cluster."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from uuid import uuid4

import dask
import psutil
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, SpecCluster, as_completed
from distributed.system import MEMORY_LIMIT

from BSAFusionLib.cohort.capacity import fitting_workers
from BSAFusionLib.errors import FusionError

LOCAL_HOST = "127.0.0.1"  # the only address that this machine's processes listen on
# A worker that ends while it reports to the scheduler logs an error with a traceback, although nothing is wrong; a case
# that failed and a worker that died are outcomes.
LOG_LEVEL = logging.CRITICAL
GPU_RESOURCE = "GPU"  # the resource that workers with a GPU declare (`dask worker --resources GPU=1`)


class PatientNanny(Nanny):
    """A nanny that gives its process a minute to end, since five seconds are too short on a busy machine."""

    async def close(  # type: ignore[override]
        self, timeout: float = 60, reason: str = "nanny-close"
    ) -> Literal["OK"]:
        """End the process, waiting up to `timeout` seconds."""
        return await super().close(timeout, reason)


@contextmanager
def connected(
    scheduler: str | None, workers: int | None, cases: int, gpu_memories: Sequence[int] = (), threads: int = 1
) -> Iterator[Client]:
    """Yield a client of a cluster, or of processes that this machine runs for the `with` block.

    Args:
        scheduler: Address of a cluster's scheduler; None for this machine.
        workers: Number of processes on this machine; None to choose by cores and memory.
        cases: Number of cases.
        gpu_memories: Memory of each GPU of this machine, bytes; the processes are spread over them.
        threads: Threads of a case.

    Raises:
        FusionError: No scheduler answers, or TLS certificates are missing.
    """
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError, TimeoutError) as error:
            raise FusionError(f"No Dask scheduler answers at {scheduler}; check that it is running.") from error
        except TypeError as error:  # without an SSL context
            raise FusionError(
                f"The scheduler {scheduler} needs TLS certificates; name them in Dask's configuration, under "
                "distributed.comm.tls."
            ) from error
        with client:
            yield client
        return
    memory = min(MEMORY_LIMIT, psutil.virtual_memory().available)
    count = workers or fitting_workers(cases, max(1, CPU_COUNT // threads), memory, gpu_memories)
    # Memory that a case leaves behind must not keep its worker from the next one; the limit itself stays. A case whose
    # worker dies is tried once more.
    limits: dict[str, Any] = {f"distributed.worker.memory.{level}": False for level in ("target", "spill", "pause")}
    limits["distributed.scheduler.allowed-failures"] = 1
    with dask.config.set(limits), _local_cluster(count, len(gpu_memories)) as cluster, Client(cluster) as client:
        yield client


def run_all(
    client: Client, function: Callable[..., Any], calls: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[str, Any]]:
    """Call a function on the workers and yield outcomes as they arrive.

    Where workers declare the resource GPU, each call takes one.

    Args:
        client: The cluster.
        function: The function.
        calls: Its arguments, by a name for each call.

    Yields:
        The name, and the function's result or the exception that it raised or that ended its worker.
    """
    declared = (worker.get("resources", {}) for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    resources = {GPU_RESOURCE: 1} if any(GPU_RESOURCE in resources for resources in declared) else None
    run = uuid4().hex  # Dask takes calls of equal keys for one, also those of two batches
    futures = {
        client.submit(function, *arguments, key=f"case-{name}-{run}", pure=False, resources=resources): name
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
        # One thread per case fixes the order of sums, so that a case has the same result everywhere.
        options: dict[str, Any] = {"nthreads": 1, "memory_limit": MEMORY_LIMIT // count, "env": {}, "host": LOCAL_HOST}
        if gpus:
            options.update(
                resources={GPU_RESOURCE: 1}, env={"CUDA_VISIBLE_DEVICES": _visible_gpus(gpus)[number % gpus]}
            )
        return {"cls": PatientNanny, "options": {"silence_logs": LOG_LEVEL, **options}}

    web = {"dashboard": False, "dashboard_address": f"{LOCAL_HOST}:0"}
    scheduler = {"cls": Scheduler, "options": {"host": LOCAL_HOST, "port": 0, **web}}
    return SpecCluster({number: worker(number) for number in range(count)}, scheduler, silence_logs=LOG_LEVEL)


def _visible_gpus(count: int) -> list[str]:
    """Return CUDA's names of this process's GPUs."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names.split(",") if names else [str(number) for number in range(count)]
