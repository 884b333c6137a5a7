"""The evidence of slices becomes one smooth field in space, in the right place and as certain as they are."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline.calibration import Amplitudes, Calibration, read_calibration, uncalibrated
from BSAFusionLib.pipeline.expected_error import expected_error, remarks_on_slices
from BSAFusionLib.pipeline.observed import observe
from BSAFusionLib.pipeline.posterior import infer, posterior_field
from BSAFusionLib.pipeline.slicing import slice_grid
from BSAFusionLib.resources import MODELS

sigma = (14.0, 14.0, 14.0)
WIDE = (30.0, 30.0, 30.0)  # of few modes, so that tests are fast
CALIBRATED = Calibration(
    trust=0.3,
    sigma_mm=14.0,
    expected=Amplitudes(0.3, 0.3, 0.7),
    spread=Amplitudes(0.5, 0.5, 1.5),
    error=Amplitudes(0.1, 0.1, 0.1),
)


def motion(points: np.ndarray) -> np.ndarray:
    """Return a smooth displacement in mm at points (..., 3), LPS."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 2 * np.stack([np.sin(y / 60), np.cos(z / 65), np.sin(x / 70 + 1)], axis=-1)


def field_of(evidence: list[Evidence], fixed: sitk.Image, answer: sitk.Image | None = None) -> sitk.Image:
    """Return the mean displacement, inferred with fixed amplitudes, on the fixed volume's grid or another."""
    return posterior_field(infer(observe(evidence, fixed, sigma), uncalibrated(1.0)), answer or fixed)


def points_of(grid: sitk.Image) -> np.ndarray:
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    return sitk.GetArrayFromImage(source)


def told(volume: sitk.Image, axis: str, precision: float, cells: int = 32) -> Evidence:
    """Make the evidence of slices that estimate the motion exactly."""
    grid = slice_grid(volume, axis)
    coarse = sitk.Image(cells, cells, grid.GetDepth(), sitk.sitkUInt8)
    side = grid.GetWidth() / cells
    coarse.SetSpacing((grid.GetSpacing()[0] * side, grid.GetSpacing()[1] * side, grid.GetSpacing()[2]))
    coarse.SetDirection(grid.GetDirection())
    coarse.SetOrigin(grid.TransformContinuousIndexToPhysicalPoint([(side - 1) / 2] * 2 + [0]))
    in_plane = np.reshape(grid.GetDirection(), (3, 3))[:, :2]
    mean = np.moveaxis(motion(points_of(coarse)) @ in_plane / grid.GetSpacing()[0], -1, 1)
    sure = np.zeros((len(mean), 3, cells, cells), np.float32)
    sure[:, :2] = precision
    return Evidence(grid, mean.astype(np.float32), sure)


def inner(values: np.ndarray) -> np.ndarray:
    """Return the values away from the border, beyond which there is no evidence."""
    margin = [max(1, count // 5) for count in values.shape[:3]]
    return values[tuple(slice(m, -m) for m in margin)]


def test_slices_of_all_axes_that_are_sure_give_the_motion_in_space(grid):
    field = field_of([told(grid, axis, 5.0) for axis in "ijk"], grid)
    assert field.GetSize() == grid.GetSize()
    assert field.GetDirection() == grid.GetDirection()
    errors = np.linalg.norm(inner(sitk.GetArrayFromImage(field) - motion(points_of(grid))), axis=-1)
    assert errors.mean() < 0.1  # of 2.5 mm


@pytest.mark.parametrize("axis", "ijk")
def test_slices_of_one_axis_give_the_motion_within_them_and_none_across(grid, axis):
    field = field_of([told(grid, axis, 5.0)], grid)
    across = np.reshape(grid.GetDirection(), (3, 3))[:, "ijk".index(axis)]
    found, expected = inner(sitk.GetArrayFromImage(field)), inner(motion(points_of(grid)))
    assert np.abs(found @ across).max() < 1e-3
    within = expected - (expected @ across)[..., None] * across
    assert np.linalg.norm(found - within, axis=-1).mean() < 0.1


def test_the_less_sure_the_slices_are_the_less_is_moved(mri):
    lengths = [
        np.linalg.norm(sitk.GetArrayFromImage(field_of([told(mri, "k", sure)], mri)), axis=-1).mean()
        for sure in (0.0, 0.001, 0.01, 1.0)
    ]
    assert lengths[0] == 0.0
    assert lengths == sorted(lengths)


def test_one_slice_that_is_not_looked_at_is_filled_in_from_its_neighbours(mri):
    evidence = told(mri, "k", 5.0)
    evidence.precision[20] = 0.0
    evidence.mean[20] = 100.0
    field = sitk.GetArrayFromImage(field_of([evidence], mri))
    expected = motion(points_of(mri))
    assert np.abs(inner(field - expected)[..., :2]).max() < 0.5


def test_on_a_coarser_grid_the_field_is_the_same(grid):
    evidence = [told(grid, axis, 5.0) for axis in "ijk"]
    coarse = field_of(evidence, grid, lattice_over(grid, (7.0, 7.0, 7.0)))
    assert coarse.GetNumberOfPixels() < grid.GetNumberOfPixels()
    expected = field_of(evidence, grid)
    found = sitk.Resample(coarse, grid, sitk.Transform(), sitk.sitkBSpline)
    assert np.abs(inner(sitk.GetArrayFromImage(found) - sitk.GetArrayFromImage(expected))).max() < 0.02


def noisy(volume: sitk.Image, axis: str, size: float, precision: float, seed: int) -> Evidence:
    """Make evidence of a motion of some size in mm, with independent noise as large as its precision says."""
    exact = told(volume, axis, precision)
    noise = np.random.default_rng(seed).standard_normal(exact.mean.shape) / np.sqrt(precision)
    return Evidence(exact.grid, (size * exact.mean + noise).astype(np.float32), exact.precision)


def test_amplitudes_follow_the_evidence_of_the_case(mri):
    exact = replace(CALIBRATED, trust=1.0)
    elastic = [
        infer(observe([noisy(mri, axis, size, 0.2, 3) for axis in "ijk"], mri, WIDE), exact).amplitudes.elastic
        for size in (0.0, 0.3, 1.5)
    ]
    assert elastic[0] < 0.1  # of an expected 0.7
    assert elastic == sorted(elastic)
    assert elastic[2] > 0.3


def test_evidence_no_larger_than_the_smooth_error_moves_nothing(mri):
    evidence = [told(mri, axis, 5.0) for axis in "ijk"]
    wary = replace(CALIBRATED, error=Amplitudes(5.0, 5.0, 5.0))
    trusting, doubting = (
        np.linalg.norm(
            sitk.GetArrayFromImage(posterior_field(infer(observe(evidence, mri, sigma), each), mri)), axis=-1
        )
        for each in (CALIBRATED, wary)
    )
    assert trusting.mean() > 1.0
    assert doubting.mean() < 0.1 * trusting.mean()


def test_the_variance_is_that_of_the_inverse_precision(mri):
    posterior = infer(observe([told(mri, "k", 0.05)], mri, (40.0, 40.0, 40.0)), CALIBRATED)
    places = [
        np.linspace(5, length - 5, count) for length, count in zip(posterior.basis.extent, (2, 3, 4), strict=True)
    ]
    points = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 3)
    functions = np.kron(np.eye(3), posterior.basis.at_points(points))
    gain = np.diag(posterior.gain)
    covariance = gain @ np.linalg.inv(posterior.factor @ posterior.factor.T) @ gain + np.diag(posterior.remaining)
    expected = np.diagonal(functions @ covariance @ functions.T).reshape(3, 2, 3, 4).sum(axis=0)
    assert posterior.variances(posterior.basis.along(places)) == pytest.approx(expected, rel=1e-6)


def test_the_expected_error_is_the_distance_of_what_was_not_applied_where_all_is_known(grid):
    sure = replace(CALIBRATED, trust=1000.0, error=Amplitudes(0.0, 0.0, 0.0))
    posterior = infer(observe([told(grid, axis, 5.0) for axis in "ijk"], grid, sigma), sure)
    field = posterior_field(posterior, grid)
    nothing = sitk.Image(grid.GetSize(), sitk.sitkVectorFloat64, 3)
    nothing.CopyInformation(grid)
    error = expected_error(posterior, nothing, grid)
    length = sitk.Resample(sitk.VectorMagnitude(field), error, sitk.Transform(), sitk.sitkLinear)
    apart = inner(sitk.GetArrayFromImage(error) - sitk.GetArrayFromImage(length))
    assert np.abs(apart).mean() < 0.1
    assert inner(sitk.GetArrayFromImage(expected_error(posterior, field, grid))).mean() < 0.5


def test_the_calibration_corrects_the_length_of_the_error(mri):
    evidence = observe([told(mri, "k", 0.05)], mri, (40.0, 40.0, 40.0))
    modeled, corrected = (
        sitk.GetArrayFromImage(expected_error(posterior, posterior_field(posterior, mri), mri))
        for posterior in (
            infer(evidence, each) for each in (CALIBRATED, replace(CALIBRATED, length_scale=0.9, length_exponent=1.5))
        )
    )
    assert inner(corrected) == pytest.approx(0.9 * inner(modeled) ** 1.5, rel=1e-3)


def test_beyond_what_it_was_fitted_at_the_expected_length_rises_in_proportion():
    calibration = replace(CALIBRATED, length_scale=1.7, length_exponent=1.8, length_limit=0.5)
    at_limit = 1.7 * 0.5**1.8
    lengths = calibration.expected_lengths(np.array([0.0, 0.25, 0.5, 2.0]))
    assert lengths == pytest.approx([0, 1.7 * 0.25**1.8, at_limit, 4 * at_limit])


@pytest.mark.parametrize(("spacing", "said"), [((1.0, 1.0, 5.0), 0), ((0.5, 7.0, 0.5), 1)])
def test_thick_slices_are_said_to_be_others_than_those_of_the_fit(spacing, said):
    mri = sitk.Image(4, 4, 4, sitk.sitkFloat32)
    mri.SetSpacing(spacing)
    assert ["7 mm apart" in remark for remark in remarks_on_slices(mri)] == [True] * said


def test_without_evidence_the_expected_error_is_that_of_the_usual_displacement(mri):
    posterior = infer(observe([told(mri, "k", 0.0)], mri, sigma), uncalibrated(1.0))
    error = sitk.GetArrayFromImage(expected_error(posterior, posterior_field(posterior, mri), mri))
    middle = error[tuple(count // 2 for count in error.shape)]
    # In the middle shift and elastic part, both of 0.7 mm a component, are all there is.
    assert middle == pytest.approx(np.sqrt(8 / np.pi) * 0.7 * np.sqrt(2), rel=0.25)


def test_a_calibration_travels_in_a_card():
    card = {"sha256": "0", "calibration": {"pet": CALIBRATED.as_dict()}}
    assert read_calibration(json.loads(json.dumps(card)), "pet") == CALIBRATED
    assert read_calibration(card, "ct") is None
    assert read_calibration(None, "pet") is None


@pytest.mark.parametrize("damage", [{"trust": -1.0}, {"trust": "much"}, {"unknown": 1.0}, {"error": {"shift": 1.0}}])
def test_a_damaged_calibration_is_refused(damage):
    with pytest.raises(FusionError, match="calibration"):
        read_calibration({"calibration": {"pet": {**CALIBRATED.as_dict(), **damage}}}, "pet")


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_shipped_weights_are_calibrated(modality):
    weights = MODELS / MODALITIES[modality].weights
    assert read_calibration(json.loads(weights.with_suffix(".json").read_text(encoding="utf-8")), modality) is not None
