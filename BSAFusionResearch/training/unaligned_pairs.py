"""Unaligned pairs made from aligned ones: what the network sees, and the field it should answer with."""

from dataclasses import dataclass

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

from BSAFusionLib.network.sampling import warp


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
    (rotation, scale, shear, flip) and of each slice's intensities (gamma, random remapping and inversion, bias
    field, blur, noise) serve other scanners and fields of view than the training slices'.
    """

    pixel: int = 1  # side of the given slices' pixels, in those of the whole slice that all lengths here are in
    elastic: float = 256.0
    rotation: float = 3.0  # degrees, of the small affine motion
    translation: float = 3.0  # pixels
    stretch: float = 0.03
    scale: tuple[float, float] = (0.8, 1.15)  # of the views
    same_modality: float = 0.2  # share of pairs whose moving slice is the fixed one, remapped
    plain: float = 0.0  # share of pairs that are at most mirrored, and keep their intensities
    elastic_only: float = 0.0  # share of pairs without the affine motion, as all were when the method was published
    vary: bool = True  # views and intensities; off for validation

    def __call__(self, fixed: torch.Tensor, moving: torch.Tensor) -> UnalignedPairs:
        """Fixed and moving slices (N, 1, H, W), aligned, in [0, 1]; the field comes in pixels of these slices."""
        same = torch.rand(len(fixed), 1, 1, 1, device=fixed.device) < self.same_modality
        if self.vary:
            plain = ~same & (torch.rand_like(same, dtype=fixed.dtype) < self.plain)
            fixed, moving = self._view(fixed, torch.where(same, fixed, moving), plain)
        inside = head(fixed, moving, self.pixel)
        if self.vary:
            # A slice must not be told by its greys alone that it is the fixed one again.
            remapped = random_remapping(moving, share=0.2)
            remapped = torch.where(same, random_remapping(moving, share=1.0), remapped)
            moving = torch.where(plain, moving, self._intensities(remapped))
            fixed = torch.where(plain, fixed, self._intensities(random_remapping(fixed, share=0.2)))
        field = self.random_field(len(fixed), fixed.shape[-2:], fixed.device)
        return UnalignedPairs(fixed, warp(moving, inverse(field)), moving, field, inside)

    def random_field(self, count: int, size: tuple[int, int], device: torch.device) -> torch.Tensor:
        """Fields (count, 2, *size) in pixels of that size: elastic plus small affine."""
        step = 8 // self.pixel
        noise = 2 * torch.rand(count, 2, *(-(-side // step) for side in size), device=device) - 1
        # An eighth of the resolution and of the sigma: the same spectrum, an eighth of the length in its own pixels.
        smooth = gaussian_blur2d(noise, (13, 13), (2.0, 2.0), border_type="constant") * (self.elastic / 8)
        elastic = F.interpolate(smooth, scale_factor=step, mode="bicubic")[..., : size[0], : size[1]] / self.pixel

        rows = torch.arange(size[0], device=device) - (size[0] - 1) / 2
        columns = torch.arange(size[1], device=device) - (size[1] - 1) / 2
        y, x = torch.meshgrid(rows, columns, indexing="ij")

        def draw(largest: float) -> torch.Tensor:
            return (2 * torch.rand(count, 1, 1, device=device) - 1) * largest

        angle = draw(self.rotation) * torch.pi / 180
        affine = torch.stack(
            [
                draw(self.stretch) * x - angle * y + draw(self.translation / self.pixel),
                angle * x + draw(self.stretch) * y + draw(self.translation / self.pixel),
            ],
            dim=1,
        )
        if self.elastic_only > 0:
            affine = affine * (torch.rand(count, 1, 1, 1, device=device) >= self.elastic_only)
        return elastic + affine

    def _view(
        self, fixed: torch.Tensor, moving: torch.Tensor, plain: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen_from = K.RandomAffine(degrees=20.0, translate=(0.04, 0.04), scale=self.scale, shear=(-5.0, 5.0), p=1.0)
        both = torch.cat([fixed, moving], dim=1)
        both = K.RandomHorizontalFlip(p=0.5)(torch.where(plain, both, seen_from(both)))
        return both[:, :1], both[:, 1:]

    def _intensities(self, slices: torch.Tensor) -> torch.Tensor:
        varied = K.AugmentationSequential(
            K.RandomGamma(gamma=(0.6, 1.6), p=0.5),
            K.RandomLinearIllumination(gain=(0.05, 0.25), p=0.3),
            K.RandomGaussianBlur((7, 7), (0.6 / self.pixel, 1.8 / self.pixel), p=0.25),
            K.RandomGaussianNoise(std=0.02, p=0.3),
            data_keys=["input"],
        )
        return varied(slices).clamp(0, 1)


def head(fixed: torch.Tensor, moving: torch.Tensor, pixel: int = 1) -> torch.Tensor:
    """1 where either slice, slightly blurred, is brighter than 4 %: the region whose alignment counts."""
    brightest = gaussian_blur2d(torch.maximum(fixed, moving), 13, (3.0 / pixel, 3.0 / pixel))
    return (brightest > 0.04).to(fixed.dtype)


def inverse(field: torch.Tensor, iterations: int = 12) -> torch.Tensor:
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
