"""Unaligned pairs made from aligned ones: what the network sees, and the field it should answer with."""

from dataclasses import dataclass

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

from BSAFusionLib.network.warp import warp


@dataclass(frozen=True)
class UnalignedPairs:
    """A batch of N: all (N, 1, H, W) in [0, 1] but `field` (N, 2, H, W), in pixels."""

    fixed: torch.Tensor
    moving: torch.Tensor  # deformed
    aligned: torch.Tensor  # moving before its deformation: moving sampled at x + field(x)
    field: torch.Tensor  # the true composed field, fixed point -> moving point
    inside: torch.Tensor  # 1 where either slice shows something, 0 elsewhere


@dataclass(frozen=True)
class Simulator:
    """Makes `UnalignedPairs` of aligned slices; every number is drawn from torch's global generator.

    Elastic part as published: uniform noise smoothed by a Gaussian of sigma 16 pixels, times 256 (mean 3.6 px, at most
    about 18). Beside it a small affine motion, for what a rigid start leaves over. Views of both slices together
    (rotation, scale, shear, flip, crop) and of each slice's intensities (gamma, random remapping and inversion, bias
    field, blur, noise) serve other scanners and fields of view than the training slices'.
    """

    size: int = 256  # side of the crop in pixels
    elastic: float = 256.0
    rotation: float = 3.0  # degrees, of the small affine motion
    translation: float = 3.0  # pixels
    stretch: float = 0.03
    scale: tuple[float, float] = (0.75, 1.15)  # of the views
    same_modality: float = 0.2  # share of pairs whose moving slice is the fixed one, remapped
    vary: bool = True  # views and intensities; off for validation

    def __call__(self, fixed: torch.Tensor, moving: torch.Tensor) -> UnalignedPairs:
        """Fixed and moving slices (N, 1, H, W), aligned, in [0, 1]."""
        if self.vary:
            same = torch.rand(len(fixed), 1, 1, 1, device=fixed.device) < self.same_modality
            fixed, moving = self._view(fixed, torch.where(same, fixed, moving))
            inside = head(fixed, moving)
            fixed, moving = self._intensities(fixed), self._intensities(moving)
        else:
            inside = head(fixed, moving)
        field = self.random_field(len(fixed), fixed.shape[-2:], fixed.device)
        return UnalignedPairs(fixed, warp(moving, inverse(field)), moving, field, inside)

    def random_field(self, count: int, size: tuple[int, int], device: torch.device) -> torch.Tensor:
        """Fields (count, 2, *size) in pixels: elastic plus small affine."""
        coarse = [-(-side // 4) for side in size]
        noise = 2 * torch.rand(count, 2, *coarse, device=device) - 1
        # A quarter of the resolution and of the sigma: the same spectrum, a quarter of the length in its own pixels.
        smooth = gaussian_blur2d(noise, 25, (4.0, 4.0), border_type="constant") * (self.elastic / 4)
        elastic = F.interpolate(smooth, size=size, mode="bicubic")

        rows = torch.arange(size[0], device=device) - (size[0] - 1) / 2
        columns = torch.arange(size[1], device=device) - (size[1] - 1) / 2
        y, x = torch.meshgrid(rows, columns, indexing="ij")

        def draw(largest: float) -> torch.Tensor:
            return (2 * torch.rand(count, 1, 1, device=device) - 1) * largest

        angle = draw(self.rotation) * torch.pi / 180
        affine = torch.stack(
            [
                draw(self.stretch) * x - angle * y + draw(self.translation),
                angle * x + draw(self.stretch) * y + draw(self.translation),
            ],
            dim=1,
        )
        return elastic + affine

    def _view(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        views = K.AugmentationSequential(
            K.RandomAffine(degrees=20.0, translate=(0.04, 0.04), scale=self.scale, shear=(-5.0, 5.0), p=1.0),
            K.RandomHorizontalFlip(p=0.5),
            K.CenterCrop(self.size),
            data_keys=["input"],
        )
        both = views(torch.cat([fixed, moving], dim=1))
        return both[:, :1], both[:, 1:]

    @staticmethod
    def _intensities(slices: torch.Tensor) -> torch.Tensor:
        varied = K.AugmentationSequential(
            K.RandomGamma(gamma=(0.6, 1.6), p=0.5),
            K.RandomLinearIllumination(gain=(0.05, 0.25), p=0.3),
            K.RandomGaussianBlur((7, 7), (0.4, 1.6), p=0.3),
            K.RandomGaussianNoise(std=0.02, p=0.3),
            data_keys=["input"],
        )
        return varied(random_remapping(slices, share=0.4)).clamp(0, 1)


def head(fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
    """1 where either slice, slightly blurred, is brighter than 4 %: the region whose alignment counts."""
    brightest = gaussian_blur2d(torch.maximum(fixed, moving), 13, (3.0, 3.0))
    return (brightest > 0.04).to(fixed.dtype)


def inverse(field: torch.Tensor, iterations: int = 20) -> torch.Tensor:
    """The field psi with psi(y) = -phi(y + psi(y)), by fixed-point iteration; (N, 2, H, W) in pixels."""
    inverted = -field
    for _ in range(iterations):
        inverted = -warp(field, inverted)
    return inverted


def random_remapping(slices: torch.Tensor, share: float) -> torch.Tensor:
    """For a share of the slices, grey levels through a random piecewise linear curve that keeps black black."""
    count, knots = len(slices), 6
    curve = torch.rand(count, knots, device=slices.device)
    curve[:, 0] = 0
    position = slices.flatten(1) * (knots - 1)
    lower = position.floor().clamp(max=knots - 2).long()
    start, end = curve.gather(1, lower), curve.gather(1, lower + 1)
    remapped = (start + (end - start) * (position - lower)).view_as(slices)
    chosen = torch.rand(count, 1, 1, 1, device=slices.device) < share
    return torch.where(chosen, remapped, slices)
