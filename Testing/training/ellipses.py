"""Slice pairs to train on in tests."""

from pathlib import Path

import numpy as np
import torch

from BSAFusionResearch.training.slice_pairs import SlicePairs


def ellipses(count: int, side: int = 64) -> SlicePairs:
    """Heads of a sort: an ellipse with two smaller ones inside, which the moving slice shows in other greys."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    generator = np.random.default_rng(0)
    fixed, moving = np.zeros((2, count, side, side))
    for index in range(count):
        for greys in ((0.4, 0.7), (0.9, 0.2), (0.6, 0.5)):
            cx, cy = generator.uniform(-0.1, 0.1, 2)
            rx, ry = generator.uniform(0.1, 0.35, 2)
            inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
            fixed[index][inside], moving[index][inside] = greys
    tensors = [torch.from_numpy((255 * images).astype(np.uint8))[:, None] for images in (fixed, moving)]
    return SlicePairs(*tensors, tensors[1], np.arange(count), np.full(count, "ct"), np.zeros(count, int))


def save_ellipses(folder: Path, patients: tuple[int, ...] = (1, 2, 3, 4, 5, 6)) -> None:
    """Write ct.npz, with one slice of each patient, into a folder."""
    pairs = ellipses(len(patients))
    np.savez(
        folder / "ct.npz",
        mri=pairs.fixed[:, 0].numpy(),
        moving=pairs.moving[:, 0].numpy(),
        id=np.array([f"{patient}001" for patient in patients]),
        split=np.array(["train"] * len(patients)),
    )
