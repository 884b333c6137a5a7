"""Compute the loss terms that the network is trained with."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from kornia.filters import get_gaussian_kernel1d, spatial_gradient

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.bsfa import sum_of_fields
from BSAFusionLib.network.interface import Registration
from BSAFusionLib.network.sampling import warp
from BSAFusionResearch.training.processes import over_all_rows
from BSAFusionResearch.training.unaligned_pairs import UnalignedPairs

SSIM_WINDOW_PX = 11
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # of Wang et al., for images in [0, 1]


def classification_loss(registration: Registration) -> torch.Tensor:
    """Return L_cls, equation (1): the heads must name the modality, fixed [0, 1] and moving [1, 0]."""
    fixed, moving = registration.fixed.logits.float(), registration.moving.logits.float()
    ones = torch.ones(len(fixed), dtype=torch.long, device=fixed.device)
    return F.cross_entropy(fixed, ones) + F.cross_entropy(moving, 1 - ones)


def transfer_loss(network: BSAFusion, registration: Registration) -> torch.Tensor:
    """Return L_trans, equation (3): after the transfer, the discriminator must not recognize the modality."""

    def undecided(logits: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.float(), torch.full_like(logits, 0.5, dtype=torch.float32))

    discriminate = network.mdf_fr.discriminate
    return undecided(discriminate(registration.fixed)) + undecided(discriminate(registration.moving))


def end_point_errors(field: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the distance between two fields (N, 2, H, W) at each pixel, (N, 1, H, W), in pixels; smooth at zero."""
    return ((field - truth).square().sum(dim=1, keepdim=True) + 1e-4).sqrt()


def supervision_loss(registration: Registration, pairs: UnalignedPairs) -> torch.Tensor:
    """Return the error of the composed field, and of the field after each pair of steps, in pixels of a whole slice.

    Each step is compared on its own grid. A pixel outside the head has a tenth of the weight of one inside, since only
    smoothness is known there.
    """
    total = torch.zeros((), device=pairs.field.device)
    ahead, back = registration.forward_fields, registration.reverse_fields
    for steps in range(1, len(ahead) + 1):
        size = ahead[steps - 1].shape[-2:]
        pixels = pairs.field.shape[-1] // size[-1]  # of the whole slice in one pixel of this level
        composed = sum_of_fields(back[:steps], size) - sum_of_fields(ahead[:steps], size)
        truth, inside = at_level(pairs.field, size), F.avg_pool2d(pairs.inside, pixels)
        weights = 0.1 + 0.9 * inside
        errors = pixels * end_point_errors(composed, truth)
        total = total + (errors * weights).sum() / over_all_rows(weights.sum()) * (1.0 if steps == len(ahead) else 0.25)
    return total


def match_loss(registration: Registration, pairs: UnalignedPairs) -> torch.Tensor:
    """Return the mean cross entropy of the matches, where the true partner is within reach and inside the head.

    This term teaches the features: each pixel learns which of its candidates was right, long before a field made of
    their average could say so. The target probability is shared by the four offsets around the true one, by bilinear
    weights.
    """
    total = torch.zeros((), device=pairs.field.device)
    ahead, back = registration.forward_fields, registration.reverse_fields
    for step, match in enumerate(registration.matches):
        size = match.pixels.shape[-2:]
        truth = at_level(pairs.field, size)
        inside = F.avg_pool2d(pairs.inside, pairs.inside.shape[-1] // size[-1])
        remaining = truth
        if step > 0:
            # Both maps were warped: at x, one shows the fixed slice at x + sum_A, the other the moving at x + sum_B.
            forward_sum = sum_of_fields(ahead[:step], size).detach()
            remaining = forward_sum + warp(truth, forward_sum) - sum_of_fields(back[:step], size).detach()
        for log_probability in match:
            coarser = remaining.shape[-1] // log_probability.shape[-1]
            target, weights = (F.avg_pool2d(x, coarser) for x in (2 * remaining, inside))  # offsets are in half pixels
            total = total + offset_cross_entropy(log_probability, target, weights)
    return total / len(registration.matches)


def offset_cross_entropy(log_probability: torch.Tensor, target: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of a match at the true displacements.

    Args:
        log_probability: (N, (2 r)^2, h, w), log probability of each offset, in the order of `offsets`.
        target: (N, 2, h, w), the true displacement in half pixels.
        inside: (N, 1, h, w), weights of the pixels; those whose true displacement is out of reach do not count.
    """
    side = math.isqrt(log_probability.shape[1])
    radius = side // 2
    weights = inside[:, 0] * (target.abs().amax(dim=1) < radius - 0.5)
    position = target + radius - 0.5  # among the offsets, see `offsets`
    corner = position.floor()
    part = position - corner
    probability = torch.zeros_like(log_probability)
    for along, share_along in ((0, 1 - part[:, 0]), (1, part[:, 0])):
        for down, share_down in ((0, 1 - part[:, 1]), (1, part[:, 1])):
            column, row = ((corner[:, axis] + far).clamp(0, side - 1) for axis, far in ((0, along), (1, down)))
            probability.scatter_add_(1, (row * side + column).long()[:, None], (share_along * share_down)[:, None])
    entropy = -(probability * log_probability).sum(dim=1)
    return (entropy * weights).sum() / over_all_rows(weights.sum(), least=1.0)


def at_level(field: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Average a field (N, 2, H, W) onto a coarser grid, in pixels of that grid."""
    pixels = field.shape[-1] // size[-1]
    return F.avg_pool2d(field, pixels) / pixels


def smoothness_loss(registration: Registration) -> torch.Tensor:
    """Return L_flow, the mean squared finite differences of the composed field."""
    rows = registration.field.diff(dim=-2).square().mean()
    return rows + registration.field.diff(dim=-1).square().mean()


def registration_loss(registration: Registration, pairs: UnalignedPairs) -> torch.Tensor:
    """Return L_reg, (1 - SSIM) + L1 between the undeformed moving slice and the warped one."""
    warped = warp(pairs.moving, registration.field)
    return dissimilarity(warped, pairs.aligned) + F.l1_loss(warped, pairs.aligned)


def fusion_loss(fused: torch.Tensor, fixed: torch.Tensor, warped: torch.Tensor, intensity: float) -> torch.Tensor:
    """Return L_fusion: structure of both slices, the larger intensity, the steeper edge.

    Unlike the published loss, it compares edges as gradients, since strengths alone do not keep their direction, and by
    `edges_lost`; and the moving slice counts half in structure, since it is smooth.

    Args:
        fused: Fused slices (N, 1, H, W) in [0, 1].
        fixed: Fixed slices A, likewise.
        warped: Moving slices B' as the network registered them, so that fusion need not correct the registration.
        intensity: Weight of the larger intensity. Where B' is bright all over (PET, SPECT), a large weight hides the
            anatomy of A; for CT it shows the bone.
    """
    gradients = [spatial_gradient(slices)[:, 0] for slices in (fixed, warped, fused)]  # (N, 2, H, W)
    fixed_gradient, warped_gradient, fused_gradient = gradients

    def steepness(gradient: torch.Tensor) -> torch.Tensor:
        return gradient.square().sum(dim=1, keepdim=True)

    steeper = torch.where(steepness(fixed_gradient) > steepness(warped_gradient), fixed_gradient, warped_gradient)
    structure = dissimilarity(fused, fixed) + 0.5 * dissimilarity(fused, warped)
    brightness = F.l1_loss(fused, torch.maximum(fixed, warped))
    edges = 16 * F.l1_loss(fused_gradient, steeper) + 2 * edges_lost(*gradients)
    return structure + intensity * brightness + edges


def edges_lost(fixed: torch.Tensor, warped: torch.Tensor, fused: torch.Tensor) -> torch.Tensor:
    """Return 1 - Q_AB/F of gradients (N, 2, H, W), whose directions have no sign (Xydeas and Petrovic 2000).

    Each edge of either slice counts by its strength, and is kept as far as strength and direction of the fused edge are
    close to it.
    """

    def strength(gradient: torch.Tensor) -> torch.Tensor:
        # The addition keeps the square root's own gradient finite where there is no edge.
        return (gradient.square().sum(dim=1) + 2e-8).sqrt()

    kept = total = fused.new_zeros(len(fused))
    for source in (fixed, warped):
        wanted, reached = strength(source), strength(fused)
        along = (source * fused).sum(dim=1).abs()
        across = (source[:, 0] * fused[:, 1] - source[:, 1] * fused[:, 0]).abs()
        nearness = 1 - torch.atan2(across, along + 1e-8) / (math.pi / 2)
        of_strength = 0.9994 * torch.sigmoid(
            15 * (torch.minimum(wanted, reached) / torch.maximum(wanted, reached) - 0.5)
        )
        of_direction = 0.9879 * torch.sigmoid(22 * (nearness - 0.8))
        kept = kept + (wanted * of_strength * of_direction).sum(dim=(1, 2))
        total = total + wanted.sum(dim=(1, 2))
    return 1 - (kept / total).mean()


def dissimilarity(image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return 1 - SSIM of two stacks of images (N, 1, H, W) in [0, 1] (Wang et al. 2004; Gaussian window, sigma 1.5).

    The window is applied by products with two matrices. On a CPU that takes a third of the time of convolutions, which
    are slow for one channel, and was most of a step of fusion.
    """
    down, across = (_window_matrix(side, image.dtype, image.device) for side in image.shape[-2:])

    def blurred(values: torch.Tensor) -> torch.Tensor:
        return down @ values @ across.mT

    with torch.autocast(image.device.type, enabled=False):
        mean, other_mean = blurred(image), blurred(other)
        product = mean * other_mean
        squares = mean.square() + other_mean.square()
        variances = blurred(image.square() + other.square()) - squares
        covariance = blurred(image * other) - product
        similarity = (2 * product + SSIM_C1) * (2 * covariance + SSIM_C2)
        similarity = similarity / ((squares + SSIM_C1) * (variances + SSIM_C2))
    return 1 - similarity.clamp(-1, 1).mean()


@lru_cache(maxsize=8)
def _window_matrix(side: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the matrix (side, side) of a convolution with SSIM's window, whose border is reflected."""
    radius = SSIM_WINDOW_PX // 2
    window = get_gaussian_kernel1d(SSIM_WINDOW_PX, 1.5, dtype=dtype, device=device)
    impulses = F.pad(torch.eye(side, dtype=dtype, device=device)[:, None], [radius, radius], mode="reflect")
    return F.conv1d(impulses, window[None])[:, 0].mT.contiguous()
