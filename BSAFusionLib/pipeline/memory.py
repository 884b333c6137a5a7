"""Memory that does not do for a run is told in one sentence, before it begins where the system says what is free."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from BSAFusionLib.errors import FusionError

gigabyte = 1e9  # bytes
_advice = "crop or resample the fixed volume, close other programs, or use a machine with more."
_signs = "Failed to allocate memory", "bad_alloc"  # how ITK and the C++ library say it


def check_memory(needed: float) -> None:
    """FusionError where the system has fewer bytes free than are needed. Only Linux is asked: it would kill the process
    later on, where other systems fail or make room."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return
    free = next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), needed)
    if free < needed:
        raise FusionError(
            f"Volumes of this size need about {needed / gigabyte:.1f} GB of memory, and {free / gigabyte:.1f} GB are "
            f"free; {_advice}"
        )


def lacks_memory(error: Exception) -> bool:
    """Whether that is what an error of Python, ITK or the C++ library says."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _signs)


@contextmanager
def shortage_told() -> Iterator[None]:
    """FusionError where memory runs out within."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if lacks_memory(error):
            raise FusionError(f"The memory does not do for volumes of this size; {_advice}") from error
        raise
