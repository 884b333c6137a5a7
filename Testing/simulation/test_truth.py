"""The truth of a simulated patient is exact: what lies at a fixed point lies in the moving scan where truth says."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import error_mm, field_from_transform
from BSAFusionResearch.simulation.fields import SmoothDisplacement, exponential
from BSAFusionResearch.simulation.patient import Patient, best_rigid, brain_mask, simulate_patient
from BSAFusionResearch.simulation.settings import PatientSettings
from Testing.phantoms import labeled_head
from Testing.simulation.conftest import coarse_scanner

SHARP = {"noise": 0.0, "blur": 0.0, "variation": 0.0, "bias": 0.0}
MIXED = 22  # fat and muscle have no one value
EYE = 20


@pytest.fixture(scope="module")
def sharp() -> Patient:
    """A patient whose scans show the codes themselves: no blur, noise, bias or variation; moved in every way."""
    settings = PatientSettings("pet", seed=3, elastic_mm=6, rotation_deg=20, translation_mm=30, **SHARP)
    scanners = (coarse_scanner(3, "sagittal", 0), coarse_scanner(1.2, "axial", 0))
    return simulate_patient(labeled_head(2), settings, *scanners)


def values_by_code(image: sitk.Image, labels: sitk.Image) -> dict[int, np.ndarray]:
    codes, values = sitk.GetArrayViewFromImage(labels), sitk.GetArrayViewFromImage(image)
    return {code: values[codes == code] for code in np.unique(codes) if code != MIXED}


def agreement(patient: Patient, truth: sitk.Transform) -> float:
    """Share of the fixed voxels at which the moving scan, sampled through `truth`, shows the same tissue."""
    carried = sitk.Resample(patient.moving, patient.labels, truth, sitk.sitkNearestNeighbor)
    right = [values == np.median(values) for code, values in values_by_code(carried, patient.labels).items() if code]
    return float(np.concatenate(right).mean())


def places(image: sitk.Image, mask: np.ndarray) -> list[tuple[float, ...]]:
    """Return where the voxels of a mask lie, mm, LPS."""
    return [image.TransformIndexToPhysicalPoint(index[::-1].tolist()) for index in np.argwhere(mask)]


def test_the_mri_shows_one_value_for_each_code_of_its_labels(sharp: Patient) -> None:
    for values in values_by_code(sharp.fixed, sharp.labels).values():
        assert np.ptp(values) <= 1  # rounded


def test_the_moving_scan_through_the_truth_shows_the_tissue_of_the_labels(sharp: Patient) -> None:
    right = agreement(sharp, sharp.truth)
    assert right > 0.9  # the rest are within half a voxel of a border
    for shift in np.eye(3):
        moved = [sitk.TranslationTransform(3, (sign * shift).tolist()) for sign in (-1, 1)]
        before, behind = (agreement(sharp, sitk.CompositeTransform([move, sharp.truth])) for move in moved)
        assert max(before, behind) < right - 0.02  # a mm is noticed
        # The top of the parabola through the three lies where the scans agree best: at the truth.
        assert (behind - before) / (2 * (2 * right - before - behind)) == pytest.approx(0, abs=0.1)


def test_landmarks_lie_where_the_truth_carries_them(sharp: Patient) -> None:
    labels, moving = sitk.GetArrayViewFromImage(sharp.labels), sitk.GetArrayViewFromImage(sharp.moving)
    carried = sitk.Resample(sharp.moving, sharp.labels, sharp.truth, sitk.sitkNearestNeighbor)
    value = np.median(sitk.GetArrayViewFromImage(carried)[labels == EYE])
    fixed_eyes = np.array(places(sharp.labels, labels == EYE))
    moving_eyes = np.array(places(sharp.moving, moving == value))
    for side in (-1, 1):
        eye = fixed_eyes[side * fixed_eyes[:, 0] > 0]
        expected = np.mean([sharp.truth.TransformPoint(point) for point in eye], axis=0)
        near = moving_eyes[np.linalg.norm(moving_eyes - expected, axis=1) < 25]
        assert near.mean(axis=0) == pytest.approx(expected, abs=0.6)  # of voxels of 3 mm


def test_without_elastic_part_the_truth_is_the_rigid_motion_that_was_asked_for(head: sitk.Image) -> None:
    settings = PatientSettings("pet", seed=1, elastic_mm=0, rotation_deg=40, translation_mm=25)
    patient = simulate_patient(head, settings, coarse_scanner(), coarse_scanner())
    brain = brain_mask(patient)
    fitted = best_rigid(patient.truth, brain)
    turn = np.array(fitted.GetMatrix()).reshape(3, 3)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(40, abs=1e-3)
    assert error_mm(fitted, patient.truth, brain) < 1e-5
    center = patient.truth.GetNthTransform(0).GetFixedParameters()[:3]
    assert np.linalg.norm(np.subtract(patient.truth.TransformPoint(center), center)) == pytest.approx(25, abs=1e-6)


def test_the_best_rigid_motion_is_better_than_its_neighbors(sharp: Patient) -> None:
    brain = brain_mask(sharp)
    best = best_rigid(sharp.truth, brain)

    def square(transform: sitk.Transform) -> float:
        field = field_from_transform(transform, brain)
        return sitk.GetArrayFromImage(field)[sitk.GetArrayViewFromImage(brain) > 0]

    true = square(sharp.truth)
    least = ((square(best) - true) ** 2).sum()
    assert least > 0
    parameters = np.array(best.GetParameters())
    for axis, step in enumerate([0.002] * 3 + [0.1] * 3):
        for sign in (-1, 1):
            near = sitk.Euler3DTransform(best)
            near.SetParameters((parameters + sign * step * np.eye(6)[axis]).tolist())
            assert ((square(near) - true) ** 2).sum() > least


@pytest.mark.parametrize("longest", [4.0, 8.0])
def test_the_elastic_part_is_as_long_as_asked_for_and_nowhere_longer(head: sitk.Image, longest: float) -> None:
    settings = PatientSettings("spect", seed=2, elastic_mm=longest)
    patient = simulate_patient(head, settings, coarse_scanner(), coarse_scanner(4))
    elastic, grid = patient.truth.GetNthTransform(1), patient.fixed
    field = field_from_transform(elastic, grid)
    assert np.linalg.norm(sitk.GetArrayFromImage(field), axis=-1).max() == pytest.approx(longest, abs=1e-3)


def test_a_displacement_evaluated_fast_is_the_itk_transform(head: sitk.Image) -> None:
    grid = coarse_scanner(5, "coronal").grid_over(np.array([[-80.0, -90, -70], [75, 95, 100]]))
    displacement = SmoothDisplacement.draw(grid, 31, 40, np.random.default_rng(0)).times(5)
    field = field_from_transform(displacement.transform(), grid)
    expected = sitk.GetArrayFromImage(field)
    assert np.abs(expected).max() > 2
    assert displacement.on(grid) == pytest.approx(expected, abs=1e-4)
    assert max(displacement.spacing) == pytest.approx(31, abs=4)


def test_the_exponential_of_a_velocity_does_not_fold_and_turns_back() -> None:
    random = np.random.default_rng(0)
    velocity = np.zeros((24, 26, 28, 3))
    velocity[4:-4, 4:-4, 4:-4] = 40 * random.standard_normal((16, 18, 20, 3))
    for axis in range(3):
        for _ in range(12):  # smooth
            velocity = (np.roll(velocity, 1, axis) + 2 * velocity + np.roll(velocity, -1, axis)) / 4
    spacing = np.full(3, 4.0)
    forward, backward = exponential(velocity, spacing), exponential(-velocity, spacing)
    assert np.linalg.norm(forward, axis=-1).max() > 4
    gradient = np.stack([np.stack(np.gradient(forward[..., c], 4.0)[::-1], axis=-1) for c in range(3)], axis=-2)
    assert np.linalg.det(gradient + np.eye(3)).min() > 0
    image = sitk.GetImageFromArray(forward, isVector=True)
    image.SetSpacing(spacing.tolist())
    back = sitk.GetImageFromArray(backward, isVector=True)
    back.SetSpacing(spacing.tolist())
    both = sitk.CompositeTransform(
        [sitk.DisplacementFieldTransform(back), sitk.DisplacementFieldTransform(sitk.Image(image))]
    )
    point = (52.0, 48.0, 44.0)
    assert both.TransformPoint(point) == pytest.approx(point, abs=0.2)


def test_the_brain_is_measured_on_a_grid_of_three_mm_over_the_mri(sharp: Patient) -> None:
    brain = brain_mask(sharp)
    assert brain.GetSpacing() == (3, 3, 3)
    assert brain.GetDirection() == sharp.fixed.GetDirection()
    volume = np.isin(sitk.GetArrayViewFromImage(sharp.labels), [*range(1, 15), 16]).sum() * 27
    assert (sitk.GetArrayViewFromImage(brain) > 0).sum() * 27 == pytest.approx(volume, rel=0.01)


def test_the_transform_survives_its_file(sharp: Patient, tmp_path) -> None:
    sitk.WriteTransform(sharp.truth, str(tmp_path / "truth.h5"))
    read = sitk.ReadTransform(str(tmp_path / "truth.h5"))
    for point in ((0.0, 0.0, 0.0), (40.0, -30.0, 20.0)):
        assert read.TransformPoint(point) == pytest.approx(sharp.truth.TransformPoint(point), abs=1e-6)
