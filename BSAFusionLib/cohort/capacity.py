"""Choose how many cases run at a time on this machine."""

import os
from collections.abc import Sequence

from BSAFusionLib.pipeline.memory_limits import free_memory

CASE_MEMORY_BYTES = 3 * 2**30
CASE_GPU_MEMORY_BYTES = 4 * 2**30  # a cautious guess


def fitting_workers(cases: int, cores: int, memory: int, gpu_memories: Sequence[int] = ()) -> int:
    """Return the number of processes that fit on this machine.

    Args:
        cases: Number of cases.
        cores: Number of processor cores; a process uses one.
        memory: Free memory, bytes.
        gpu_memories: Memory of each GPU, bytes.

    Returns:
        At least one.
    """
    on_gpus = [len(gpu_memories) * (min(gpu_memories) // CASE_GPU_MEMORY_BYTES)] if gpu_memories else []
    return max(1, min(cases, cores, memory // CASE_MEMORY_BYTES, *on_gpus))


def processes_without_dask(cases: int, threads: int, gpu_memories: Sequence[int] = ()) -> int:
    """Return the number of processes that fit the cores and memory that this process may use.

    Args:
        cases: Number of cases.
        threads: Threads of a case.
        gpu_memories: Memory of each GPU, bytes; every process takes the first one.

    Returns:
        At least one.
    """
    cores, memory = usable_cores(), free_memory()
    if memory is None:  # not Linux: leave half of the cores
        return fitting_workers(cases, cores // 2 // threads, cases * CASE_MEMORY_BYTES, gpu_memories[:1])
    return fitting_workers(cases, cores // threads, int(memory.free_bytes), gpu_memories[:1])


def usable_cores() -> int:
    """Return the number of processor cores that this process may use, as a queue or container limits them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2
