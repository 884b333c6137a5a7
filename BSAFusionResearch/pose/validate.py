"""Measures found poses on simulated pairs of heads: error in mm over the brain, by modality."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.head_pose.network import HeadNetwork
from BSAFusionLib.head_pose.search import HeadPose, axis_turns, find_head, rigid_between, turned
from BSAFusionLib.head_pose.weights import load_head_network
from BSAFusionResearch.pose.checkpoint import fill, read_checkpoint
from BSAFusionResearch.pose.generator import MODALITIES, Dice, Difficulty, Scene, make_scene
from BSAFusionResearch.pose.heads import Head

VOXEL_MM = 4.0
BRAIN_HALF_AXES_MM = (62.0, 80.0, 58.0)


def standard_brain_points() -> np.ndarray:
    """Return points (N, 3) evenly spread over an ellipsoid of the standard brain's size, mm LPS."""
    axis = np.arange(-80, 81, 10.0)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return points[((points / BRAIN_HALF_AXES_MM) ** 2).sum(1) < 1]


def read_network(path: Path) -> HeadNetwork:
    """Read shipped weights, or the running average of a training's checkpoint.

    Raises:
        FusionError: The file is missing, damaged, or of another network.
    """
    if path.suffix == ".safetensors":
        return load_head_network(path)
    network = HeadNetwork()
    fill(network, read_checkpoint(path)["average"], path)
    return network.eval().requires_grad_(False)


def image_of(scene: Scene, spacing: float = VOXEL_MM, turn: int = 0) -> tuple[sitk.Image, np.ndarray]:
    """Make a volume of a scene, laid down turned by one of the 24 axis turns.

    Returns:
        The volume, whose header does not tell of the turn, and the (3, 4) affine from standard points to its points.
    """
    order, flips = axis_turns()[turn]
    image = sitk.GetImageFromArray(turned(scene.image[None], order, flips)[0].numpy())
    image.SetSpacing([spacing] * 3)
    image.SetOrigin([-(length - 1) / 2 * spacing for length in image.GetSize()])
    axes = np.eye(3)[list(order)]  # rows: which old (D, H, W) axis each new one is
    axes[list(flips)] *= -1
    turn_matrix = axes[::-1, ::-1]  # in (x, y, z)
    linear = np.linalg.inv(scene.standard_from_image[:, :3])
    affine = turn_matrix @ np.column_stack([linear, -linear @ scene.standard_from_image[:, 3]])
    return image, affine


def pair_error(fixed: HeadPose, moving: HeadPose, truth_fixed: np.ndarray, truth_moving: np.ndarray) -> float:
    """Return the mean error over the brain of the rigid motion between two poses, mm in the moving image."""
    points = standard_brain_points()
    in_fixed = points @ truth_fixed[:, :3].T + truth_fixed[:, 3]
    in_moving = points @ truth_moving[:, :3].T + truth_moving[:, 3]
    transform = rigid_between(fixed, moving)
    found = np.array([transform.TransformPoint(point) for point in in_fixed.tolist()])
    return float(np.linalg.norm(found - in_moving, axis=1).mean())


def draw_pair(heads: list[Head], modality: str, number: int, turns: bool) -> tuple:
    """Simulate an MRI and another image of one head, always the same for a number."""
    dice = Dice(10_000 * MODALITIES.index(modality) + number)
    head = heads[number % len(heads)]
    size = float(dice.log_between(0.9, 1.1))
    scenes = []
    for which in ("mri", modality):
        wide = which != "mri" and dice.chance(0.3)
        shape = (100, 90, 100) if wide else (52, 62, 54)
        settings = Difficulty(0.0, 15.0, which, 0.7 if wide else 0.2, stretch=0, bend_mm=0, size=size)
        scene = make_scene(head, shape, dice, settings, VOXEL_MM)
        while float(scene.brain.sum()) * VOXEL_MM**3 / 1000 < 500:
            scene = make_scene(head, shape, dice, settings, VOXEL_MM)
        scenes.append(scene)
    turn = int(dice.rng.integers(24)) if turns else 0
    return image_of(scenes[0]), image_of(scenes[1], turn=turn)


@dataclass(frozen=True)
class Measured:
    """The found poses of one kind of pair.

    Attributes:
        modality: of the moving image.
        turned: whether it lay turned by any of the 24 axis turns.
        errors: (N,) of the rigid motion, mean over the brain, mm.
        poses: of the moving images.
        seconds: mean time of finding one.
    """

    modality: str
    turned: bool
    errors: np.ndarray
    poses: list[HeadPose]
    seconds: float


def measure(network: HeadNetwork, heads: list[Head], pairs: int) -> Iterator[Measured]:
    """Find the heads of simulated pairs of each modality, upright and turned."""
    for modality, turns in product(MODALITIES, (False, True)):
        errors, poses, seconds = [], [], 0.0
        for number in range(pairs):
            (fixed, truth_fixed), (moving, truth_moving) = draw_pair(heads, modality, number, turns)
            fixed_pose = find_head(fixed, network)
            begun = time.perf_counter()
            poses.append(find_head(moving, network))
            seconds += time.perf_counter() - begun
            errors.append(pair_error(fixed_pose, poses[-1], truth_fixed, truth_moving))
        yield Measured(modality, turns, np.array(errors), poses, seconds / pairs)


def measure_without_head(network: HeadNetwork, head: Head, count: int) -> list[HeadPose]:
    """Look for heads in simulated bodies, phantoms and noise, which hold none."""
    poses = []
    for number in range(count):
        dice = Dice(90_000 + number)
        shape = (90, 80, 90) if dice.chance(0.4) else (52, 62, 54)
        scene = make_scene(head, shape, dice, Difficulty(0.0, 15.0, no_head=1.0), VOXEL_MM)
        poses.append(find_head(image_of(scene)[0], network))
    return poses
