"""The fast form of the posterior is the library's, and a fit finds how noisy evidence was made."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.network.stack import Stack
from BSAFusionLib.pipeline.amplitudes import reported_variances
from BSAFusionLib.pipeline.calibration import Amplitudes, Calibration
from BSAFusionLib.pipeline.observed import Observed, observe_cells
from BSAFusionLib.pipeline.posterior import infer
from BSAFusionLib.pipeline.smooth_basis import SmoothBasis
from BSAFusionResearch.calibration.fit import FittedCase, compare, fit_calibration, fit_lengths, score
from BSAFusionResearch.calibration.prepared import PreparedCase, load_prepared, read_origin, save_prepared
from BSAFusionResearch.calibration.rotated import Prediction, RotatedCase
from BSAFusionResearch.calibration.table import figures, rank_correlation
from Testing.phantoms import make_grid

EXTENT, SIGMA = (120.0, 100.0, 110.0), 24.0
CALIBRATION = Calibration(
    trust=0.5,
    sigma_mm=SIGMA,
    expected=Amplitudes(0.4, 0.3, 0.7),
    spread=Amplitudes(0.5, 0.5, 1.5),
    error=Amplitudes(0.2, 0.1, 0.15),
    slope=0.9,
    relative_error=0.3,
)


def simulated(seed: int, elastic: float, precision: float) -> tuple[Observed, np.ndarray, np.ndarray]:
    """Return evidence with independent noise of some precision, points, and the displacement there (point, 3), mm."""
    random = np.random.default_rng(seed)
    basis = SmoothBasis.over(EXTENT, [SIGMA] * 3)
    places = [np.linspace(4, length - 4, 12) for length in EXTENT]
    deviations = np.where(np.arange(basis.size) < 1, 0.4, np.where(np.arange(basis.size) < 4, 0.3, elastic))
    coefficients = deviations * random.standard_normal((3, basis.size))
    shape = (12, 12, 12)
    mean = basis.evaluate(coefficients, basis.along(places))
    mean += random.standard_normal((3, *shape)) / np.sqrt(precision)
    matrices = precision * np.eye(3)[:, :, None, None, None] * np.ones(shape)
    observed = observe_cells(basis, places, np.einsum("dexyz,exyz->dxyz", matrices, mean), matrices)
    points = random.uniform(10, 90, (40, 3))
    return observed, points, basis.at_points(points) @ coefficients.T


def test_the_rotated_case_predicts_what_the_library_infers():
    observed, points, _ = simulated(1, 0.7, 0.5)
    fixed = replace(CALIBRATION, spread=Amplitudes(0.0, 0.0, 0.0))
    prediction = RotatedCase.of(observed, points).predict(fixed, fixed.expected)
    posterior = infer(observed, fixed)
    functions = observed.basis.at_points(points)
    np.testing.assert_allclose(prediction.mean, functions @ posterior.mean.T, atol=1e-4)
    at_points = [posterior.variances(observed.basis.along(point[:, None])).item() for point in points]
    left_out = fixed.expected.elastic**2 * np.clip(1 - (functions[:, 4:] ** 2).sum(axis=1), 0, 1)
    variances = np.trace(prediction.covariance, axis1=1, axis2=2) - 3 * left_out
    assert at_points == pytest.approx(variances, rel=1e-3)


def test_the_amplitudes_make_the_evidence_most_probable():
    observed, points, _ = simulated(2, 1.5, 0.1)
    rotated = RotatedCase.of(observed, points)
    evidence = rotated.evidence
    found = evidence.amplitudes(CALIBRATION)
    assert found.elastic == pytest.approx(1.5, rel=0.25)
    from_telling_modes = tuple(infer(observed, CALIBRATION).amplitudes)
    assert from_telling_modes == pytest.approx(tuple(found), rel=0.15)
    # What a calibration is fitted to is what a run estimates, to the last digit.
    fitted = FittedCase("one", 1.5, 1.0, rotated, np.zeros_like(points))
    score(fitted, CALIBRATION)
    assert fitted.amplitudes is not None and tuple(fitted.amplitudes) == from_telling_modes

    def probable(amplitudes: np.ndarray) -> float:
        """Return the logarithm of the evidence's probability, by the whole matrix."""
        variances = reported_variances(np.square(amplitudes), CALIBRATION)
        prior = np.tile(np.repeat(variances, [1, 3, observed.basis.size - 4]), 3)
        precision = CALIBRATION.trust * observed.information + np.diag(1 / prior)
        weighted = CALIBRATION.trust * observed.weighted
        likelihood = weighted @ np.linalg.solve(precision, weighted) - np.linalg.slogdet(precision)[1]
        return float(likelihood - np.log(prior).sum()) / 2

    surprise = np.log(np.divide(found, CALIBRATION.expected)) / CALIBRATION.spread
    best = probable(np.array(found)) - (surprise**2).sum() / 2
    for part in range(3):
        for factor in (0.8, 1.25):
            changed = np.array(found) * np.where(np.arange(3) == part, factor, 1)
            surprise = np.log(changed / CALIBRATION.expected) / CALIBRATION.spread
            assert probable(changed) - (surprise**2).sum() / 2 < best
    assert probable(np.array(found)) - probable(np.array(CALIBRATION.expected)) == pytest.approx(
        evidence.solve(CALIBRATION, np.array(found)).likelihood
        - evidence.solve(CALIBRATION, np.array(CALIBRATION.expected)).likelihood
    )


@pytest.mark.slow
def test_a_fit_finds_the_precision_that_the_noise_has_and_predicts_the_error():
    cases = []
    for seed, elastic in enumerate((0.02, 0.7, 1.5) * 2):
        observed, points, truth = simulated(seed, elastic, 0.2)
        claimed = Observed(observed.basis, 5 * observed.information, 5 * observed.weighted)  # five times too sure
        cases.append(FittedCase(str(seed), elastic, 1.0, RotatedCase.of(claimed, points), truth))
    calibration = fit_lengths(cases, fit_calibration(cases, SIGMA, max_trials=150))
    assert calibration.trust == pytest.approx(0.2, rel=0.5)
    measured = figures(cases, calibration)
    assert set(measured["groups"]) == {"0.02 mm", "0.7 mm", "1.5 mm"}
    for group in measured["groups"].values():
        assert 0.7 < group["true_to_predicted"] < 1.4
    assert measured["rank_between"] > 0.5


def test_lengths_that_come_out_wrong_by_a_power_up_to_a_limit_are_corrected():
    known = replace(CALIBRATION, length_scale=2.6, length_exponent=2.0, length_limit=0.5)
    random, cases = np.random.default_rng(5), []
    for seed, elastic in enumerate((0.02, 0.3, 0.45, 0.7, 1.5)):
        observed, points, _ = simulated(seed, elastic, 0.1)
        rotated = RotatedCase.of(observed, np.tile(points, (20, 1)))
        amplitudes = rotated.evidence.amplitudes(CALIBRATION)
        mean, covariance = prediction = rotated.predict(CALIBRATION, amplitudes)
        white = (np.linalg.cholesky(covariance) @ random.standard_normal((*mean.shape, 1)))[..., 0]
        truth = mean + white * (known.expected_lengths(prediction.lengths) / prediction.lengths)[:, None]
        cases.append(FittedCase(str(seed), elastic, 1.0, rotated, truth, amplitudes))
    fitted = fit_lengths(cases, CALIBRATION)
    lengths = np.array([case.rotated.predict(CALIBRATION, case.amplitudes).lengths.mean() for case in cases])
    assert fitted.expected_lengths(lengths) == pytest.approx(known.expected_lengths(lengths), rel=0.08)
    for case in cases:
        assert score(case, fitted).squared == pytest.approx(1, rel=0.15)


def test_a_score_counts_errors_in_standard_deviations():
    truth = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    prediction = Prediction(np.zeros((2, 3)), np.tile(4 * np.eye(3), (2, 1, 1)))
    score = compare(prediction, truth)
    assert score.squared == pytest.approx(1 / 6)
    assert score.predicted == pytest.approx([2 * np.sqrt(8 / np.pi)] * 2)
    assert score.cost == pytest.approx(1 / 12 + np.log(2))


def test_ranks_agree_fully_or_not_at_all():
    values = np.array([0.3, 0.1, 0.7, 0.2])
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)


def test_a_prepared_case_is_read_as_it_was_written(tmp_path):
    grid = make_grid("axis-aligned")
    slices = np.random.default_rng(0).random((3, 4, 5)).astype(np.float16).astype(np.float32)
    moving = sitk.GetImageFromArray(slices)
    moving.SetOrigin((3.0, 4.0, 5.0))
    initial = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
    stacks = (Stack(grid, slices, 1 - slices),)
    case = PreparedCase("11-ct", "ct", 4.0, grid, stacks, moving, initial, slices[0], slices[1], 1.2)
    path = tmp_path / "case.npz"
    save_prepared(case, path, {"slice_side": 256})
    assert read_origin(path) == {"slice_side": 256}
    found = load_prepared(path)
    assert (found.name, found.modality, found.elastic_mm, found.best_rigid_mm) == ("11-ct", "ct", 4.0, 1.2)
    assert found.fixed.GetOrigin() == grid.GetOrigin()
    np.testing.assert_array_equal(found.stacks[0].fixed, slices)
    np.testing.assert_array_equal(found.truth, slices[1])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.moving), slices)
    assert found.moving.GetOrigin() == moving.GetOrigin()
    assert found.initial.TransformPoint((7.0, 8.0, 9.0)) == pytest.approx(initial.TransformPoint((7.0, 8.0, 9.0)))
    assert [each.name for each in tmp_path.iterdir()] == ["case.npz"]
