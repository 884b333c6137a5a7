"""A picture of benchmark pairs, ours beside the published ones, for looking at."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from BSAFusionLib.network.sampling import warp
from BSAFusionLib.pipeline.intensities import luminance_weights
from BSAFusionResearch.evaluation.benchmark import Answer, BenchmarkPairs

columns = ("MRI", "moving", "published aligned", "ours aligned", "truth", "published fused", "ours fused")
shown = 8  # pairs
gap = 4  # pixels, white
heading = 16  # pixels


def write_sheet(path: Path, pairs: BenchmarkPairs, ours: Answer) -> None:
    """Eight pairs, evenly spread, a row each, every pixel as it is; in colour where the pairs have it (PNG)."""
    rows = np.unique(np.linspace(0, len(pairs) - 1, shown).round().astype(int))
    moving, registered, published_fused, fused = pairs.moving, ours.registered, pairs.published_fused, ours.fused
    if pairs.moving_rgb is not None and pairs.published_fused_rgb is not None:
        moving, published_fused = pairs.moving_rgb, pairs.published_fused_rgb
        registered, fused = coloured(pairs.moving_rgb, ours)
    shown_slices = (pairs.fixed, moving, pairs.published_aligned, registered, pairs.truth, published_fused, fused)
    height, width = pairs.fixed.shape[1:]
    sheet = Image.new("RGB", (len(columns) * (width + gap), heading + len(rows) * (height + gap)), "white")
    text = ImageDraw.Draw(sheet)
    for column, (title, slices) in enumerate(zip(columns, shown_slices, strict=True)):
        left = column * (width + gap)
        text.text((left + 2, 2), title, fill="black")
        for row, pair in enumerate(rows):
            sheet.paste(Image.fromarray(slices[pair]), (left, heading + row * (height + gap)))
    sheet.save(path)


def coloured(moving_rgb: np.ndarray, ours: Answer) -> tuple[np.ndarray, np.ndarray]:
    """The registered and the fused slices in the moving slices' colours, uint8 (N, H, W, 3).

    Red, green and blue through the field; then Y replaced by the fused one, as in the pipeline: to keep Cb and Cr is to
    add the difference in Y to all three alike.
    """
    channels = torch.from_numpy(np.moveaxis(moving_rgb, -1, 1).astype(np.float32))
    registered = np.moveaxis(warp(channels, torch.from_numpy(ours.field)).numpy(), 1, -1)
    fused = registered + (ours.fused - registered @ luminance_weights)[..., None]
    return _colours(registered), _colours(fused)


def _colours(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
