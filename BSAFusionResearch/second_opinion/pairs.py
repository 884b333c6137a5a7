"""Simulated pairs of volumes whose rigid truth is exact: one head twice, two people, no head, mirrored images."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from BSAFusionResearch.pose.generator import Dice, Difficulty, Scene, make_scene
from BSAFusionResearch.pose.heads import Head
from BSAFusionResearch.pose.validate import VOXEL_MM, image_of

KINDS = ("same", "same", "same", "turned header", "other person", "no head", "mirrored")
"""The kinds of pairs, in turn."""

MODALITIES = {"ct": "ct", "ct window": "ct", "pet": "pet", "spect": "spect"}  # the generator's name, and the product's
SMALL, WIDE = (52, 62, 54), (100, 90, 100)  # voxels of 4 mm, (D, H, W)
LEAST_BRAIN_ML = 500
MIRRORED_AXES = {"front to back": 1, "top to bottom": 2}  # of (x, y, z)


@dataclass(frozen=True)
class SimulatedPair:
    """One pair of volumes.

    Attributes:
        kind: one of KINDS.
        modality: of the moving volume, as the product names it.
        fixed: an MRI.
        moving: the other volume.
        truth: fixed point -> moving point, mm LPS, rigid (with a reflection for mirrored images); for two people, the
            motion between their poses in the standard head; None where there is no head.
        brain: (N, 3) points of the fixed brain, mm LPS.
    """

    kind: str
    modality: str
    fixed: sitk.Image
    moving: sitk.Image
    truth: sitk.AffineTransform | None
    brain: np.ndarray


def simulate_pair(heads: list[Head], brain_points: np.ndarray, number: int) -> SimulatedPair:
    """Simulate a pair, always the same for a number.

    Args:
        heads: two labeled heads or more.
        brain_points: (N, 3) in the standard head, mm.
        number: from 0; decides about kind and modality.
    """
    kind = KINDS[number % len(KINDS)]
    modality = list(MODALITIES)[number // len(KINDS) % len(MODALITIES)]
    dice = Dice(700_000 + number)
    size = float(dice.log_between(0.9, 1.1))
    head = heads[number // 2 % len(heads)]
    other = heads[(number // 2 + 1) % len(heads)] if kind == "other person" else head
    wide = dice.chance(0.5 if kind == "no head" else 0.25)
    fixed_scene = _scene(head, SMALL, dice, Difficulty(0.0, 15.0, "mri", 0.2, stretch=0, bend_mm=0, size=size))
    moving_difficulty = Difficulty(
        0.0, 15.0, modality, 0.7 if wide else 0.2, float(kind == "no head"), stretch=0, bend_mm=0, size=size
    )
    moving_scene = _scene(other, WIDE if wide else SMALL, dice, moving_difficulty)
    turn = int(dice.rng.integers(1, 24)) if kind == "turned header" else 0
    fixed, to_fixed = image_of(fixed_scene)
    moving, to_moving = image_of(moving_scene, turn=turn)
    if kind == "mirrored":
        axis = list(MIRRORED_AXES.values())[number // (len(KINDS) * len(MODALITIES)) % len(MIRRORED_AXES)]
        moving, to_moving = _mirrored(moving, to_moving, axis)
    truth = None if kind == "no head" else _between(to_fixed, to_moving)
    brain = brain_points @ to_fixed[:, :3].T + to_fixed[:, 3]
    return SimulatedPair(kind, MODALITIES[modality], fixed, moving, truth, brain)


def _scene(head: Head, shape: tuple[int, int, int], dice: Dice, difficulty: Difficulty) -> Scene:
    """Simulate an image that shows enough of a brain, where it is to show one at all."""
    scene = make_scene(head, shape, dice, difficulty, VOXEL_MM)
    while not difficulty.no_head and float(scene.brain.sum()) * VOXEL_MM**3 / 1000 < LEAST_BRAIN_ML:
        scene = make_scene(head, shape, dice, difficulty, VOXEL_MM)
    return scene


def _mirrored(image: sitk.Image, affine: np.ndarray, axis: int) -> tuple[sitk.Image, np.ndarray]:
    """Reverse the voxels along an axis of an upright grid about the origin, without a word in its header."""
    values = np.flip(sitk.GetArrayFromImage(image), 2 - axis)
    mirrored = sitk.GetImageFromArray(values)
    mirrored.CopyInformation(image)
    signs = np.ones(3)
    signs[axis] = -1
    return mirrored, signs[:, None] * affine


def _between(to_fixed: np.ndarray, to_moving: np.ndarray) -> sitk.AffineTransform:
    """Return the motion from fixed to moving points, of two (3, 4) affines from standard points."""
    linear = to_moving[:, :3] @ np.linalg.inv(to_fixed[:, :3])
    return sitk.AffineTransform(linear.ravel().tolist(), (to_moving[:, 3] - linear @ to_fixed[:, 3]).tolist())
