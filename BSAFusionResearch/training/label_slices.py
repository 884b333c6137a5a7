"""Draw aligned slice pairs of random contrast from tissue maps, for heads and axes that no training scan shows."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MRI
from BSAFusionLib.network.sampling import warp
from BSAFusionResearch.training.arrays import read_arrays
from BSAFusionResearch.training.traits import traits_of
from BSAFusionResearch.training.unaligned_pairs import Simulator, centered_coordinates

TISSUES = ("gray", "white", "fluid", "skull", "scalp")
BRITISH_TISSUES = ("grey", *TISSUES[1:])  # as files of earlier versions name them
MAX_ENLARGEMENT = 0.3  # share by which a head may fill more of a slice
BLUR_WINDOW_PX = 17  # of halved slices


@dataclass(frozen=True)
class LabelSlices:
    """Slices of tissue maps to draw synthetic pairs from.

    Brightness, sharpness and the head's shape are random in every slice (Hoffmann et al., SynthMorph, IEEE Transactions
    on Medical Imaging 2022, synthesizes images from labels likewise).

    Attributes:
        maps: (N, 5, H, W) uint8, how much of each of the `TISSUES` a pixel holds, in 255ths.
    """

    maps: torch.Tensor

    def draw(self, modalities: list[str], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a pair for each of some modalities.

        Args:
            modalities: Names of the moving slices' modalities, n of them.
            device: Where the slices are made.

        Returns:
            Fixed and moving slices, float32 (n, 1, H, W) in [0, 1].

        Raises:
            FusionError: The training file of a modality lacks `tissues` or `blur_px`.
        """
        count = len(modalities)
        if count == 0:
            return (torch.zeros(0, 1, *self.maps.shape[-2:], device=device),) * 2
        maps = self.maps[torch.randint(len(self.maps), (count,))].to(device, torch.float32) / 255
        maps = F.avg_pool2d(maps, 2)  # registration uses halved slices, and these take a quarter of the time
        maps = warp(maps, Simulator(pixel=2).random_field(count, maps.shape[-2:], device))
        closer = 1 - torch.rand(count, 1, 1, 1, device=device) * MAX_ENLARGEMENT
        maps = warp(maps, (closer - 1) * centered_coordinates(maps.shape[-2:], device)[None].to(maps.dtype))
        slices = []
        for names in ([MRI] * count, modalities):
            ranges, blurs = zip(*map(_contrast, names), strict=True)
            lowest, highest = torch.tensor(ranges, device=device).unbind(-1)
            brightness = lowest + (highest - lowest) * torch.rand_like(lowest)
            sigma = torch.tensor(blurs, device=device) / 2
            sigma = sigma[:, :1] + (sigma[:, 1:] - sigma[:, :1]) * torch.rand(count, 1, device=device)
            image = (maps * brightness[..., None, None]).sum(dim=1, keepdim=True)
            slices.append(gaussian_blur2d(image, BLUR_WINDOW_PX, sigma.expand(-1, 2)).clamp(0, 1))
        return F.interpolate(slices[0], scale_factor=2), F.interpolate(slices[1], scale_factor=2)


def _contrast(modality: str) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Return the brightness range of each tissue, in the order of `TISSUES`, and the range of the blur in pixels."""
    traits = traits_of(modality)
    if traits.tissues is None or traits.blur_px is None or set(traits.tissues) != set(TISSUES):
        raise FusionError(
            f"The training file of {modality} needs blur_px, and tissues for {', '.join(TISSUES)}; add them, or train "
            "without --labels."
        )
    return [traits.tissues[name] for name in TISSUES], traits.blur_px


def load_label_slices(path: Path) -> LabelSlices:
    """Read a file that Resources/Training/make_label_slices.py wrote.

    Raises:
        FusionError: The file is missing, cannot be read, or holds other tissues.
    """
    if not path.is_file():
        raise FusionError(
            f"There are no tissue maps at {path}; make them with Resources/Training/make_label_slices.py."
        )
    arrays = read_arrays(path, ("tissues", "maps"))
    if tuple(arrays["tissues"]) not in (TISSUES, BRITISH_TISSUES):
        raise FusionError(
            f"{path} holds other tissues than {', '.join(TISSUES)}; make it again with "
            "Resources/Training/make_label_slices.py."
        )
    return LabelSlices(torch.from_numpy(arrays["maps"]))
