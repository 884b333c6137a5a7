"""Stacks of slices for the tests of the runner."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.network.stack import Stack


def stack_of(fixed: np.ndarray, moving: np.ndarray) -> Stack:
    """Put slices (slice, row, column) on a grid of 1 mm."""
    return Stack(sitk.Image(*fixed.shape[::-1], sitk.sitkUInt8), fixed, moving)


def random_stack(*shape: int) -> Stack:
    """Make slices (slice, row, column) of random values in [0, 1]."""
    return stack_of(*np.random.default_rng(0).random((2, *shape), np.float32))
