"""Checks that enough memory is available before a run, and explains errors where it is not."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.memory_limits import BYTES_PER_GB, free_memory, limited_by

# Of ITK, of the C++ library, of PyTorch, and of the system where it loads a library.
MEMORY_ERROR_SIGNS = (
    "failed to allocate memory",
    "bad_alloc",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to map segment from shared object",
    "can't start new thread",
)
ADVICE = "crop or resample the fixed volume, close other programs, or use a machine with more memory."


def check_memory(needed_bytes: float) -> None:
    """Check that the system has enough free memory, and that no limit is in the way.

    Only Linux is asked: it would kill the process later on, where other systems raise an error or make room.

    Raises:
        FusionError: Less memory is free than is needed.
    """
    free = free_memory()
    if free is None or free.free_bytes >= needed_bytes:
        return
    needed, left = (f"{max(0.0, count) / BYTES_PER_GB:.1f} GB" for count in (needed_bytes, free.free_bytes))
    if free.limit:
        raise FusionError(
            f"Volumes of this size need about {needed} of memory, but {free.limit} leaves only {left}; raise that "
            "limit, or crop or resample the fixed volume."
        )
    raise FusionError(f"Volumes of this size need about {needed} of memory, but only {left} are free; {ADVICE}")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of Python, ITK, PyTorch or the C++ library means that memory ran out."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return any(sign in str(error).lower() for sign in MEMORY_ERROR_SIGNS)


@contextmanager
def explain_memory_errors() -> Iterator[None]:
    """Turn errors for lack of memory into one that says what to do; also a decorator.

    Raises:
        FusionError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError, ImportError) as error:
        if not is_out_of_memory(error):
            raise
        limit = limited_by()
        if limit:
            raise FusionError(
                f"Not enough memory for volumes of this size: {limit} is in the way; raise that limit, or crop or "
                "resample the fixed volume."
            ) from error
        raise FusionError(f"Not enough memory for volumes of this size; {ADVICE}") from error
