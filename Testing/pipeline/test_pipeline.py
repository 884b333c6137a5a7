"""Two volumes become one field, the registered and the fused volume; invalid ones are rejected with a clear error."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.geometry.fields import displacement_transform
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.network.runner import Runner
from BSAFusionLib.pipeline.case import Initialization
from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS
from BSAFusionLib.pipeline.posterior import Posterior
from BSAFusionLib.pipeline.progress import STAGE_SHARES
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from Testing.phantoms import coarse_head


@pytest.fixture
def settings(weights):
    """Make settings for the random network, on the CPU, without initialization or verdict."""

    def settings(modality: str, **choices) -> Settings:
        return Settings(
            modality, **{"weights": weights, "device": "cpu", "prealignment": "none", "do_no_harm": False, **choices}
        )

    return settings


def rgb_of(image: sitk.Image) -> sitk.Image:
    grey = sitk.RescaleIntensity(image, 0, 255)
    return sitk.Cast(sitk.Compose(grey, grey, grey), sitk.sitkVectorUInt8)


@pytest.mark.parametrize("axis", ["i", "j", "k"])
def test_all_images_lie_on_the_fixed_grid_and_the_field_leads_from_fixed_to_moving(grid, axis, head, settings):
    fixed, moving = head(grid, "mri"), sitk.Cast(head(grid, "pet") * 100, sitk.sitkInt16)
    start = sitk.Euler3DTransform((12.0, -20.0, 30.0), 0.05, 0.0, -0.1, (1.0, -2.0, 1.5))
    choices = {"prealignment": start, "slice_axis": axis, "three_axes": axis == "k"}
    result = register_and_fuse(fixed, moving, settings("pet", **choices))
    for image in (result.fused, result.registered, result.field):
        assert image.IsSameImageGeometryAs(fixed)
    assert result.registered.GetPixelID() == sitk.sitkInt16
    assert result.field.GetPixelID() == sitk.sitkVectorFloat64
    assert result.fused.GetPixelID() == sitk.sitkVectorUInt8

    middle = [count // 2 for count in fixed.GetSize()]
    point = np.array(fixed.TransformIndexToPhysicalPoint(middle))
    carried = displacement_transform(result.field).TransformPoint(point)
    network_part = np.linalg.norm(np.array(carried) - start.TransformPoint(point))
    assert 0 < network_part <= result.report.network_displacement.maximum + 1e-6
    index = moving.TransformPhysicalPointToContinuousIndex(carried)
    assert abs(result.registered[middle] - moving.EvaluateAtContinuousIndex(index)) <= 1


def test_ct_and_mri_fuse_to_a_scalar_volume_between_0_and_1(mri, ct, settings, capsys):
    result = register_and_fuse(mri, ct, settings("ct"))
    print(result.report)
    said = capsys.readouterr().out
    assert "The CT was " in said.split("\n\n")[0] and len(said.splitlines()) < 20
    fused = result.fused
    values = sitk.GetArrayViewFromImage(fused)
    assert fused.GetPixelID() == sitk.sitkFloat32
    assert values.min() >= 0
    assert values.max() <= 1


def test_the_fused_volume_has_the_colors_of_the_registered_one(mri, pet, settings):
    coloured = sitk.GetArrayFromImage(register_and_fuse(mri, pet, settings("pet")).fused).astype(int)
    assert np.ptp(coloured, axis=-1).max() > 100
    grey = sitk.GetArrayFromImage(register_and_fuse(mri, rgb_of(pet), settings("pet")).fused).astype(int)
    assert np.ptp(grey, axis=-1).max() <= 1


def test_what_is_fused_lies_where_the_total_transform_puts_it(mri, ct, settings, monkeypatch):
    def far(posterior: Posterior, fixed: sitk.Image) -> sitk.Image:
        grid = lattice_over(fixed, [8.0] * 3)
        field = sitk.GetImageFromArray(np.full((*grid.GetSize()[::-1], 3), (8.0, 0.0, 0.0)), isVector=True)
        field.CopyInformation(grid)
        return field

    monkeypatch.setattr("BSAFusionLib.pipeline.deformation.mean_field", far)
    monkeypatch.setattr(Runner, "fuse", lambda self, stack: stack.moving)
    result = register_and_fuse(mri, ct, settings("ct", ct_window=(40, 80)))
    fused, registered, unmoved = map(sitk.GetArrayFromImage, (result.fused, result.registered, ct))
    off, off_unmoved = (np.abs(fused - np.clip(values / 80, 0, 1)).mean() for values in (registered, unmoved))
    assert off < 0.25 * off_unmoved


def test_the_fused_colors_have_the_luminance_that_the_network_gave(mri, pet, settings):
    # A grey moving volume has no colour to clip, so its three channels are the network's luminance.
    rgb = register_and_fuse(mri, rgb_of(pet), settings("spect")).fused
    channels = sitk.GetArrayFromImage(rgb).astype(float)
    assert np.abs(channels @ LUMINANCE_WEIGHTS - channels[..., 0]).max() <= 1
    assert channels.std() > 1


def test_colors_are_the_same_however_few_slices_are_colored_at_once(mri, pet, settings, monkeypatch):
    at_once = register_and_fuse(mri, pet, settings("pet")).fused
    monkeypatch.setattr("BSAFusionLib.pipeline.color.SLAB_VOXELS", 7 * 50 * 54)  # of 40 slices
    few = register_and_fuse(mri, pet, settings("pet")).fused
    assert few.IsSameImageGeometryAs(at_once)
    np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, (few, at_once)))


def test_the_initial_transform_alone_is_no_failed_deformation(mri, pet, settings):
    result = register_and_fuse(mri, pet, settings("pet", strength=0.0, do_no_harm=True))
    assert result.report.verdict.kept is None
    assert (result.report.strength, result.report.do_no_harm) == (0.0, True)
    assert not any("deformation" in text for text in (*result.report.warnings, *result.report.details))


def test_displacements_beyond_what_was_trained_on_are_cut_with_a_remark(mri, pet, settings, monkeypatch):
    monkeypatch.setattr("BSAFusionLib.pipeline.limits.MAX_DISPLACEMENT_PX", 0.01)
    result = register_and_fuse(mri, pet, settings("pet", do_no_harm=True))
    lengths = np.linalg.norm(sitk.GetArrayFromImage(result.estimated_field), axis=-1)
    assert lengths.max() < 0.1  # mm: a hundredth of a pixel
    assert any("longer than those of its training" in detail for detail in result.report.details)


def test_volumes_far_finer_than_the_slices_are_downsampled_with_much_the_same_result(mri, pet, settings, monkeypatch):
    fine = [sitk.Expand(image, (6, 1, 1)) for image in (mri, pet)]  # 5 voxels a pixel
    seen_coarser = register_and_fuse(*fine, settings("pet")).network_field
    monkeypatch.setattr("BSAFusionLib.pipeline.network_input.downsampling_factors", lambda *_: [1, 1, 1])
    field = register_and_fuse(*fine, settings("pet")).network_field
    found, expected = (sitk.GetArrayFromImage(each) for each in (sitk.Resample(seen_coarser, field), field))
    assert np.linalg.norm(found - expected, axis=-1).mean() < 0.2 * np.linalg.norm(expected, axis=-1).mean()


def test_the_initial_mutual_information_is_that_of_the_transform_that_was_searched_for(mri, pet, settings, monkeypatch):
    elsewhere = sitk.Euler3DTransform()
    elsewhere.SetTranslation((9.0, 0.0, 0.0))
    searched = Initialization(sitk.Euler3DTransform(), "rigid")
    monkeypatch.setattr("BSAFusionLib.pipeline.register_and_fuse.initialize", lambda *_: searched)
    monkeypatch.setattr("BSAFusionLib.pipeline.deformation.rigid_part", lambda *_: elsewhere)
    result = register_and_fuse(mri, pet, settings("pet"))
    assert result.prealignment is elsewhere
    # The volumes are searched for where they are placed.
    assert result.report.mutual_information_prealigned == result.report.mutual_information_before


def test_the_report_is_ready_for_json_and_its_figures_belong_together(mri, pet, settings):
    shift = sitk.TranslationTransform(3, (5.0, 0.0, 0.0))
    report = register_and_fuse(mri, pet, settings("pet", prealignment=shift)).report
    assert report.verdict.doubtful
    assert any("less similar than before registration" in reason for reason in report.verdict.reasons)
    figures = json.loads(json.dumps(report.as_dict()))
    assert figures["prealignment"] == "given"
    assert figures["modality"] == "pet"
    assert figures["device"] == "cpu"
    assert figures["precision"] == "float32"
    assert figures["weights"] == "random.safetensors"
    assert len(figures["weights_sha256"]) == 64
    assert figures["mutual_information_before"] > figures["mutual_information_prealigned"] > 0
    lengths = figures["displacement"]
    assert 0 < lengths["mean"] <= lengths["percentile_95"] <= lengths["maximum"]
    assert abs(lengths["mean"] - 5.0) <= figures["network_displacement"]["mean"]
    assert figures["percent_folded"] == 0 or figures["smallest_jacobian"] <= 0
    assert list(figures["seconds"]) == list(STAGE_SHARES)
    assert all(seconds >= 0 for seconds in figures["seconds"].values())


def test_slices_that_show_nothing_are_skipped(mri, pet, settings):
    empty_top = sitk.Image(pet)
    empty_top[:, :, 25:] = 0.0
    full = register_and_fuse(mri, pet, settings("pet")).report.slices
    assert register_and_fuse(mri, empty_top, settings("pet")).report.slices < full - 3


def test_voxels_that_are_not_finite_are_corrected_with_a_warning(mri, pet, settings):
    spoilt = sitk.Image(pet)
    spoilt[20:23, 25, 20] = float("nan")
    spoilt[10, 10, 10] = float("inf")
    result = register_and_fuse(mri, spoilt, settings("pet"))
    assert "4 voxels of the moving volume were not finite" in " ".join(result.report.warnings)
    assert np.isfinite(sitk.GetArrayViewFromImage(result.registered)).all()


def test_progress_only_grows_and_ends_at_1(settings):
    told = []
    pair = coarse_head(), coarse_head("pet")
    register_and_fuse(*pair, settings("pet", prealignment="rigid"), lambda *news: told.append(news))
    fractions = [fraction for _, fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert {"pre-alignment", "registration", "fusion", "report"} <= {stage for stage, _, _ in told}


def test_while_the_network_runs_progress_counts_the_slices_and_else_says_nothing_of_them(mri, pet, settings):
    told = []
    report = register_and_fuse(mri, pet, settings("pet", batch_size=4), lambda *news: told.append(news)).report
    counted = [(stage, slices) for stage, _, slices in told if slices is not None]
    assert {stage for stage, _ in counted} == {"pre-registration", "registration", "fusion"}
    done, of = zip(*(slices for stage, slices in counted if stage == "registration"), strict=True)
    assert set(of) == {done[-1]}
    assert list(done) == sorted(done)
    assert done[0] == 4
    assert counted[-1] == ("fusion", (report.slices, report.slices))


@pytest.mark.parametrize("stage", ["pre-alignment", "registration", "fusion", "report"])
def test_a_run_stops_in_every_stage_when_cancelled(stage, mri, pet, settings):
    reached = []
    with pytest.raises(Cancelled):
        register_and_fuse(
            mri,
            pet,
            settings("pet", prealignment="rigid" if stage == "pre-alignment" else "none"),
            lambda name, *_: reached.append(name),
            lambda: stage in reached,
        )
    assert reached[-1] == stage


def test_the_input_is_as_it_was_afterwards(mri, pet, settings):
    fixed, moving = sitk.Image(mri), sitk.Image(pet)
    register_and_fuse(fixed, moving, settings("pet"))
    assert np.array_equal(sitk.GetArrayViewFromImage(fixed), sitk.GetArrayViewFromImage(mri))
    assert np.array_equal(sitk.GetArrayViewFromImage(moving), sitk.GetArrayViewFromImage(pet))


def moved_far_away(image: sitk.Image) -> sitk.Image:
    far = sitk.Image(image)
    far.SetOrigin((2000.0, 0.0, 0.0))
    return far


bad_moving_volumes = {
    "a single slice": (lambda pet: pet[:, :, 20:21], "single slice"),
    "four dimensions": (lambda pet: sitk.JoinSeries(pet, pet), "4 dimensions"),
    "far away": (moved_far_away, "do not overlap in space"),
    "all the same": (lambda pet: pet * 0 + 3, "same value"),
    "all NaN": (lambda pet: pet * float("nan"), "no voxel with a finite value"),
    "vectors": (lambda pet: sitk.Compose(pet, pet), "2 values per voxel"),
    "colours that are not bytes": (lambda pet: sitk.Compose(pet, pet, pet), "3 values per voxel"),
}


@pytest.mark.parametrize("prealignment", ["rigid", "none"])
@pytest.mark.parametrize("name", bad_moving_volumes)
def test_a_moving_volume_that_is_invalid_is_rejected(name, prealignment, mri, pet, settings):
    spoil, said = bad_moving_volumes[name]
    with pytest.raises(FusionError, match=said):
        register_and_fuse(mri, spoil(pet), settings("pet", prealignment=prealignment))


def test_colors_are_rejected_where_one_value_is_needed(mri, ct, settings):
    with pytest.raises(FusionError, match="moving volume has 3 values"):
        register_and_fuse(mri, rgb_of(ct), settings("ct"))
    with pytest.raises(FusionError, match="fixed volume has 3 values"):
        register_and_fuse(rgb_of(mri), ct, settings("ct"))


def test_an_initial_transform_that_moves_the_volumes_apart_is_rejected(mri, pet, settings):
    with pytest.raises(FusionError, match="do not overlap"):
        register_and_fuse(mri, pet, settings("pet", prealignment=sitk.TranslationTransform(3, (900.0, 0.0, 0.0))))


@pytest.mark.parametrize("first", [-1.0, 0.0])
def test_an_initial_transform_that_mirrors_or_leaves_no_depth_is_rejected(mri, pet, settings, first):
    transform = sitk.AffineTransform([first, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0])
    with pytest.raises(FusionError, match="initial transform mirrors or leaves no depth"):
        register_and_fuse(mri, pet, settings("pet", prealignment=transform))


def test_weights_that_are_missing_or_damaged_are_rejected(mri, pet, settings, weights, tmp_path):
    with pytest.raises(FusionError, match="no weights file"):
        register_and_fuse(mri, pet, settings("pet", weights=tmp_path / "none.safetensors"))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(FusionError, match=r"damaged\.safetensors"):
        register_and_fuse(mri, pet, settings("pet", weights=damaged))


def test_a_device_that_is_not_there_is_rejected(mri, pet, settings):
    with pytest.raises(FusionError, match="cuda:77"):
        register_and_fuse(mri, pet, settings("pet", device="cuda:77"))


@pytest.mark.parametrize(
    "choice",
    [
        {"modality": "mri"},
        {"prealignment": "affine"},
        {"slice_axis": "x"},
        {"ct_window": (40.0, 0.0)},
        {"ct_window": (float("nan"), 80.0)},
        {"batch_size": 0},
        {"through_plane_smoothing": -1.0},
        {"strength": 1.5},
    ],
)
def test_a_choice_that_makes_no_sense_is_rejected_where_it_is_made(choice):
    with pytest.raises(FusionError):
        Settings(**{"modality": "ct", **choice})
