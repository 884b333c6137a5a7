"""The memory that is left for this process: of the machine, and of limits set to the process or its container."""

from pathlib import Path
from typing import NamedTuple

UNLIMITED = 1 << 60  # bytes, from which on a number of the system means that there is no limit
BYTES_PER_GB = 1e9
CGROUP_FILES = (  # limit and use, of both versions of Linux' control groups, as a container sees them
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


class FreeMemory(NamedTuple):
    """Memory that this process may still take.

    Attributes:
        free_bytes: The bytes.
        limit: What allows no more, in words; "" where it is the machine itself.
    """

    free_bytes: float
    limit: str = ""


def free_memory() -> FreeMemory | None:
    """Return the least of the memory that the machine has free and that limits leave; None where neither is known."""
    known = [*_of_machine(), *_of_process(), *_of_container()]
    return min(known, key=lambda memory: memory.free_bytes) if known else None


def limited_by() -> str:
    """Return the limit that leaves less memory than the machine has free, in words; "" where there is none."""
    free = free_memory()
    return free.limit if free else ""


def _of_machine() -> list[FreeMemory]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return []
    return [FreeMemory(1024.0 * int(line.split()[1])) for line in lines if line.startswith("MemAvailable:")]


def _of_process() -> list[FreeMemory]:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # Windows; not Linux
        return []
    if limit == resource.RLIM_INFINITY or limit >= UNLIMITED:
        return []
    return [FreeMemory(float(limit - used), f"the limit of {limit / BYTES_PER_GB:.1f} GB for this process (ulimit -v)")]


def _of_container() -> list[FreeMemory]:
    found = []
    for names in CGROUP_FILES:
        try:
            limit, used = (Path("/sys/fs/cgroup", name).read_text().strip() for name in names)
            left = int(limit) - int(used)
        except (OSError, ValueError):  # not there, or "max"
            continue
        if int(limit) < UNLIMITED:
            words = f"the limit of {int(limit) / BYTES_PER_GB:.1f} GB for this container or job"
            found.append(FreeMemory(float(left), words))
    return found
