"""Make unaligned pairs from aligned ones: the network's input, and the field it should estimate."""

from dataclasses import dataclass

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

from BSAFusionLib.network.sampling import warp


@dataclass(frozen=True)
class UnalignedPairs:
    """A batch of N unaligned pairs.

    Attributes:
        fixed: Fixed slices (N, 1, H, W) in [0, 1].
        moving: Deformed moving slices, likewise.
        aligned: Moving slices before their deformation, likewise: moving sampled at x + field(x).
        field: True composed field (N, 2, H, W), fixed point -> moving point, in pixels, channel 0 along columns.
        inside: (N, 1, H, W), 1 where either slice shows something, 0 elsewhere.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    aligned: torch.Tensor
    field: torch.Tensor
    inside: torch.Tensor


@dataclass(frozen=True)
class Simulator:
    """Makes `UnalignedPairs` from aligned slices; every number is drawn from torch's global generator.

    The elastic part is the published one but for the slices' rim: uniform noise smoothed by a Gaussian of sigma 16
    pixels, times 256, with zeros around it (mean 3.2 px, at most about 13; published 3.6 and 18). A small affine motion
    is added, for what a rigid initialization leaves over. Random views of both slices together (rotation, scale,
    shear, flip) and random intensities of each slice (gamma, remapping, inversion, bias field, blur, noise) prepare for
    other scanners and fields of view.

    Attributes:
        pixel: Side of the given slices' pixels, in pixels of a whole slice, which all lengths here are in.
        elastic: Factor of the smoothed noise, in pixels.
        rotation: Largest angle of the affine motion, in degrees.
        translation: Largest shift of the affine motion, in pixels along each axis.
        stretch: Largest stretch of the affine motion along each axis, as a share.
        scale: Range of the views' scale.
        same_modality: Share of pairs whose moving slice is the fixed one, remapped.
        plain: Share of pairs that are at most mirrored, and keep their intensities.
        elastic_only: Share of pairs without the affine motion, as in the published training.
        smallest: Least factor of a pair's whole motion; it is drawn up to 1, so that small and large motions by factors
            are equally likely, and what a good initialization leaves is learned as well.
        vary: Whether views and intensities are random; off for validation.
    """

    pixel: int = 1
    elastic: float = 256.0
    rotation: float = 3.0
    translation: float = 3.0
    stretch: float = 0.03
    scale: tuple[float, float] = (0.8, 1.15)
    same_modality: float = 0.2
    plain: float = 0.0
    elastic_only: float = 0.0
    smallest: float = 1.0
    vary: bool = True

    def __call__(self, fixed: torch.Tensor, moving: torch.Tensor) -> UnalignedPairs:
        """Deform aligned fixed and moving slices (N, 1, H, W) in [0, 1]; the field is in pixels of these slices."""
        same = torch.rand(len(fixed), 1, 1, 1, device=fixed.device) < self.same_modality
        if self.vary:
            plain = ~same & (torch.rand_like(same, dtype=fixed.dtype) < self.plain)
            fixed, moving = self._view(fixed, torch.where(same, fixed, moving), plain)
        inside = head(fixed, moving, self.pixel)
        if self.vary:
            # Gray levels alone must not show that the moving slice is the fixed one again.
            remapped = random_remapping(moving, share=0.2)
            remapped = torch.where(same, random_remapping(moving, share=1.0), remapped)
            moving = torch.where(plain, moving, self._intensities(remapped))
            fixed = torch.where(plain, fixed, self._intensities(random_remapping(fixed, share=0.2)))
        field = self.random_field(len(fixed), fixed.shape[-2:], fixed.device)
        return UnalignedPairs(fixed, warp(moving, inverse(field)), moving, field, inside)

    def random_field(self, count: int, size: tuple[int, int], device: torch.device) -> torch.Tensor:
        """Return random fields (count, 2, *size), elastic plus small affine, in pixels of that size."""
        step = 8 // self.pixel
        noise = 2 * torch.rand(count, 2, *(-(-side // step) for side in size), device=device) - 1
        # An eighth of the resolution and of the sigma: the same spectrum, an eighth of the length in its own pixels.
        smooth = gaussian_blur2d(noise, (13, 13), (2.0, 2.0), border_type="constant") * (self.elastic / 8)
        elastic = F.interpolate(smooth, scale_factor=step, mode="bicubic")[..., : size[0], : size[1]] / self.pixel

        x, y = centered_coordinates(size, device)

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
        factor = self.smallest ** torch.rand(count, 1, 1, 1, device=device) if self.smallest < 1 else 1.0
        return (elastic + affine) * factor

    def _view(
        self, fixed: torch.Tensor, moving: torch.Tensor, plain: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        view = K.RandomAffine(degrees=20.0, translate=(0.04, 0.04), scale=self.scale, shear=(-5.0, 5.0), p=1.0)
        both = torch.cat([fixed, moving], dim=1)
        both = K.RandomHorizontalFlip(p=0.5)(torch.where(plain, both, view(both)))
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


def centered_coordinates(size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return each pixel's position from the center of an image (H, W), (2, H, W) in pixels, columns first."""
    rows, columns = (torch.arange(side, device=device) - (side - 1) / 2 for side in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y])


def head(fixed: torch.Tensor, moving: torch.Tensor, pixel: int = 1) -> torch.Tensor:
    """Return 1 where either slice, slightly blurred, is brighter than 4 %: the region whose alignment counts."""
    brightest = gaussian_blur2d(torch.maximum(fixed, moving), 13, (3.0 / pixel, 3.0 / pixel))
    return (brightest > 0.04).to(fixed.dtype)


def inverse(field: torch.Tensor, iterations: int = 12) -> torch.Tensor:
    """Invert a field phi (N, 2, H, W), in pixels: find psi with psi(y) = -phi(y + psi(y)), by fixed-point iteration."""
    inverted = -field
    for _ in range(iterations):
        inverted = -warp(field, inverted)
    return inverted


def random_remapping(slices: torch.Tensor, share: float) -> torch.Tensor:
    """Map the gray levels of a share of the slices by a random piecewise linear curve that keeps black black."""
    count, knots = len(slices), 6
    curve = torch.rand(count, knots, device=slices.device)
    curve[:, 0] = 0
    position = slices.flatten(1) * (knots - 1)
    lower = position.floor().clamp(max=knots - 2).long()
    start, end = curve.gather(1, lower), curve.gather(1, lower + 1)
    remapped = (start + (end - start) * (position - lower)).view_as(slices)
    chosen = torch.rand(count, 1, 1, 1, device=slices.device) < share
    return torch.where(chosen, remapped, slices)
