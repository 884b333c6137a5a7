"""Draw benchmark pairs, ours beside the published ones, to look at."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from BSAFusionLib.network.sampling import warp
from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS
from BSAFusionResearch.evaluation.published_pairs import Answer, PublishedPairs

COLUMNS = ("MRI", "moving", "published aligned", "ours aligned", "truth", "published fused", "ours fused")
PAIRS_SHOWN = 8
GAP_PX = 4
HEADING_PX = 16


def write_sheet(path: Path, pairs: PublishedPairs, ours: Answer) -> None:
    """Write eight evenly spread pairs as a PNG, a row each, pixel for pixel; in color where the pairs have it."""
    rows = np.unique(np.linspace(0, len(pairs) - 1, PAIRS_SHOWN).round().astype(int))
    moving, registered, published_fused, fused = pairs.moving, ours.registered, pairs.published_fused, ours.fused
    if pairs.moving_rgb is not None and pairs.published_fused_rgb is not None:
        moving, published_fused = pairs.moving_rgb, pairs.published_fused_rgb
        registered, fused = colored(pairs.moving_rgb, ours)
    stacks = (pairs.fixed, moving, pairs.published_aligned, registered, pairs.truth, published_fused, fused)
    height, width = pairs.fixed.shape[1:]
    sheet = Image.new("RGB", (len(COLUMNS) * (width + GAP_PX), HEADING_PX + len(rows) * (height + GAP_PX)), "white")
    text = ImageDraw.Draw(sheet)
    for column, (title, slices) in enumerate(zip(COLUMNS, stacks, strict=True)):
        left = column * (width + GAP_PX)
        text.text((left + 2, 2), title, fill="black")
        for row, pair in enumerate(rows):
            sheet.paste(Image.fromarray(slices[pair]), (left, HEADING_PX + row * (height + GAP_PX)))
    sheet.save(path)


def colored(moving_rgb: np.ndarray, ours: Answer) -> tuple[np.ndarray, np.ndarray]:
    """Return the registered and the fused slices in the moving slices' colors.

    Red, green and blue are warped by the field; then the fused luminance replaces Y, as in the pipeline: keeping Cb and
    Cr means adding the difference in Y to all three.

    Args:
        moving_rgb: (N, H, W, 3), uint8.
        ours: Our network's answer.

    Returns:
        Registered and fused slices, both (N, H, W, 3), uint8.
    """
    channels = torch.from_numpy(np.moveaxis(moving_rgb, -1, 1).astype(np.float32))
    registered = np.moveaxis(warp(channels, torch.from_numpy(ours.field)).numpy(), 1, -1)
    fused = registered + (ours.fused - registered @ LUMINANCE_WEIGHTS)[..., None]
    return _as_uint8(registered), _as_uint8(fused)


def _as_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
