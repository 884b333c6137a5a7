"""Measure how much a fused slice keeps of the two it was made from. Slices are uint8 (H, W)."""

import numpy as np

from BSAFusionLib.pipeline.measures import mutual_information
from BSAFusionResearch.evaluation.similarity import batch_of_one

SALIENCY_WINDOW_PX = 16  # of Q_CV
SALIENCY_POWER = 5


def q_abf(fixed: np.ndarray, moving: np.ndarray, fused: np.ndarray) -> float:
    """Return Q_AB/F, the share of both slices' edges that the fused one keeps, 0 to 1 (Xydeas and Petrovic 2000).

    Each pixel counts by the strength of the source's Sobel gradient (L = 1). The share kept is the product of two
    sigmoids, of the ratio of strengths (0.9994, -15, 0.5) and of the closeness of directions (0.9879, -22, 0.8).
    Without an edge in either source, nothing can be lost: 1.
    """
    (fixed_strength, fixed_angle), (moving_strength, moving_angle), (strength, angle) = map(
        _gradient, (fixed, moving, fused)
    )

    def kept(source_strength: np.ndarray, source_angle: np.ndarray) -> np.ndarray:
        larger = np.maximum(source_strength, strength)
        # Where neither has an edge, the ratio does not matter: its weight is zero.
        ratio = np.minimum(source_strength, strength) / np.where(larger > 0, larger, 1)
        nearness = 1 - np.abs(source_angle - angle) / (np.pi / 2)
        return 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (nearness - 0.8)))

    weight = (fixed_strength + moving_strength).sum()
    if weight == 0:
        return 1.0
    total = fixed_strength * kept(fixed_strength, fixed_angle) + moving_strength * kept(moving_strength, moving_angle)
    return float(total.sum() / weight)


def vif(fixed: np.ndarray, moving: np.ndarray, fused: np.ndarray) -> float:
    """Return the visual information fidelity in the pixel domain (Sheikh and Bovik 2006), summed over both sources.

    Each is 1 for a fused slice equal to that source. Both sides of the slices must be 41 pixels or more.
    """
    from torchmetrics.functional.image import visual_information_fidelity

    image, *sources = (batch_of_one(slices).float() for slices in (fused, fixed, moving))  # float64 takes twice as long
    return sum(float(visual_information_fidelity(image, source)) for source in sources)


def q_cv(fixed: np.ndarray, moving: np.ndarray, fused: np.ndarray) -> float:
    """Return Q_CV, the visible difference to both sources where they show structure (Chen and Varshney 2007).

    Lower is better; 0 is no difference. The differences are filtered by the eye's contrast sensitivity,
    2.6 (0.0192 + 0.144 r) exp(-(0.144 r)^1.1), with r in cycles a degree and W / 8 of them at the finest grating, as in
    the fusion field's tools (Mannos and Sakrison's own constant is 0.114). Their mean squares in windows of 16 x 16
    pixels are averaged, weighted by the window's sum of the source's Sobel gradients to the power 5.
    """
    differences = [_visible(source.astype(np.float64) - fused) for source in (fixed, moving)]
    errors = [_windows(difference**2).mean(axis=(1, 3)) for difference in differences]
    saliences = [_windows(_gradient(source)[0] ** SALIENCY_POWER).sum(axis=(1, 3)) for source in (fixed, moving)]
    weight = sum(salience.sum() for salience in saliences)
    if weight == 0:
        return float(np.mean(errors))
    return float(sum((salience * error).sum() for salience, error in zip(saliences, errors, strict=True)) / weight)


def fused_ssim(fixed: np.ndarray, moving: np.ndarray, fused: np.ndarray) -> float:
    """Return the structural similarity to both sources, summed (Wang et al. 2004; Gaussian window, sigma 1.5)."""
    from torchmetrics.image import StructuralSimilarityIndexMeasure

    similarity = StructuralSimilarityIndexMeasure(data_range=255.0)
    return sum(float(similarity(batch_of_one(fused), batch_of_one(source))) for source in (fixed, moving))


def entropy(fused: np.ndarray) -> float:
    """Return Shannon's entropy of the 256 gray levels, in bits."""
    shares = np.bincount(fused.ravel(), minlength=256) / fused.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def fused_mutual_information(fixed: np.ndarray, moving: np.ndarray, fused: np.ndarray) -> float:
    """Return the mutual information of the 256 gray levels with both sources, summed, in bits (Qu et al. 2002)."""
    nats = sum(mutual_information(source / 255, fused / 255, bins=256) for source in (fixed, moving))
    return nats / float(np.log(2))


def _gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the strength of the Sobel gradient and its direction without sign, -pi/2 to pi/2, both (H, W)."""
    from kornia.filters import spatial_gradient

    across, down = spatial_gradient(batch_of_one(image), "sobel", normalized=False)[0, 0].numpy()
    angle = np.where(across == 0, np.pi / 2, np.arctan(down / np.where(across == 0, 1, across)))
    return np.hypot(across, down), angle


def _visible(difference: np.ndarray) -> np.ndarray:
    """Filter a difference image (H, W) by the eye's contrast sensitivity."""
    rows, columns = (np.fft.fftfreq(side) * side / 4 for side in difference.shape)
    frequency = np.hypot(rows[:, None], columns)
    sensitivity = 2.6 * (0.0192 + 0.144 * frequency) * np.exp(-((0.144 * frequency) ** 1.1))
    return np.fft.ifft2(np.fft.fft2(difference) * sensitivity).real


def _windows(image: np.ndarray) -> np.ndarray:
    """Reshape an image (H, W), sides multiples of 16, to (H / 16, 16, W / 16, 16)."""
    height, width = image.shape
    return image.reshape(
        height // SALIENCY_WINDOW_PX, SALIENCY_WINDOW_PX, width // SALIENCY_WINDOW_PX, SALIENCY_WINDOW_PX
    )
