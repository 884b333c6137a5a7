"""How alike two slices are: what a registered slice is judged by. Slices are uint8 (H, W)."""

import numpy as np
import torch

from BSAFusionLib.pipeline.measures import mutual_information as mutual_information_in_nats

uniform_window = 7  # pixels; scikit-image's default


def difference(image: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in grey levels, 0 to 255, over the whole slice."""
    return float(np.abs(image.astype(np.float64) - other).mean())


def ssim(image: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004) in windows of 7 x 7 pixels, all weighted alike.

    The mean over the windows that lie wholly in the slice, as scikit-image's `structural_similarity` has it by
    default, which divides variances by 48 and not 49 (0.001 lower on the benchmark).
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, windows = structural_similarity_index_measure(
        batch_of_one(image),
        batch_of_one(other),
        gaussian_kernel=False,
        kernel_size=uniform_window,
        data_range=255.0,
        return_full_image=True,
    )
    edge = uniform_window // 2
    return float(windows[..., edge:-edge, edge:-edge].mean())


def correlation(image: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation coefficient of the grey levels."""
    return float(np.corrcoef(image.ravel(), other.ravel())[0, 1])


def mutual_information(image: np.ndarray, other: np.ndarray) -> float:
    """Mutual information in nats over the whole slice, from a joint histogram of 64 x 64 bins."""
    return mutual_information_in_nats(image / 255, other / 255)


def batch_of_one(image: np.ndarray) -> torch.Tensor:
    """A slice (H, W) as float64 (1, 1, H, W), its grey levels as they are."""
    return torch.from_numpy(image.astype(np.float64))[None, None]
