"""Our network on slice pairs for which the published model's answer and the truth are known, beside both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.metadata import PUBLISHED
from BSAFusionLib.pipeline.intensities import luminance_weights
from BSAFusionResearch.evaluation import fusion_quality, likeness
from BSAFusionResearch.evaluation.folding import folded_percent
from BSAFusionResearch.training.arrays import read_arrays
from BSAFusionResearch.training.atlas_colours import levels

versions = ("before", "published", "ours")

Measure = Callable[..., float]
# Of a moving slice against its truth.
registration_measures: dict[str, Measure] = {
    "difference": likeness.difference,
    "ssim": likeness.ssim,
    "correlation": likeness.correlation,
}
# Of a fused slice, with the MRI and the moving slice's truth before it.
fusion_measures: dict[str, Measure] = {
    "q_abf": fusion_quality.q_abf,
    "vif": fusion_quality.vif,
    "q_cv": fusion_quality.q_cv,
    "fused_ssim": fusion_quality.fused_ssim,
    "fused_mutual_information": fusion_quality.fused_mutual_information,
}
# What each is called in a table, in its order.
titles = {
    "difference": "difference to truth, grey levels",
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


@dataclass(frozen=True)
class BenchmarkPairs:
    """N pairs of one modality, uint8 (N, H, W), the colour ones (N, H, W, 3) or None where there is no colour.

    Where there is, the grey ones are Y of YCbCr in the range 16 to 235 (ITU-R BT.601): black is 16; and `moving_levels`
    are what the colours stand for (`training.atlas_colours`), 0 to 255.
    """

    fixed: np.ndarray
    moving: np.ndarray  # deformed
    truth: np.ndarray  # moving before its deformation
    published_aligned: np.ndarray
    published_fused: np.ndarray
    moving_rgb: np.ndarray | None = None
    moving_levels: np.ndarray | None = None
    published_fused_rgb: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.fixed)


@dataclass(frozen=True)
class Answer:
    """What a network made of the pairs: `registered` and `fused` uint8 (N, H, W), `field` float32 (N, 2, H, W) in
    pixels."""

    registered: np.ndarray
    fused: np.ndarray
    field: np.ndarray


def load_benchmark(folder: Path, modality: str) -> BenchmarkPairs:
    """The pairs in `<modality>.npz` of a folder; FusionError where there is no such file, or it is another kind."""
    names = ("fixed", "moving", "aligned_truth", "published_aligned", "published_fused")
    arrays = read_arrays(Path(folder) / f"{modality}.npz", names, ("moving_rgb", "published_fused_rgb"))
    colours = arrays.get("moving_rgb")
    return BenchmarkPairs(
        truth=arrays.pop("aligned_truth"),
        moving_levels=None if colours is None else levels(colours, modality),
        **arrays,
    )


def answer(network: FusionNetwork, pairs: BenchmarkPairs) -> Answer:
    """Register and fuse the slices, following the network's whole field.

    Of coloured slices, what the colours stand for is registered, as a scanner's own values are in the pipeline, and
    their luminance from 0 to 255 is fused; the published layout was made to register that luminance, too. `registered`
    is `moving` through the field, in the grey levels of the truth.
    """
    shown = pairs.moving if pairs.moving_rgb is None else pairs.moving_rgb @ luminance_weights
    seen = shown if pairs.moving_levels is None or network.convention == PUBLISHED else pairs.moving_levels
    slices = [torch.from_numpy(each.astype(np.float32))[:, None] / 255 for each in (pairs.fixed, seen, shown)]
    device = next(network.parameters()).device
    fields, fused = [], []
    with torch.inference_mode():
        for batch in zip(*(each.split(4) for each in slices), strict=True):
            fixed, to_register, to_fuse = (each.to(device) for each in batch)
            output = network(fixed, to_register, fuse=seen is shown)
            fields.append(output.field)
            fused.append(
                network.fuse(fixed, network.warp(to_fuse, output.field)) if output.fused is None else output.fused
            )
    field = torch.cat(fields).cpu()
    moving = torch.from_numpy(pairs.moving.astype(np.float32))[:, None]
    registered = network.warp(moving, field)[:, 0].numpy()
    fused_levels = 255 * torch.cat(fused)[:, 0].cpu().numpy()
    return Answer(np.rint(registered).astype(np.uint8), np.rint(fused_levels).astype(np.uint8), field.numpy())


def measure(pairs: BenchmarkPairs, ours: Answer) -> dict[str, dict[str, np.ndarray]]:
    """A measure's value for each pair, (N,), by measure and then by version.

    `before` is the moving slice as it came, and as fused slice the larger of its and the MRI's pixels, which is what
    fusing gives without aligning. Fused slices are held against the MRI and the moving slice's truth. `folded_percent`
    is known of our field only.
    """
    registered = dict(zip(versions, (pairs.moving, pairs.published_aligned, ours.registered), strict=True))
    unaligned = np.maximum(pairs.fixed, pairs.moving)
    fused = dict(zip(versions, (unaligned, pairs.published_fused, ours.fused), strict=True))

    def each(function: Measure, *stacks: np.ndarray) -> np.ndarray:
        return np.array([function(*slices) for slices in zip(*stacks, strict=True)])

    values: dict[str, dict[str, np.ndarray]] = {name: {} for name in titles}
    for version in versions:
        for name, function in registration_measures.items():
            values[name][version] = each(function, registered[version], pairs.truth)
        values["mutual_information"][version] = each(likeness.mutual_information, pairs.fixed, registered[version])
        for name, function in fusion_measures.items():
            values[name][version] = each(function, pairs.fixed, pairs.truth, fused[version])
        values["entropy"][version] = each(fusion_quality.entropy, fused[version])
    values["folded_percent"]["ours"] = each(folded_percent, ours.field)
    return values
