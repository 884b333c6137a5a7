"""Aligned slice pairs of random contrast drawn from tissue maps, for heads and slice axes that no scan here shows."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.sampling import warp
from BSAFusionResearch.training.arrays import read_arrays
from BSAFusionResearch.training.unaligned_pairs import Simulator

TISSUES = ("grey", "white", "fluid", "skull", "scalp")
# The range that each tissue's brightness is drawn from, in the order of TISSUES.
MRI = ((0.45, 0.75), (0.7, 1.0), (0.05, 0.3), (0.0, 0.2), (0.3, 0.9))
MOVING = {
    "ct": ((0.4, 0.6), (0.3, 0.5), (0.1, 0.35), (1.0, 1.0), (0.0, 0.6)),
    "pet": ((0.7, 1.0), (0.2, 0.5), (0.0, 0.2), (0.0, 0.15), (0.0, 0.35)),
    "spect": ((0.7, 1.0), (0.2, 0.5), (0.0, 0.2), (0.0, 0.05), (0.0, 0.15)),
}
BLUR = {"mri": (0.2, 5.0), "ct": (0.2, 5.0), "pet": (2.0, 8.0), "spect": (3.0, 9.0)}  # sigma in pixels of a whole slice


@dataclass(frozen=True)
class LabelSlices:
    """Slices (N, 5, H, W) uint8 of how much of each of the TISSUES a pixel holds, in 255ths.

    Brightnesses, sharpness and the head's shape are drawn anew for every slice (Hoffmann et al., SynthMorph, IEEE
    Transactions on Medical Imaging 2022, where labels are synthesised in the same way).
    """

    maps: torch.Tensor

    def draw(self, modalities: list[str], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """A fixed and a moving slice of each of those modalities, float32 (n, 1, H, W) in [0, 1]."""
        count = len(modalities)
        if count == 0:
            return (torch.zeros(0, 1, *self.maps.shape[-2:], device=device),) * 2
        maps = self.maps[torch.randint(len(self.maps), (count,))].to(device, torch.float32) / 255
        maps = F.avg_pool2d(maps, 2)  # registration sees no more of them, and it takes a quarter of the time
        maps = warp(maps, Simulator(pixel=2).random_field(count, maps.shape[-2:], device))
        closer = 1 - torch.rand(count, 1, 1, 1, device=device) * 0.3
        maps = warp(maps, (closer - 1) * from_centre(maps))  # heads fill more or less of a slice
        slices = []
        for names, ranges in ((["mri"] * count, [MRI] * count), (modalities, [MOVING[name] for name in modalities])):
            lowest, highest = torch.tensor(ranges, device=device).unbind(-1)
            brightness = lowest + (highest - lowest) * torch.rand_like(lowest)
            sigma = torch.tensor([BLUR[name] for name in names], device=device) / 2
            sigma = sigma[:, :1] + (sigma[:, 1:] - sigma[:, :1]) * torch.rand(count, 1, device=device)
            image = (maps * brightness[..., None, None]).sum(dim=1, keepdim=True)
            slices.append(gaussian_blur2d(image, 17, sigma.expand(-1, 2)).clamp(0, 1))
        return F.interpolate(slices[0], scale_factor=2), F.interpolate(slices[1], scale_factor=2)


def from_centre(images: torch.Tensor) -> torch.Tensor:
    """Where each pixel lies from the centre, (1, 2, H, W) in pixels, channel 0 along columns."""
    rows, columns = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in images.shape[-2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y])[None].to(images.dtype)


def load_label_slices(path: Path) -> LabelSlices:
    """What Resources/Training/make_label_slices.py wrote.

    Raises:
        FusionError: there is no such file, it cannot be read, or its tissues are others.
    """
    if not path.is_file():
        raise FusionError(
            f"There are no tissue maps at {path}; make them with Resources/Training/make_label_slices.py."
        )
    arrays = read_arrays(path, ("tissues", "maps"))
    if tuple(arrays["tissues"]) != TISSUES:
        raise FusionError(f"{path} holds other tissues than {', '.join(TISSUES)}; make it anew.")
    return LabelSlices(torch.from_numpy(arrays["maps"]))
