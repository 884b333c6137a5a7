"""The network's input: three views of the intensities that survive windows, hot spots and coils."""

import torch
import torch.nn.functional as F

LOW_PERCENTILE, HIGH_PERCENTILE = 2.0, 99.5
NEIGHBORHOOD = 7  # voxels a side
CONTRAST_FLOOR = 0.02  # of the ranks' deviation, so that an even background stays even


def channels_of(volume: torch.Tensor) -> torch.Tensor:
    """Return the input channels of one volume.

    Args:
        volume: (D, H, W) intensities on the network's grid, any unit, finite.

    Returns:
        (3, D, H, W): the rank among all voxels; the intensity between its 2nd and 99.5th percentile; the local contrast
        of the ranks over 7 voxels a side. The first and the last do not change under a monotone change of intensity.
    """
    ordered = volume.flatten().sort().values
    ranks = ranks_among(volume, ordered)
    last = len(ordered) - 1
    low, high = ordered[round(last * LOW_PERCENTILE / 100)], ordered[round(last * HIGH_PERCENTILE / 100)]
    window = ((volume - low) / (high - low).clamp(min=torch.finfo(volume.dtype).tiny)).clamp(0, 1)
    mean = box_mean(ranks)
    deviation = (box_mean(ranks.square()) - mean.square()).clamp(min=0).sqrt()
    contrast = (ranks - mean) / (deviation + CONTRAST_FLOOR)
    return torch.stack([2 * ranks - 1, 2 * window - 1, 0.5 * contrast])


def ranks_among(volume: torch.Tensor, ordered: torch.Tensor) -> torch.Tensor:
    """Return the share of `ordered` values below each voxel; ties share their middle rank."""
    below = torch.searchsorted(ordered, volume.contiguous())
    up_to = torch.searchsorted(ordered, volume.contiguous(), right=True)
    return (below + up_to).to(volume.dtype) / (2 * len(ordered))


def box_mean(values: torch.Tensor) -> torch.Tensor:
    """Average a (D, H, W) tensor over the neighborhood, leaving out what lies outside."""
    mean = values[None, None]
    for axis in range(3):
        kernel, padding = [1, 1, 1], [0, 0, 0]
        kernel[axis], padding[axis] = NEIGHBORHOOD, NEIGHBORHOOD // 2
        mean = F.avg_pool3d(mean, kernel, stride=1, padding=padding, count_include_pad=False)
    return mean[0, 0]
