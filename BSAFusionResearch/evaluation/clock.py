"""Take times, and limit threads so that every method takes them alike."""

import time

import numpy as np
import SimpleITK as sitk


def clocks() -> np.ndarray:
    """Return seconds on the wall clock and of this process on all CPUs, (2,); only differences mean something."""
    return np.array([time.perf_counter(), time.process_time()])


def limit_threads(count: int) -> None:
    """Let PyTorch and ITK use that many threads in this process."""
    import torch  # here, since it takes seconds to import

    torch.set_num_threads(count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
