"""A known motion is as large as was asked for, moves a volume by just that, and measures others truly."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionResearch.evaluation.known_motion import KnownMotion

identity = sitk.Transform(3, sitk.sitkIdentity)
motion = KnownMotion(seed=4, degrees=10.0, mm=12.0, elastic_mm=6.0)


@pytest.fixture(scope="module", params=("axis-aligned", "oblique and left-handed"))
def fixed(request) -> sitk.Image:
    """A bright ball with a darker one in it, in a cube of 192 mm."""
    image = sitk.Image((48, 48, 48), sitk.sitkFloat32)
    image.SetSpacing((4.0, 4.0, 4.0))
    if request.param != "axis-aligned":
        turn = sitk.VersorRigid3DTransform()
        turn.SetRotation((1.0, 2.0, -1.5), 0.4)
        image.SetDirection((np.array(turn.GetMatrix()).reshape(3, 3) * (1, -1, 1)).ravel().tolist())
    image.SetOrigin((40.0, -10.0, 5.0))
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
    )
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint([23.5] * 3))
    points = sitk.GetArrayFromImage(source) - middle
    ball = 1 / (1 + np.exp((np.linalg.norm(points, axis=-1) - 70) / 3))
    inner = 1 / (1 + np.exp((np.linalg.norm(points - (10, 20, -5), axis=-1) - 25) / 3))
    filled = sitk.GetImageFromArray((100 * ball - 60 * inner).astype(np.float32))
    filled.CopyInformation(image)
    return filled


@pytest.fixture(scope="module")
def head(fixed) -> sitk.Image:
    return head_mask(fixed)


def lengths(transform: sitk.Transform, head: sitk.Image) -> np.ndarray:
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, head.GetSize(), head.GetOrigin(), head.GetSpacing(), head.GetDirection()
    )
    return np.linalg.norm(sitk.GetArrayFromImage(field)[sitk.GetArrayFromImage(head) > 0], axis=-1)


def test_its_parts_are_as_large_as_asked(fixed, head):
    rigid = motion.rigid(fixed)
    angle = np.arccos((np.trace(np.array(rigid.GetMatrix()).reshape(3, 3)) - 1) / 2)
    assert np.degrees(angle) == pytest.approx(10.0)
    assert np.linalg.norm(rigid.GetTranslation()) == pytest.approx(12.0)
    assert lengths(motion.elastic(fixed), head).max() == pytest.approx(6.0)


def test_a_seed_always_gives_the_same_motion_and_another_seed_another(fixed, head):
    again, other = KnownMotion(4, 10.0, 12.0, 6.0), KnownMotion(5, 10.0, 12.0, 6.0)
    assert error_mm(again.transform(fixed), motion.transform(fixed), head) == 0
    assert error_mm(other.transform(fixed), motion.transform(fixed), head) > 1


@pytest.mark.parametrize("seed", range(3))
def test_it_folds_nothing(seed, fixed):
    # The grid's own frame does not matter to the sign of the determinant only if it is upright; so make it upright.
    upright = sitk.Image(fixed)
    upright.SetDirection(np.eye(3).ravel().tolist())
    field = KnownMotion(seed, 0.0, 0.0, 6.0).field(upright)
    assert sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field)).min() > 0.3


def test_the_moved_volume_carried_back_by_the_truth_is_the_volume_again(fixed, head):
    moved = motion.move(fixed, fixed)
    back = sitk.Resample(moved, fixed, motion.transform(fixed), sitk.sitkLinear, 0.0)
    inside = sitk.GetArrayFromImage(head) > 0
    original, moved, back = (sitk.GetArrayFromImage(image)[inside] for image in (fixed, moved, back))
    assert np.abs(back - original).mean() < 1.5  # of 100, from interpolating twice
    assert np.abs(moved - original).mean() > 8.0


def test_the_error_of_a_shift_is_its_length(fixed, head):
    shift = sitk.TranslationTransform(3, (3.0, 0.0, -4.0))
    assert error_mm(shift, identity, head) == pytest.approx(5.0)


def test_the_saved_motion_opens_as_the_same_one(fixed, head, tmp_path):
    motion.save(fixed, tmp_path / "truth.h5")
    opened = sitk.ReadTransform(str(tmp_path / "truth.h5"))
    assert error_mm(opened, motion.transform(fixed), head) < 1e-4
