"""Measure our network on the published model's test pairs, beside that model's answers and the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.metadata import PUBLISHED
from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS
from BSAFusionResearch.evaluation import fusion_quality, similarity
from BSAFusionResearch.evaluation.folding import folded_percent
from BSAFusionResearch.training.arrays import read_arrays
from BSAFusionResearch.training.atlas_colors import levels

VERSIONS = ("before", "published", "ours")
BATCH = 4

Measure = Callable[..., float]

REGISTRATION_MEASURES: dict[str, Measure] = {
    "difference": similarity.difference,
    "ssim": similarity.ssim,
    "correlation": similarity.correlation,
}
"""Measures of a registered slice and its truth."""

FUSION_MEASURES: dict[str, Measure] = {
    "q_abf": fusion_quality.q_abf,
    "vif": fusion_quality.vif,
    "q_cv": fusion_quality.q_cv,
    "fused_ssim": fusion_quality.fused_ssim,
    "fused_mutual_information": fusion_quality.fused_mutual_information,
}
"""Measures of the MRI, the moving slice's truth and a fused slice."""

TITLES = {
    "difference": "difference to truth, gray levels",
    "ssim": "SSIM with truth",
    "correlation": "correlation with truth",
    "mutual_information": "mutual information with MRI, nats",
    "folded_percent": "folded, %",
    "q_abf": "fused: Q_AB/F",
    "vif": "fused: VIF, both",
    "q_cv": "fused: Q_CV (lower is better)",
    "fused_ssim": "fused: SSIM, both",
    "fused_mutual_information": "fused: mutual information, both, bits",
    "entropy": "fused: entropy, bits",
}
"""Titles of the measures, in the order of a table."""


@dataclass(frozen=True)
class PublishedPairs:
    """N pairs of one modality; slices are uint8 (N, H, W).

    Where the slices are in color, the gray ones are Y of YCbCr in the range 16 to 235 (ITU-R BT.601): black is 16.

    Attributes:
        fixed: MRI slices.
        moving: Deformed moving slices.
        truth: Moving slices before their deformation.
        published_aligned: Moving slices as the published model registered them.
        published_fused: Slices as the published model fused them.
        moving_rgb: Deformed moving slices in color, (N, H, W, 3), or None.
        moving_levels: Levels that the colors stand for, see `training.atlas_colors`, or None.
        published_fused_rgb: Slices as the published model fused them, in color, (N, H, W, 3), or None.
    """

    fixed: np.ndarray
    moving: np.ndarray
    truth: np.ndarray
    published_aligned: np.ndarray
    published_fused: np.ndarray
    moving_rgb: np.ndarray | None = None
    moving_levels: np.ndarray | None = None
    published_fused_rgb: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.fixed)


@dataclass(frozen=True)
class Answer:
    """A network's answer to the pairs.

    Attributes:
        registered: Registered slices, uint8 (N, H, W).
        fused: Fused slices, likewise.
        field: Composed fields, float32 (N, 2, H, W) in pixels, channel 0 along columns.
    """

    registered: np.ndarray
    fused: np.ndarray
    field: np.ndarray


def load_published_pairs(folder: Path, modality: str) -> PublishedPairs:
    """Read the pairs in `<modality>.npz` of a folder.

    Raises:
        FusionError: The file is missing, cannot be read, or lacks an array.
    """
    names = ("fixed", "moving", "aligned_truth", "published_aligned", "published_fused")
    arrays = read_arrays(Path(folder) / f"{modality}.npz", names, ("moving_rgb", "published_fused_rgb"))
    colors = arrays.get("moving_rgb")
    return PublishedPairs(
        truth=arrays.pop("aligned_truth"),
        moving_levels=None if colors is None else levels(colors, modality),
        **arrays,
    )


def answer(network: FusionNetwork, pairs: PublishedPairs) -> Answer:
    """Register and fuse the slices, applying the network's whole field.

    Of colored slices, the levels that the colors stand for are registered, like a scanner's own values in the pipeline,
    and their luminance, from 0 to 255, is fused. The published layout registers the luminance, too, as it was trained.

    Returns:
        The answer; its registered slices are `pairs.moving` through the field, in the gray levels of the truth.
    """
    shown = pairs.moving if pairs.moving_rgb is None else pairs.moving_rgb @ LUMINANCE_WEIGHTS
    registrable = shown if pairs.moving_levels is None or network.convention == PUBLISHED else pairs.moving_levels
    slices = [torch.from_numpy(stack.astype(np.float32))[:, None] / 255 for stack in (pairs.fixed, registrable, shown)]
    device = next(network.parameters()).device
    fields, fused = [], []
    with torch.inference_mode():
        for batch in zip(*(stack.split(BATCH) for stack in slices), strict=True):
            fixed, to_register, to_fuse = (stack.to(device) for stack in batch)
            output = network(fixed, to_register, fuse=registrable is shown)
            fields.append(output.field)
            fused.append(
                network.fuse(fixed, network.warp(to_fuse, output.field)) if output.fused is None else output.fused
            )
    field = torch.cat(fields).cpu()
    moving = torch.from_numpy(pairs.moving.astype(np.float32))[:, None]
    registered = network.warp(moving, field)[:, 0].numpy()
    fused_levels = 255 * torch.cat(fused)[:, 0].cpu().numpy()
    return Answer(np.rint(registered).astype(np.uint8), np.rint(fused_levels).astype(np.uint8), field.numpy())


def measure(pairs: PublishedPairs, ours: Answer) -> dict[str, dict[str, np.ndarray]]:
    """Measure each pair before registration, as published, and as ours.

    Before registration, the fused slice is the larger of the MRI's and the moving slice's pixels, which is what fusion
    without alignment gives. Fused slices are compared with the MRI and the moving slice's truth.

    Returns:
        Values (N,) by measure, a key of `TITLES`, and version, one of `VERSIONS`; `folded_percent` of our field only.
    """
    registered = dict(zip(VERSIONS, (pairs.moving, pairs.published_aligned, ours.registered), strict=True))
    unaligned = np.maximum(pairs.fixed, pairs.moving)
    fused = dict(zip(VERSIONS, (unaligned, pairs.published_fused, ours.fused), strict=True))

    def values_of(function: Measure, *stacks: np.ndarray) -> np.ndarray:
        return np.array([function(*slices) for slices in zip(*stacks, strict=True)])

    values: dict[str, dict[str, np.ndarray]] = {name: {} for name in TITLES}
    for version in VERSIONS:
        for name, function in REGISTRATION_MEASURES.items():
            values[name][version] = values_of(function, registered[version], pairs.truth)
        information = values_of(similarity.mutual_information, pairs.fixed, registered[version])
        values["mutual_information"][version] = information
        for name, function in FUSION_MEASURES.items():
            values[name][version] = values_of(function, pairs.fixed, pairs.truth, fused[version])
        values["entropy"][version] = values_of(fusion_quality.entropy, fused[version])
    values["folded_percent"]["ours"] = values_of(folded_percent, ours.field)
    return values
