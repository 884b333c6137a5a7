"""Measure how similar a registered slice is to another. Slices are uint8 (H, W)."""

import numpy as np
import torch

from BSAFusionLib.pipeline.measures import mutual_information as mutual_information_in_nats

UNIFORM_WINDOW_PX = 7  # scikit-image's default


def difference(image: np.ndarray, other: np.ndarray) -> float:
    """Return the mean absolute difference in gray levels, 0 to 255, over the whole slice."""
    return float(np.abs(image.astype(np.float64) - other).mean())


def ssim(image: np.ndarray, other: np.ndarray) -> float:
    """Return the structural similarity in uniform windows of 7 x 7 pixels (Wang, Bovik, Sheikh, Simoncelli 2004).

    It is the mean over the windows that lie wholly in the slice, like scikit-image's `structural_similarity`, which by
    default divides variances by 48 and not 49 (0.001 lower on the benchmark).
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, windows = structural_similarity_index_measure(
        batch_of_one(image),
        batch_of_one(other),
        gaussian_kernel=False,
        kernel_size=UNIFORM_WINDOW_PX,
        data_range=255.0,
        return_full_image=True,
    )
    edge = UNIFORM_WINDOW_PX // 2
    return float(windows[..., edge:-edge, edge:-edge].mean())


def correlation(image: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation coefficient of the gray levels."""
    return float(np.corrcoef(image.ravel(), other.ravel())[0, 1])


def mutual_information(image: np.ndarray, other: np.ndarray) -> float:
    """Return the mutual information in nats over the whole slice, from a joint histogram of 64 x 64 bins."""
    return mutual_information_in_nats(image / 255, other / 255)


def batch_of_one(image: np.ndarray) -> torch.Tensor:
    """Return a slice (H, W) as float64 (1, 1, H, W), its gray levels unchanged."""
    return torch.from_numpy(image.astype(np.float64))[None, None]
