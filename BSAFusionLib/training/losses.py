"""The terms that the network is trained by."""

import torch
import torch.nn.functional as F
from kornia.filters import sobel
from kornia.losses import ssim_loss

from BSAFusionLib.network.bsafusion import BSAFusion, BSAFusionOutput
from BSAFusionLib.network.warp import resize, warp
from BSAFusionLib.training.unaligned_pairs import UnalignedPairs


def classification_loss(output: BSAFusionOutput) -> torch.Tensor:
    """L_cls, equation (1): the heads name the modality, fixed [0, 1] and moving [1, 0]."""
    ones = torch.ones(len(output.fixed_logits), dtype=torch.long, device=output.fixed_logits.device)
    return F.cross_entropy(output.fixed_logits, ones) + F.cross_entropy(output.moving_logits, 1 - ones)


def transfer_loss(network: BSAFusion, output: BSAFusionOutput) -> torch.Tensor:
    """L_trans, equation (3): after the transfer the discriminator cannot tell the modality."""
    undecided = torch.full_like(output.fixed_logits, 0.5)
    discriminate = network.mdf_fr.discriminate
    return F.cross_entropy(discriminate(output.fixed), undecided) + F.cross_entropy(
        discriminate(output.moving), undecided
    )


def end_point_errors(field: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Distance in pixels between two fields (N, 2, H, W), per pixel (N, 1, H, W); smooth at zero, to be learnt from."""
    return ((field - truth).square().sum(dim=1, keepdim=True) + 1e-4).sqrt()


def supervision_loss(output: BSAFusionOutput, pairs: UnalignedPairs) -> torch.Tensor:
    """The composed field, and what it is after each pair of steps, against the true one, in pixels inside the head.

    Each level is judged on its own grid; a tenth of the weight lies outside the head, where only smoothness is known.
    """
    total = torch.zeros((), device=pairs.field.device)
    composed = torch.zeros_like(output.forward_fields[0])
    for ahead, back in zip(output.forward_fields, output.reverse_fields, strict=True):
        pixels = pairs.field.shape[-1] // ahead.shape[-1]  # of the whole slice in one of this level
        composed = resize(composed, ahead.shape[-2:]) + (back - ahead) * pixels
        truth = F.avg_pool2d(pairs.field, pixels)
        weights = 0.1 + 0.9 * F.avg_pool2d(pairs.inside, pixels)
        level = (end_point_errors(composed, truth) * weights).sum() / weights.sum()
        last = ahead is output.forward_fields[-1]
        total = total + level * (1.0 if last else 0.25)
    return total


def smoothness_loss(output: BSAFusionOutput) -> torch.Tensor:
    """L_flow: squared finite differences of the composed field."""
    rows = output.field.diff(dim=-2).square().mean()
    return rows + output.field.diff(dim=-1).square().mean()


def registration_loss(output: BSAFusionOutput, pairs: UnalignedPairs) -> torch.Tensor:
    """L_reg: (1 - SSIM) + L1 between the undeformed moving slice and the warped one."""
    warped = warp(pairs.moving, output.field)
    return dissimilarity(warped, pairs.aligned) + F.l1_loss(warped, pairs.aligned)


def fusion_loss(output: BSAFusionOutput, pairs: UnalignedPairs) -> torch.Tensor:
    """L_fusion, with the truly aligned moving slice as B': structure of both, the larger intensity, the larger edge.

    Equal weight for both SSIM terms; the published code balances them by last epoch's ratio.
    """
    fused, fixed, aligned = output.fused, pairs.fixed, pairs.aligned
    structure = dissimilarity(fused, fixed) + dissimilarity(fused, aligned)
    intensity = F.l1_loss(fused, torch.maximum(fixed, aligned))
    edges = F.l1_loss(sobel(fused), torch.maximum(sobel(fixed), sobel(aligned)))
    return structure + 0.5 * intensity + edges


def dissimilarity(image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """1 - SSIM (window 11), of images in [0, 1]."""
    return 2 * ssim_loss(image, other, window_size=11)
