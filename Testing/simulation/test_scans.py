"""Scans have the values, noise, fields of view and grids that their settings name, and follow from the seed."""

from dataclasses import fields, replace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionResearch.simulation.patient import Patient, simulate_patient
from BSAFusionResearch.simulation.scanners import draw_moving_scanner, draw_mri_scanner, finer_along_slices
from BSAFusionResearch.simulation.scans import FWHM, as_ct, as_emission, as_mri
from BSAFusionResearch.simulation.settings import PatientSettings
from BSAFusionResearch.simulation.tissues import TRACERS
from Testing.simulation.conftest import coarse_scanner

PLAIN = {"noise": 0.0, "variation": 0.0, "bias": 0.0, "rotation_deg": 0, "translation_mm": 0, "elastic_mm": 0}
AIR, WHITE, CORTEX, FLUID, PUTAMEN, BONE, EYE = 0, 1, 2, 15, 7, 26, 20


def simulated(head: sitk.Image, **choices: object) -> Patient:
    settings = PatientSettings(**choices)
    resolution = {"ct": 2.0, "pet": 5.0, "spect": 9.0}[settings.modality]
    return simulate_patient(head, settings, coarse_scanner(), coarse_scanner(3, "axial", resolution))


def medians(image: sitk.Image, patient: Patient) -> dict[int, float]:
    """Median value of each code, of an image that lies on the labels as placed."""
    on_labels = sitk.GetArrayFromImage(sitk.Resample(image, patient.labels, sitk.Transform(), sitk.sitkLinear, -1024.0))
    codes = sitk.GetArrayViewFromImage(patient.labels)
    return {code: float(np.median(on_labels[codes == code])) for code in np.unique(codes)}


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        ("t1", (FLUID, CORTEX, WHITE)),
        ("t2", (WHITE, CORTEX, FLUID)),
        ("flair", (FLUID, WHITE, CORTEX)),
        ("pd", (BONE, WHITE, CORTEX)),
    ],
)
def test_an_mri_has_the_order_of_its_contrast(head: sitk.Image, contrast: str, order: tuple[int, ...]) -> None:
    patient = simulated(head, modality="ct", contrast=contrast, **PLAIN)
    values = medians(patient.fixed, patient)
    assert patient.fixed.GetPixelID() == sitk.sitkInt16
    assert [values[code] for code in order] == sorted(values[code] for code in order)


def test_a_random_contrast_differs_from_seed_to_seed_and_leaves_air_dark(head: sitk.Image) -> None:
    one, other = (
        medians(patient.fixed, patient)
        for patient in (simulated(head, contrast="random", seed=seed, **PLAIN) for seed in (1, 2))
    )
    assert np.corrcoef([list(one.values())[1:], list(other.values())[1:]])[0, 1] < 0.9
    assert one[AIR] < 0.1 * max(one.values())


def test_a_ct_has_hounsfield_units(head: sitk.Image) -> None:
    patient = simulated(head, modality="ct", **PLAIN)
    values = medians(patient.moving, patient)
    assert patient.moving.GetPixelID() == sitk.sitkInt16
    assert values[AIR] == pytest.approx(-1000, abs=1)
    assert values[WHITE] == pytest.approx(30, abs=6)
    assert values[CORTEX] > values[WHITE]
    assert values[BONE] > 500  # 950, less by the blur


@pytest.mark.parametrize(("modality", "tracer"), [(m, tracer) for m, tracers in TRACERS.items() for tracer in tracers])
def test_each_tracer_shows_what_it_gathers_in(head: sitk.Image, modality: str, tracer: str) -> None:
    patient = simulated(head, modality=modality, tracer=tracer, **PLAIN)
    values = medians(patient.moving, patient)
    assert patient.moving.GetPixelID() == sitk.sitkFloat32
    brightest = {"dopamine": PUTAMEN, "amyloid": WHITE}.get(tracer, CORTEX if modality == "pet" else 5)
    assert values[brightest] > 1.15 * values[PUTAMEN if tracer == "amyloid" else WHITE]
    assert min(values[brightest], values[WHITE]) > 5 * values[AIR]


def test_hot_glands_outshine_the_brain(head: sitk.Image) -> None:
    patient = simulated(head, modality="pet", hot=30, **PLAIN)
    values = sitk.GetArrayViewFromImage(patient.moving)
    assert values.max() > 8 * medians(patient.moving, patient)[CORTEX]
    assert (sitk.GetArrayViewFromImage(patient.labels) == 42).any()


def flat(value: float, spacing: float = 2.0) -> tuple[np.ndarray, sitk.Image]:
    grid = sitk.Image([40, 40, 40], sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    return np.full((40, 40, 40), value, np.float32), grid


def test_the_noise_of_an_mri_is_rician() -> None:
    signal, grid = flat(0)
    values = as_mri(signal, grid, 0, 1, 0.1, np.random.default_rng(0)).astype(float)
    # Without signal Rician noise follows Rayleigh's distribution.
    assert values.mean() / values.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.02)


def test_the_noise_of_a_ct_is_in_hounsfield_units() -> None:
    assert as_ct(flat(40)[0], 6, np.random.default_rng(0)).std() == pytest.approx(6, rel=0.02)


def test_the_noise_of_a_pet_grows_with_the_square_root_of_the_activity() -> None:
    spreads = []
    for activity in (0.25, 1.0):
        values = as_emission(*flat(activity), 6, 0.05, np.random.default_rng(0))
        spreads.append(values.std() / values.mean() * activity)
    assert spreads == pytest.approx([0.025, 0.05], rel=0.05)


def test_the_noise_of_a_pet_is_smooth_as_a_third_of_its_resolution() -> None:
    values = as_emission(*flat(1.0, spacing=1.0), 12, 0.05, np.random.default_rng(0))
    values = values - values.mean()
    neighbors = (values[1:] * values[:-1]).mean() / values.var()
    sigma = 4 / FWHM  # noise smoothed by sigma correlates as exp(-d^2 / 4 sigma^2)
    assert neighbors == pytest.approx(np.exp(-1 / (4 * sigma**2)), abs=0.03)


def test_a_coil_is_as_uneven_as_asked_for() -> None:
    signal, grid = flat(1)
    values = as_mri(signal, grid, 0, 8, 0, np.random.default_rng(4)).astype(float)
    assert values.max() / values.min() == pytest.approx(8, rel=0.02)


def test_a_bias_field_changes_by_its_fraction() -> None:
    signal, grid = flat(1, spacing=5.0)
    values = as_mri(signal, grid, 0.2, 1, 0, np.random.default_rng(0)).astype(float)
    assert 1.2 < values.max() / values.min() < 1.2**2 + 0.01


def test_a_skull_stripped_mri_shows_the_brain_alone(head: sitk.Image) -> None:
    patient = simulated(head, removed="skull", **{**PLAIN, "noise": 1.0})
    values, codes = sitk.GetArrayViewFromImage(patient.fixed), sitk.GetArrayViewFromImage(patient.labels)
    assert (values[np.isin(codes, (AIR, EYE, 22, 24))] > 0).mean() < 0.005
    assert (values[np.isin(codes, (WHITE, CORTEX))] > 0).mean() > 0.97


def test_a_defaced_mri_keeps_the_brain_and_loses_the_eyes(head: sitk.Image) -> None:
    patient = simulated(head, removed="face", **{**PLAIN, "noise": 1.0})
    values, codes = sitk.GetArrayViewFromImage(patient.fixed), sitk.GetArrayViewFromImage(patient.labels)
    whole = sitk.GetArrayFromImage(simulated(head, **{**PLAIN, "noise": 1.0}).fixed)
    assert (values[codes == EYE] == 0).mean() > 0.4
    assert (values == whole)[np.isin(codes, (WHITE, CORTEX, 4, 13))].all()


def test_the_same_seed_gives_the_same_patient_and_another_one_another(head: sitk.Image) -> None:
    once, again, other = (simulated(head, modality="pet", seed=seed, lesion="tumor", shape_mm=8) for seed in (5, 5, 6))
    for name in ("fixed", "moving", "labels"):
        values = [sitk.GetArrayFromImage(getattr(patient, name)) for patient in (once, again)]
        assert np.array_equal(*values)
    assert once.drawn == again.drawn
    assert once.truth.TransformPoint((9.0, 8.0, 7.0)) == again.truth.TransformPoint((9.0, 8.0, 7.0))
    assert other.truth.TransformPoint((9.0, 8.0, 7.0)) != once.truth.TransformPoint((9.0, 8.0, 7.0))


def test_another_elastic_size_leaves_person_motion_and_moving_scan_as_they_are(head: sitk.Image) -> None:
    none, some = (simulated(head, modality="ct", seed=5, elastic_mm=size) for size in (0, 8))
    assert np.array_equal(*(sitk.GetArrayViewFromImage(patient.moving) for patient in (none, some)))
    assert none.truth.GetNthTransform(0).GetParameters() == some.truth.GetNthTransform(0).GetParameters()
    assert none.truth.TransformPoint((0.0, 0.0, 0.0)) != some.truth.TransformPoint((0.0, 0.0, 0.0))


@pytest.mark.parametrize("seed", range(5))
def test_each_scanner_has_voxels_and_sharpness_of_its_kind(seed: int) -> None:
    drawn = {}
    for modality in ("ct", "pet", "spect"):
        drawn[modality] = draw_moving_scanner(PatientSettings(modality), np.random.default_rng(seed))
    assert 0.7 <= drawn["ct"].resolution_mm <= 1.5 and 4 <= drawn["pet"].resolution_mm <= 7
    assert 8 <= drawn["spect"].resolution_mm <= 12
    assert max(drawn["ct"].spacing_mm[:2]) <= 1 < min(drawn["pet"].spacing_mm) < 3.4
    assert min(drawn["spect"].spacing_mm) >= 3
    mri = draw_mri_scanner(PatientSettings(slice_thickness_mm=5), np.random.default_rng(seed))
    assert mri.plane == "axial" and mri.spacing_mm[2] == 5 and mri.spacing_mm[0] < 1.1


def corners(image: sitk.Image) -> np.ndarray:
    last = [size - 1 for size in image.GetSize()]
    indices = [[i * last[0], j * last[1], k * last[2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return np.array([image.TransformIndexToPhysicalPoint(index) for index in indices])


@pytest.mark.parametrize(("view", "low", "high"), [("slab", 60, 130), ("brain", 120, 185), ("head", 165, 215)])
def test_a_field_of_view_is_as_high_as_its_kind(head: sitk.Image, view: str, low: float, high: float) -> None:
    for role in ("fixed", "moving"):
        patient = simulated(head, modality="pet", **{**PLAIN, f"{role}_view": view})
        image = getattr(patient, role)
        assert low < image.GetSize()[2] * image.GetSpacing()[2] < high


def test_a_view_without_face_ends_in_front_of_the_brain(head: sitk.Image) -> None:
    whole, cut = (simulated(head, **PLAIN, fixed_view=view) for view in ("head", "no-face"))
    assert corners(cut.fixed)[:, 1].min() > corners(whole.fixed)[:, 1].min() + 8
    count = [(sitk.GetArrayViewFromImage(patient.labels) == CORTEX).sum() for patient in (whole, cut)]
    assert count[1] > 0.98 * count[0]


def test_a_head_in_the_corner_lies_off_the_middle_of_a_large_view(head: sitk.Image) -> None:
    patient = simulate_patient(
        head, PatientSettings("ct", moving_view="corner", **PLAIN), coarse_scanner(), coarse_scanner(6)
    )
    size = np.array(patient.moving.GetSize()) * patient.moving.GetSpacing()
    assert size[:2].min() > 650
    inside = np.argwhere(sitk.GetArrayViewFromImage(patient.moving) > -300)[:, ::-1].mean(axis=0)
    assert (np.abs(inside / patient.moving.GetSize() - 0.5)[:2] > 0.2).all()


def test_a_torso_lies_in_view_below_the_head(head: sitk.Image) -> None:
    settings = PatientSettings("ct", torso_mm=300, **PLAIN)
    patient = simulate_patient(head, settings, coarse_scanner(), coarse_scanner(5))
    whole = simulate_patient(head, replace(settings, torso_mm=0), coarse_scanner(), coarse_scanner(5))
    assert corners(patient.moving)[:, 2].min() < corners(whole.moving)[:, 2].min() - 290
    values = sitk.GetArrayViewFromImage(patient.moving)
    z = round((-300 - patient.moving.GetOrigin()[2]) / 5)
    chest = values[z]
    assert (chest < -700).any() and ((chest > -50) & (chest < 80)).any() and (chest > 400).any()
    body = (values > -300).any(axis=(1, 2))
    assert body[3:-4].all()  # no gap between head and torso


def test_thick_slices_are_cut_into_thin_ones_whose_means_they_are() -> None:
    thick_scanner = replace(coarse_scanner(1.5), spacing_mm=(1.5, 1.5, 6.0))
    thick = thick_scanner.grid_over(np.array([[-10.0, -10, -10], [10, 10, 10]]))
    fine, parts = finer_along_slices(thick)
    assert parts == 4
    binned = sitk.BinShrink(sitk.Cast(fine, sitk.sitkFloat32), [1, 1, parts])
    assert binned.GetSize() == thick.GetSize()
    assert binned.GetOrigin() == pytest.approx(thick.GetOrigin())
    assert binned.GetSpacing() == pytest.approx((1.5, 1.5, 6))


def test_a_tilted_gantry_shears_the_grid_and_nothing_else(head: sitk.Image) -> None:
    straight, tilted = (
        simulate_patient(head, PatientSettings("ct", gantry_deg=angle, **PLAIN), coarse_scanner(), scanner)
        for angle, scanner in (
            (0, coarse_scanner(3, "axial", 3)),
            (20, replace(coarse_scanner(3, "axial", 3), gantry_deg=20.0)),
        )
    )
    direction = np.array(tilted.moving.GetDirection()).reshape(3, 3)
    assert direction[:, 1] @ direction[:, 2] == pytest.approx(np.sin(np.radians(20)))
    for point in ((0.0, 0.0, 20.0), (30.0, -40.0, 0.0), (-40.0, 50.0, 30.0)):
        values = [patient.moving[patient.moving.TransformPhysicalPointToIndex(point)] for patient in (straight, tilted)]
        assert values[0] == pytest.approx(values[1], abs=12)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"modality": "us"}, "modality us"),
        ({"contrast": "t9"}, "contrast t9"),
        ({"modality": "ct", "tracer": "fdg"}, "fdg does not go with ct"),
        ({"modality": "spect", "tracer": "tau"}, "tau does not go with spect"),
        ({"elastic_mm": -1}, "elastic mm is -1; choose a value of 0 to 20"),
        ({"elastic_mm": float("nan")}, "elastic mm is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"modality": "pet", "gantry_deg": 5}, "gantry"),
        ({"torso_mm": 100, "moving_view": "slab"}, "torso"),
        ({"size": 0.1}, "size is 0.1"),
    ],
)
def test_a_choice_out_of_range_is_rejected_in_one_sentence(choices: dict, said: str) -> None:
    with pytest.raises(FusionError, match=said):
        PatientSettings(**choices)


def test_every_choice_has_a_help_text() -> None:
    assert all(each.metadata.get("help") for each in fields(PatientSettings))
