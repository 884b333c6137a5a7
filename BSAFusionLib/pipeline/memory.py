"""Checks that enough memory is available before a run, and explains errors where it is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from BSAFusionLib.errors import FusionError

BYTES_PER_GB = 1e9
MEMORY_ERROR_SIGNS = "Failed to allocate memory", "bad_alloc"  # of ITK and the C++ library
ADVICE = "crop or resample the fixed volume, close other programs, or use a machine with more memory."


def check_memory(needed_bytes: float) -> None:
    """Check that the system has enough free memory.

    Only Linux is asked: it would kill the process later on, where other systems raise an error or make room.

    Raises:
        FusionError: Less memory is free than is needed.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return
    available = (1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    free_bytes = next(available, needed_bytes)
    if free_bytes < needed_bytes:
        raise FusionError(
            f"Volumes of this size need about {needed_bytes / BYTES_PER_GB:.1f} GB of memory, but only "
            f"{free_bytes / BYTES_PER_GB:.1f} GB are free; {ADVICE}"
        )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of Python, ITK or the C++ library means that memory ran out."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in MEMORY_ERROR_SIGNS)


@contextmanager
def explain_memory_errors() -> Iterator[None]:
    """Turn errors for lack of memory into one that says what to do; also a decorator.

    Raises:
        FusionError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise FusionError(f"Not enough memory for volumes of this size; {ADVICE}") from error
        raise
