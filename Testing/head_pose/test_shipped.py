"""The shipped weights find the head of the sample data however it lies, and take nothing else for one."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.head_pose.search import HeadPose, axis_turns, find_head, rigid_between
from BSAFusionLib.head_pose.weights import load_head_network
from BSAFusionLib.resources import SAMPLE_DATA

# Points of the standard brain that a motion is judged by, mm.
BRAIN = np.array([[x, y, z] for x in (-50.0, 0, 50) for y in (-60.0, 0, 60) for z in (-40.0, 0, 40)])


@pytest.fixture(scope="module")
def mri() -> sitk.Image:
    return sitk.ReadImage(str(SAMPLE_DATA / "mri_t1.nii.gz"))


@pytest.fixture(scope="module")
def upright(mri: sitk.Image) -> HeadPose:
    return find_head(mri, load_head_network())


def turned(image: sitk.Image, number: int) -> tuple[sitk.Image, np.ndarray]:
    """Turn an image about its middle by one of the 24 axis turns; return it and the (3, 3) rotation of its points."""
    order, flips = axis_turns()[number]
    axes = np.eye(3)[list(order)]
    axes[list(flips)] *= -1
    rotation = axes[::-1, ::-1]
    result = sitk.Image(image)
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    result.SetOrigin((rotation @ (np.array(image.GetOrigin()) - middle) + middle).tolist())
    result.SetDirection((rotation @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    return result, rotation


def test_the_head_of_the_sample_data_is_found_at_once(upright: HeadPose) -> None:
    assert upright.found
    assert upright.turns == 1
    assert np.trace(upright.rotation) > 1 + 2 * np.cos(np.radians(20))


@pytest.mark.parametrize("number", [4, 21])
def test_a_turned_head_is_found_where_it_is(mri: sitk.Image, upright: HeadPose, number: int) -> None:
    image, rotation = turned(mri, number)
    pose = find_head(image, load_head_network())
    middle = np.array(mri.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in mri.GetSize()]))
    expected = (upright.to_image(BRAIN) - middle) @ rotation.T + middle
    assert pose.found
    assert np.linalg.norm(pose.to_image(BRAIN) - expected, axis=1).mean() < 6


def test_mri_and_pet_of_the_sample_data_agree_on_the_motion(upright: HeadPose) -> None:
    pose = find_head(sitk.ReadImage(str(SAMPLE_DATA / "pet_fdg.nii.gz")), load_head_network())
    truth = sitk.ReadTransform(str(SAMPLE_DATA / "truth.h5"))
    motion = rigid_between(upright, pose)
    points = upright.to_image(BRAIN).tolist()
    gaps = [np.subtract(motion.TransformPoint(point), truth.TransformPoint(point)) for point in points]
    assert np.linalg.norm(gaps, axis=1).mean() < 8


def no_head(kind: str) -> sitk.Image:
    z, y, x = np.mgrid[-100:101:4.0, -100:101:4.0, -100:101:4.0]
    rng = np.random.default_rng(0)
    values = {
        "noise": rng.normal(100, 20, x.shape),
        "ball": 1000.0 * (x**2 + y**2 + z**2 < 80**2) + rng.normal(0, 10, x.shape),
    }[kind]
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((4.0, 4.0, 4.0))
    return image


@pytest.mark.parametrize("kind", ["noise", "ball"])
def test_what_is_no_head_is_not_taken_for_one(kind: str) -> None:
    assert not find_head(no_head(kind), load_head_network()).found


@pytest.mark.parametrize("case", ["03-ct-head-neck-chest/cta_aligned.nii.gz", "04-pet-whole-body/fdg_aligned.nii.gz"])
def test_the_lower_part_of_a_body_is_no_head(shared: Path, case: str) -> None:
    body = sitk.ReadImage(str(shared / "wild" / case))
    assert not find_head(body[:, :, : int(0.45 * body.GetSize()[2])], load_head_network()).found
