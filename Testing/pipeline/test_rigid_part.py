"""What the network found of shift and turn goes to the rigid transform, and no point is led elsewhere by that."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionLib.geometry.inverse import carry_points
from BSAFusionLib.head_pose.search import HeadPose
from BSAFusionLib.pipeline.brain_only import BRAIN_RADIUS_MM
from BSAFusionLib.pipeline.case import Case, Initialization
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.pipeline.rigid_part import rigid_part
from BSAFusionLib.settings import Settings
from Testing.phantoms import centered_grid

TURNED = sitk.Euler3DTransform((12.0, -20.0, 30.0), 0.05, -0.03, 0.08, (4.0, -3.0, 2.0))


def pose(translation: np.ndarray, found: bool = True) -> HeadPose:
    return HeadPose(np.eye(3), translation, 1.0, 1000.0, 1.0, 1.0, 1, found)


def everywhere(grid: sitk.Image) -> sitk.Image:
    mask = sitk.GetImageFromArray(np.ones(grid.GetSize()[::-1], np.uint8))
    mask.CopyInformation(grid)
    return mask


def test_a_rigid_motion_is_its_own_rigid_part(grid):
    part = rigid_part(TURNED, everywhere(grid), pose(np.zeros(3), found=False))
    points = voxel_centers(grid)[::15, ::15, ::15].reshape(-1, 3)
    assert carry_points(part, points) == pytest.approx(carry_points(TURNED, points), abs=1e-4)


@pytest.mark.parametrize(("found", "least", "most"), [(True, 2.999, 3.001), (False, 6.0, 9.0)])
def test_the_brain_alone_counts_where_it_is_known(found, least, most):
    grid = centered_grid((40, 40, 40), (6.0, 6.0, 6.0), np.eye(3))
    centers = voxel_centers(grid)
    middle = centers.reshape(-1, 3).mean(axis=0)
    near = np.linalg.norm(centers - middle, axis=-1, keepdims=True) <= BRAIN_RADIUS_MM + 15
    field = sitk.GetImageFromArray(np.where(near, (3.0, 0.0, 0.0), (9.0, 0.0, 0.0)), isVector=True)
    field.CopyInformation(grid)
    part = rigid_part(sitk.DisplacementFieldTransform(field), everywhere(grid), pose(middle, found))
    moved = carry_points(part, middle[None])[0] - middle
    assert least <= moved[0] <= most


@pytest.fixture
def searched_for(monkeypatch) -> sitk.Euler3DTransform:
    """A transform that the search gives without searching."""
    transform = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.02, 0.0, -0.03, (2.0, -1.0, 1.5))

    def initialize(case: Case, *_: object) -> Initialization:
        given = isinstance(case.settings.prealignment, sitk.Transform)
        return Initialization(case.settings.prealignment, "given") if given else Initialization(transform, "rigid")

    monkeypatch.setattr("BSAFusionLib.pipeline.register_and_fuse.initialize", initialize)
    return transform


def test_only_a_transform_that_was_searched_for_is_corrected_and_both_lead_to_the_same_place(
    mri, pet, weights, searched_for
):
    """Two whole runs take seconds: only so do both transforms come from the same evidence."""
    settings = Settings("pet", weights=weights, do_no_harm=False)
    found = register_and_fuse(mri, pet, settings)
    given = register_and_fuse(mri, pet, replace(settings, prealignment=found.searched))
    points = voxel_centers(found.head)[sitk.GetArrayViewFromImage(found.head) > 0][::97]

    def carried(transform: sitk.Transform) -> np.ndarray:
        return carry_points(transform, points)

    assert carried(given.prealignment) == pytest.approx(carried(found.searched), abs=1e-6)
    total, rigid, searched = (carried(part) for part in (found.transform(), found.prealignment, found.searched))
    assert total == pytest.approx(carried(given.transform()), abs=0.02)
    assert np.abs(total - searched).max() > 0.1
    assert np.linalg.norm(total - rigid, axis=1).mean() < np.linalg.norm(total - searched, axis=1).mean()


def test_without_a_deformation_the_rigid_transform_stays_as_it_was_searched(mri, pet, weights, searched_for):
    result = register_and_fuse(mri, pet, Settings("pet", weights=weights, strength=0.0))
    assert not result.deforms
    assert result.prealignment.GetParameters() == searched_for.GetParameters()
