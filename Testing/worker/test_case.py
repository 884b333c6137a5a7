"""What travels between the processes arrives as it was: voxels, places, settings, report; else a sentence says why."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.doubt import SecondOpinion
from BSAFusionLib.pipeline.measures import Displacement
from BSAFusionLib.pipeline.report import ExpectedError, LandmarkError, Report, Verdict
from BSAFusionLib.report.overlay import OverlayWindow
from BSAFusionLib.report.pictures import Pictures, Plane
from BSAFusionLib.settings import Settings
from BSAFusionLib.worker.case import (
    Deformation,
    Outcome,
    compute_case,
    matrix_of,
    read_case,
    read_outcome,
    write_case,
    write_outcome,
)
from BSAFusionLib.worker.volumes import Volume
from Testing.conftest import repository
from Testing.phantoms import coarse_head
from Testing.scene.conftest import weights  # noqa: F401  (a fixture)

turned = tuple(np.round(np.linalg.qr(np.arange(9).reshape(3, 3) ** 1.5 + np.eye(3))[0], 15).ravel().tolist())


def volume(voxels, spacing=(0.7, 0.9, 3.3)):
    """Voxels in an odd place."""
    return Volume(voxels, (-12.3456789012345, 1e-7, 99.5), spacing, turned)


def assert_same(found, expected):
    assert found.voxels.dtype == expected.voxels.dtype
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    assert (found.origin, found.spacing, found.direction) == (expected.origin, expected.spacing, expected.direction)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<i4", "<i8", "<f4", "<f8"])
def test_voxels_of_every_type_and_their_place_arrive_to_the_bit(dtype, tmp_path):
    sent = volume(np.arange(24).reshape(2, 3, 4).astype(dtype))
    header = sent.save(tmp_path / "volume.npy")
    assert_same(Volume.load(header, tmp_path), sent)


@pytest.mark.parametrize("shape", [(2, 3, 4, 3), (3, 4, 2)])
def test_a_volume_becomes_the_image_that_it_was(shape, tmp_path):
    sent = volume(np.random.default_rng(0).random(shape).astype(np.float32)).image()
    assert sent.GetNumberOfComponentsPerPixel() == (3 if len(shape) == 4 else 1)
    found = Volume.load(Volume.of(sent).save(tmp_path / "volume.npy"), tmp_path).image()
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found), sitk.GetArrayViewFromImage(sent))
    for place in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection", "GetPixelIDTypeAsString"):
        assert getattr(found, place)() == getattr(sent, place)()


def test_bytes_in_another_order_mean_the_same():
    values = np.arange(24, dtype=">f4").reshape(2, 3, 4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume(values).image()), values)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(
            "ct", ct_window=(35.5, 80.0), weights=os.path.abspath("weights.safetensors"), batch_size=4, three_axes=False
        ),
        Settings("pet", prealignment="none", strength=0.3, refine=True, do_no_harm=False, fold_free=False),
        Settings("spect", slice_axis="j", device="cuda:1", precision="bfloat16", through_plane_smoothing=0.1),
    ],
)
def test_a_case_arrives_as_it_was_sent(settings, tmp_path):
    fixed, moving = volume(np.ones((2, 3, 4), np.int16)), volume(np.ones((4, 3, 2, 3), np.uint8))
    found = read_case(write_case(fixed, moving, settings, tmp_path))
    assert found[2] == settings
    for image, sent in zip(found[:2], (fixed, moving), strict=True):
        assert_same(Volume.of(image), sent)


def test_a_mask_arrives_where_it_lies(tmp_path):
    fixed, mask = volume(np.ones((2, 3, 4), np.float32)), volume(np.eye(3, dtype=np.uint8)[None].repeat(2, axis=0))
    assert read_case(write_case(fixed, fixed, Settings("pet"), tmp_path))[3] is None
    assert_same(Volume.of(read_case(write_case(fixed, fixed, Settings("pet"), tmp_path, mask))[3]), mask)


def test_a_given_initial_transform_arrives(tmp_path):
    start = sitk.AffineTransform([0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.1], [5.0, -6.0, 7.0])
    fixed = volume(np.ones((2, 3, 4), np.float32))
    found = read_case(write_case(fixed, fixed, Settings("pet", prealignment=start), tmp_path))[2].prealignment
    np.testing.assert_allclose(matrix_of(found), matrix_of(start), rtol=0, atol=1e-12)


@pytest.fixture
def outcome():
    numbers = np.random.default_rng(0)
    plane = Plane("Axial", *numbers.random((4, 5, 6)), numbers.random((2, 5, 6)), *numbers.random((3, 5, 6)))
    opinion = SecondOpinion(True, False, None, None, 0.5, 0.25, 0.125, 0.0625, "z")
    report = Report(
        modality="pet",
        prealignment="rigid",
        slices=20,
        axes=("k", "i"),
        verdict=Verdict(0.5, 10.0, 0.1, None, True, ("A reason.",), opinion),
        mutual_information_before=0.1,
        mutual_information_prealigned=0.2,
        mutual_information_after=1 / 3,
        displacement=Displacement(1.0, 2.0, 3.0),
        network_displacement=Displacement(0.1, 0.2, 0.3),
        smallest_jacobian=0.5,
        percent_folded=0.0,
        device="cpu",
        precision="float32",
        weights="pet.safetensors",
        weights_sha256="0" * 64,
        seconds={"fusion": 1.5},
        warnings=("A warning.",),
        details=("A detail.",),
        expected_error=ExpectedError(1.5, 0.75, None),
    )
    return Outcome(
        volume(numbers.integers(0, 255, (2, 3, 4, 3)).astype(np.uint8)),
        volume(numbers.random((2, 3, 4)).astype(np.float32)),
        Deformation(volume(numbers.random((2, 2, 2, 3)).astype(np.float32)), numbers.random((4, 4)), 0.5, 7.5, 200.0),
        report,
        Pictures(
            (plane, replace(plane, name="Coronal")),
            numbers.random(9),
            numbers.random(9),
            OverlayWindow(0.5, 7.0, "SUV"),
        ),
    )


def test_an_outcome_arrives_as_it_was_sent(outcome, tmp_path):
    found = read_outcome(write_outcome(outcome, tmp_path), tmp_path)
    assert found.report == outcome.report
    for name in ("fused", "registered"):
        assert_same(getattr(found, name), getattr(outcome, name))
    assert_same(found.deformation.displacement, outcome.deformation.displacement)
    np.testing.assert_array_equal(found.deformation.prealignment, outcome.deformation.prealignment)
    assert (found.deformation.shortest_mm, found.deformation.longest_mm, found.deformation.extent_mm) == (0.5, 7.5, 200)
    for plane, sent in zip(found.pictures.planes, outcome.pictures.planes, strict=True):
        assert plane.name == sent.name
        np.testing.assert_array_equal(plane.coordinates, sent.coordinates)
        np.testing.assert_array_equal(plane.determinant, sent.determinant)
        np.testing.assert_array_equal(plane.expected_error_mm, sent.expected_error_mm)
    np.testing.assert_array_equal(found.pictures.total_mm, outcome.pictures.total_mm)


def test_a_report_with_landmarks_is_rebuilt_and_one_of_an_older_version_is_not_doubtful(outcome):
    report = replace(outcome.report, landmarks=LandmarkError(4.0, 5.0, 1.0, 2.0))
    assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report
    older = report.as_dict() | {"verdict": None}
    del older["details"]
    assert Report.from_dict(older) == replace(report, verdict=Verdict(), details=())


def test_a_file_that_is_gone_or_cut_short_is_a_sentence(outcome, tmp_path):
    answer = write_outcome(outcome, tmp_path)
    whole = (tmp_path / "fused.npy").read_bytes()
    (tmp_path / "fused.npy").write_bytes(whole[:-1])
    with pytest.raises(FusionError, match=r"temporary folder .* cannot be used \(.*\); see that"):
        read_outcome(answer, tmp_path)
    (tmp_path / "fused.npy").unlink()
    with pytest.raises(FusionError, match="No such file"):
        read_outcome(answer, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of this kind")
def test_a_full_disk_is_a_sentence_and_no_crash(tmp_path):
    program = f"""
import resource, sys
import numpy as np
from pathlib import Path
from BSAFusionLib.settings import Settings
from BSAFusionLib.worker.case import write_case
from BSAFusionLib.worker.volumes import Volume
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
fixed = Volume(np.ones((100, 200, 200), np.float32), (0, 0, 0), (1, 1, 1), tuple(np.eye(3).ravel()))
write_case(fixed, fixed, Settings("pet"), Path({str(tmp_path)!r}))
"""
    finished = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
    assert "FusionError: The temporary folder" in finished.stderr.splitlines()[-1]
    assert finished.returncode == 1


def test_reading_an_outcome_imports_no_library_that_takes_long(outcome, tmp_path):
    answer = write_outcome(outcome, tmp_path)
    program = f"""
import sys
from pathlib import Path
from BSAFusionLib.worker.case import read_outcome
from BSAFusionLib.worker.main import serve
read_outcome({answer!r}, Path({str(tmp_path)!r}))
sys.exit(" ".join({{"torch", "scipy", "SimpleITK", "matplotlib", "slicer", "vtk"}} & set(sys.modules)) or 0)
"""
    finished = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_pictures_show_what_was_registered_where_values_were_no_numbers(weights):  # noqa: F811
    plain, moving = coarse_head(), coarse_head("pet")
    values = sitk.GetArrayFromImage(plain).astype(np.float32)
    fixed = sitk.GetImageFromArray(np.where(values < 0.05 * values.max(), np.float32(3.4e38), values))
    fixed.CopyInformation(plain)
    settings = Settings("pet", weights=weights, prealignment="none", three_axes=False, do_no_harm=False, device="cpu")
    case = compute_case(fixed, moving, settings)
    for plane in case.pictures.planes:
        assert np.nanmax(plane.fixed) <= values.max()


def test_a_case_is_computed_alike_before_and_after_its_way(weights, tmp_path):  # noqa: F811
    settings = Settings("pet", weights=weights, prealignment="none", do_no_harm=False, device="cpu")
    fixed, moving = coarse_head(), coarse_head("pet")
    here = compute_case(fixed, moving, settings).outcome()
    case = write_case(Volume.of(fixed), Volume.of(moving), settings, tmp_path)
    there = read_outcome(write_outcome(compute_case(*read_case(case)[:3]).outcome(), tmp_path), tmp_path)
    assert_same(there.fused, here.fused)
    assert_same(there.registered, here.registered)
    assert_same(there.deformation.displacement, here.deformation.displacement)
    assert os.path.getsize(tmp_path / "pictures.npz") < 6e6
