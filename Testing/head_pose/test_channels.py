"""The network's input survives what scanners and windows do to intensities."""

import numpy as np
import torch

from BSAFusionLib.head_pose.channels import channels_of


def volume(seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:20, :24, :22]
    inside = ((z - 10) / 8) ** 2 + ((y - 12) / 10) ** 2 + ((x - 11) / 8) ** 2 < 1
    return torch.tensor(np.where(inside, 100 + rng.integers(0, 500, z.shape), 0), dtype=torch.float32)


def test_ranks_and_their_contrast_do_not_change_under_a_monotone_change() -> None:
    one, other = channels_of(volume()), channels_of(volume().square() - 1000)
    torch.testing.assert_close(one[[0, 2]], other[[0, 2]])
    assert not torch.allclose(one[1], other[1], atol=0.02)


def test_ties_share_their_middle_rank() -> None:
    image = volume()
    share = float((image == 0).float().mean())
    assert torch.allclose(channels_of(image)[0][image == 0], torch.tensor(share - 1))


def test_a_hot_spot_leaves_the_rest_as_it_was() -> None:
    image, hot = volume(), volume()
    hot[4:6, 10:12, 10:12] *= 30
    elsewhere = torch.ones_like(image, dtype=torch.bool)
    elsewhere[:10, 4:18, 4:18] = False
    difference = (channels_of(hot) - channels_of(image)).abs()[:, elsewhere]
    assert difference.max() < 0.02


def test_a_constant_volume_is_finite() -> None:
    for value in (0.0, -1024.0, 3e38):
        assert torch.isfinite(channels_of(torch.full((8, 8, 8), value))).all()


def test_the_window_is_within_bounds_for_any_unit() -> None:
    for factor in (1e-12, 1.0, 1e12):
        window = channels_of(volume() * factor)[1]
        assert (window.min(), window.max()) == (-1, 1)
