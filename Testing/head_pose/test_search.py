"""The 24 turns of a volume, and poses that fit together."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.head_pose.network import HeadNetwork
from BSAFusionLib.head_pose.search import (
    HeadPose,
    axis_turns,
    find_head,
    regions,
    rigid_between,
    turned,
)


def pose(rotation: np.ndarray, translation: list[float], scale: float = 1.0) -> HeadPose:
    return HeadPose(rotation, np.array(translation), scale, 1200, 3, 5, 1, found=True)


def test_there_are_24_turns_and_the_first_changes_nothing() -> None:
    values = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    seen = {(*turned(values, *turn).flatten().tolist(), *turned(values, *turn).shape) for turn in axis_turns()}
    assert len(seen) == 24
    assert torch.equal(turned(values, *axis_turns()[0]), values)


def test_every_turn_is_a_rotation_and_no_mirror() -> None:
    corners = torch.tensor(np.indices((2, 2, 2))[::-1].copy())  # (x, y, z) of each corner
    for turn in axis_turns():
        moved = turned(corners, *turn).numpy()
        along = [moved[:, 0, 0, 1], moved[:, 0, 1, 0], moved[:, 1, 0, 0]]
        matrix = np.stack([end - moved[:, 0, 0, 0] for end in along])
        assert np.linalg.det(matrix) == pytest.approx(1), turn


def test_a_search_stops_when_told_to() -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(30, 30, 30)))
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        find_head(image, HeadNetwork().eval(), all_turns=True, cancelled=cancelled)
    assert len(asked) == 4


def test_two_poses_give_the_motion_between_the_heads() -> None:
    turn = Rotation.from_euler("xyz", [30, 60, -100], degrees=True).as_matrix()
    fixed = pose(Rotation.from_euler("x", 10, degrees=True).as_matrix(), [5, -10, 20])
    moving = pose(turn @ fixed.rotation, (turn @ fixed.translation + [7, 8, 9]).tolist(), scale=1.03)
    transform = rigid_between(fixed, moving)
    for point in ([0.0, 0, 0], [60.0, -20, 30]):
        np.testing.assert_allclose(transform.TransformPoint(point), turn @ point + [7, 8, 9], atol=1e-6)


def test_a_pose_maps_the_standard_origin_to_the_brains_center() -> None:
    found = pose(np.eye(3), [1, 2, 3], 1.1)
    np.testing.assert_allclose(found.to_image(np.array([[0, 0, 0], [10, 0, 0]])), [[1, 2, 3], [12, 2, 3]])


def test_a_long_volume_is_searched_in_few_windows_around_what_looks_like_brain() -> None:
    brain = torch.zeros(100, 30, 40)
    brain[80:90, 10:20, 28:38] = 1.0
    brain[8:16, 10:18, 5:13] = 1.0
    first, *others = regions(brain)
    assert len(others) == 2  # the brain in front, and what is left between
    for part, low, high in zip(first, (80, 10, 28), (90, 20, 38), strict=True):
        assert part.start <= low
        assert high <= part.stop
    assert any(part[0].start <= 8 and part[0].stop >= 16 for part in others)


def test_a_wide_slab_is_searched_though_it_is_thinner_than_a_brain() -> None:
    brain = torch.zeros(10, 20, 90)
    brain[2:8, 6:16, 70:80] = 1.0
    thin, middle, wide = regions(brain)[0]
    assert (thin, middle) == (slice(0, 10), slice(0, 20))
    assert wide.start <= 70 and wide.stop >= 80


def test_a_volume_of_the_size_of_a_head_is_searched_as_a_whole() -> None:
    assert regions(torch.zeros(20, 34, 22)) == [(slice(0, 20), slice(0, 34), slice(0, 22))]
