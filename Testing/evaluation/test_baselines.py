"""Baselines run in an environment of their own; without it, the message says how to make it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.pipeline.measures import mutual_information
from BSAFusionResearch.evaluation import baselines


def test_a_python_without_the_baselines_is_rejected_with_how_to_install_them(tmp_path):
    for python in (Path(sys.executable), tmp_path / "python"):
        with pytest.raises(FusionError, match=r"requirements-benchmark\.txt"):
            baselines.check_baselines(python)


def test_the_error_of_a_baseline_that_failed_is_reported():
    volume = sitk.Image((4, 4, 4), sitk.sitkFloat32)
    with pytest.raises(FusionError, match=r"ANTs SyN failed.*No module named 'ants'"):
        baselines.register("ants_syn", volume, volume, Path(sys.executable), threads=1)


@pytest.fixture(scope="module")
def pair() -> tuple[sitk.Image, sitk.Image, sitk.Transform]:
    """A fixed egg with a spot on a turned grid, a moving one in other greys, and where fixed points have gone."""
    turn = sitk.VersorRigid3DTransform()
    turn.SetRotation((0.0, 0.3, 1.0), 0.3)
    truth = sitk.VersorRigid3DTransform()
    truth.SetRotation((0.2, 0.1, 1.0), np.radians(6))
    truth.SetTranslation((4.0, -3.0, 2.0))
    grid = sitk.Image((64, 72, 64), sitk.sitkFloat32)
    grid.SetSpacing((2.5, 2.5, 2.5))
    grid.SetDirection(turn.GetMatrix())
    grid.SetOrigin(turn.TransformPoint((-78.75, -88.75, -78.75)))
    points = sitk.GetArrayFromImage(
        sitk.PhysicalPointSource(
            sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
        )
    )

    def drawn(points: np.ndarray, levels: tuple[float, float]) -> sitk.Image:
        depth = 1 - np.linalg.norm(points / (55, 72, 60), axis=-1)
        spot = 1 - np.linalg.norm((points - (15, -25, 10)) / (18, 25, 18), axis=-1)
        head, inner = (1 / (1 + np.exp(-np.clip(part * 12, -30, 30))) for part in (depth, spot))
        image = sitk.GetImageFromArray((levels[0] * head + levels[1] * inner).astype(np.float32))
        image.CopyInformation(grid)
        return image

    flat = points.reshape(-1, 3)
    matrix = np.array(truth.GetMatrix()).reshape(3, 3)
    back = ((flat - truth.GetTranslation()) @ matrix).reshape(points.shape)  # the truth turns about the origin
    return drawn(points, (100, -60)), drawn(back, (30, 70)), truth


@pytest.fixture
def python() -> Path:
    """The Python that has ANTs and elastix, which CI leaves out."""
    if not baselines.DEFAULT_PYTHON.is_file():
        pytest.skip("ANTs and elastix are not installed beside the program (requirements-benchmark.txt)")
    return baselines.DEFAULT_PYTHON


@pytest.mark.parametrize("method", baselines.TITLES | baselines.HEAD_TITLES)
def test_a_baseline_finds_a_small_turn_on_a_turned_grid_and_deforms_what_is_left(method, pair, python):
    fixed, moving, truth = pair
    found = baselines.register(method, fixed, moving, python, threads=1)
    assert found.seconds > 0
    assert found.cpu_seconds > 0
    head = sitk.Cast(fixed > 30, sitk.sitkUInt8)
    unmoved = sitk.Transform(3, sitk.sitkIdentity)
    assert error_mm(found.rigid, truth, head) < 0.6 * error_mm(unmoved, truth, head)

    def match(transform: sitk.Transform) -> float:
        carried = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0)
        return mutual_information(*(sitk.GetArrayFromImage(image) / 110 for image in (fixed, carried)))

    assert match(found.rigid) > match(unmoved)
    assert match(found.whole) > match(unmoved)
    assert error_mm(found.whole, found.rigid, head) > 0.1


@pytest.mark.parametrize("method", baselines.RIGID_TITLES)
def test_a_rigid_baseline_finds_a_small_turn_and_neither_scales_nor_shears(method, pair, python):
    fixed, moving, truth = pair
    found = baselines.register(method, fixed, moving, python, threads=1)
    head = sitk.Cast(fixed > 30, sitk.sitkUInt8)
    unmoved = sitk.Transform(3, sitk.sitkIdentity)
    assert error_mm(found.rigid, truth, head) < 0.6 * error_mm(unmoved, truth, head)
    middle = np.array(fixed.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in fixed.GetSize()]))
    ends = 30.0 * np.concatenate([np.eye(3), -np.eye(3)])
    carried = np.array([found.rigid.TransformPoint((middle + end).tolist()) for end in ends])
    jacobian = (carried[:3] - carried[3:]).T / 60
    np.testing.assert_allclose(np.linalg.svd(jacobian, compute_uv=False), 1.0, atol=1e-3)
