"""Slice pairs of a small head whose parts are known."""

import numpy as np
import pytest

side = 64


def head(shift: float = 0.0, inverted: bool = False) -> np.ndarray:
    """Make an egg of a head with an off-center spot, moved by some pixels along the columns; uint8 (64, 64)."""
    y, x = np.mgrid[:side, :side] - 31.5
    x = x - shift
    skull = 1 / (1 + np.exp(np.hypot(x / 18, y / 25) * 20 - 20))
    spot = 1 / (1 + np.exp(np.hypot(x - 6, y + 9) * 1.5 - 9))
    values = 90 * skull + (-60 if inverted else 120) * spot * skull
    return np.rint(values).astype(np.uint8)


@pytest.fixture
def benchmark_folder(tmp_path):
    """Three pairs of CT and of PET, moving slices 4, 2 and 3 pixels off; what was published is the truth."""
    folder = tmp_path / "benchmark"
    folder.mkdir()
    for modality in ("ct", "pet"):
        fixed, truth = np.stack([head()] * 3), np.stack([head(inverted=True)] * 3)
        moving = np.stack([head(shift, inverted=True) for shift in (4, 2, 3)])
        arrays = dict(fixed=fixed, moving=moving, aligned_truth=truth, published_aligned=truth, published_fused=fixed)
        if modality == "pet":
            arrays["moving_rgb"] = np.stack([moving, moving // 2, moving // 4], axis=-1)
            arrays["published_fused_rgb"] = np.repeat(fixed[..., None], 3, axis=-1)
        np.savez(folder / f"{modality}.npz", **arrays)
    return folder


@pytest.fixture
def data_folder(tmp_path):
    """Two aligned CT pairs each of two patients; fold 0 is the first one, and the last pair is left out of training."""
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez(
        folder / "ct.npz",
        mri=np.stack([head()] * 4),
        moving=np.stack([head(inverted=True)] * 4),
        id=np.array(["1001", "1002", "2001", "2002"]),
        split=np.array(["train"] * 3 + ["val"]),
    )
    return folder
