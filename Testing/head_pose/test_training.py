"""Training images tell the truth about themselves, and an interrupted training goes on as if it had not been."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from BSAFusionLib.errors import FusionError
from BSAFusionResearch.pose.generator import MODALITIES, Dice, Difficulty, grid_points, make_example, make_scene
from BSAFusionResearch.pose.heads import STANDARD_FILE, Head, fit_similarity, load_head
from BSAFusionResearch.pose.train import CHECKPOINT, Training, TrainingSettings
from BSAFusionResearch.pose.validate import image_of, read_network

SHAPE = (30, 38, 32)


@pytest.fixture(scope="module")
def head(shared: Path) -> Head:
    return load_head(shared / "data" / "heads" / "09.nii.gz", STANDARD_FILE)


def test_the_standard_head_is_symmetric_and_looks_forward() -> None:
    standard = np.load(STANDARD_FILE)
    np.testing.assert_allclose(standard[:, 0], standard[:, 1] * [-1, 1, 1])
    assert (standard[:, 1, 0] > 0).all()  # left is positive in LPS
    eyes, brain_stem = standard[9].mean(0), standard[7].mean(0)
    assert eyes[1] < -70
    assert brain_stem[2] < -25


def test_the_similarity_of_matching_points_is_exact() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3)) * 50
    one = fit_similarity(points, points)
    turned = fit_similarity(points, 1.1 * points[:, [1, 2, 0]] + [1, 2, 3])
    np.testing.assert_allclose(one.rotation, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(turned(points), 1.1 * points[:, [1, 2, 0]] + [1, 2, 3], atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_coordinates_agree_with_the_affine_of_the_pose(head: Head, seed: int) -> None:
    difficulty = Difficulty(any_rotation=0.5, tilt_deg=30, bend_mm=0)
    example = make_example(head, SHAPE, Dice(seed), difficulty)  # mirrored ones among them
    cells = F.avg_pool3d(grid_points(SHAPE).movedim(-1, 0)[None], 2)[0]
    affine = torch.tensor(example.standard_from_image, dtype=torch.float32)
    expected = torch.einsum("ij,jdhw->idhw", affine[:, :3], cells) + affine[:, 3][:, None, None, None]
    torch.testing.assert_close(example.coordinate, expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_shows_a_brain_and_finite_channels(head: Head, modality: str) -> None:
    example = make_example(head, SHAPE, Dice(1), Difficulty(0, 10, modality, torso=0, size=1.0))
    assert torch.isfinite(example.channels).all()
    assert example.channels.abs().max() < 6
    assert 0.4 < float(example.brain.sum()) * 1.728 / 1146 < 1.2  # of the ml of head 09; some slices may be cut off


def test_an_image_without_a_head_holds_no_brain(head: Head) -> None:
    for seed in range(6):
        scene = make_scene(head, SHAPE, Dice(seed), Difficulty(no_head=1.0))
        assert not scene.brain.any()
        assert torch.isfinite(scene.image).all()


@pytest.mark.parametrize("turn", [0, 5, 13, 22])
def test_a_turned_volume_is_described_by_its_affine(head: Head, turn: int) -> None:
    scene = make_scene(head, SHAPE, Dice(0), Difficulty(0, 15, "ct", torso=0, bend_mm=0, stretch=0), 6.0)
    scene.image.copy_(scene.brain)
    image, affine = image_of(scene, 6.0, turn)
    brain = sitk.GetArrayFromImage(image)
    k, j, i = (axis.ravel() for axis in np.indices(brain.shape))
    weights = brain.ravel() / brain.sum()
    middle = np.stack([i, j, k], 1).T @ weights * 6.0 + image.GetOrigin()
    np.testing.assert_allclose(middle, affine[:, 3], atol=4)  # of the standard origin, which is the brain's center
    assert np.linalg.det(affine[:, :3]) > 0


def test_a_resumed_training_goes_on_as_if_never_stopped(head: Head, tmp_path: Path) -> None:
    settings = TrainingSettings(voxels=1, warm_up_steps=2)
    one, other = (Training(settings, [head], [head], tmp_path) for _ in range(2))
    one.train_step()
    one.save()
    other.resume()
    assert one.train_step() == other.train_step()
    for a, b in zip(one.average.parameters(), other.average.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_gradient_that_is_not_finite_changes_no_weight(head: Head, tmp_path: Path) -> None:
    training = Training(TrainingSettings(voxels=1, warm_up_steps=2), [head], [head], tmp_path)
    before = [parameter.clone() for parameter in training.network.parameters()]
    weight = next(training.network.parameters())
    handle = weight.register_hook(lambda gradient: gradient * float("inf"))
    assert not np.isfinite(training.train_step()["loss"])
    for old, new in zip(before, training.network.parameters(), strict=True):
        assert torch.equal(old, new)
    handle.remove()
    assert np.isfinite(training.train_step()["loss"])
    assert all(parameter.isfinite().all() for parameter in training.average.parameters())


def test_a_run_is_resumed_with_its_own_settings_only(tmp_path: Path) -> None:
    def training(**settings: float) -> Training:
        return Training(TrainingSettings(**settings), [], [], tmp_path)

    training(learning_rate=0.01, seed=3).save()
    with pytest.raises(FusionError, match=r"was begun with learning rate 0\.01, not 0\.02; resume it with the same"):
        training(seed=3).resume()
    with pytest.raises(FusionError, match="was begun with seed 3, not 0; resume it with the same"):
        training(learning_rate=0.01).resume()
    training(learning_rate=0.01, seed=3, hours=9.0).resume()

    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    del state["settings"]  # as in earlier versions
    torch.save(state, tmp_path / CHECKPOINT)
    training(learning_rate=0.01).resume()
    with pytest.raises(FusionError, match="was begun with learning rate"):
        training(learning_rate=0.03).resume()


def test_a_checkpoint_that_is_damaged_or_of_something_else_is_rejected(tmp_path: Path) -> None:
    training, path = Training(TrainingSettings(), [], [], tmp_path), tmp_path / CHECKPOINT
    training.save()
    whole = path.read_bytes()
    other = torch.load(path, weights_only=True)
    other["average"].popitem()

    def assert_rejected(reason: str) -> None:
        for read in (training.resume, lambda: read_network(path)):
            with pytest.raises(FusionError, match=reason):
                read()

    path.write_bytes(whole[: len(whole) // 2])
    assert_rejected("cut short, damaged")
    path.write_text("# A page", encoding="utf-8")
    assert_rejected("cut short, damaged")
    torch.save({"average": {}, "optimiser": {}}, path)  # of the other network's training
    assert_rejected("not a checkpoint of the head network")
    torch.save(other, path)
    assert_rejected("belongs to another network")
