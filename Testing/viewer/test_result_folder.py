"""The viewer reads a folder of results, or reports why it cannot."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import uid

from BSAFusionLib.__main__ import main
from BSAFusionLib.cohort.cases import Case
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.inputs import Pair
from BSAFusionLib.viewer.result_folder import Found, read_result
from Testing.dicom.conftest import write_series
from Testing.phantoms import coarse_head


@pytest.fixture
def folder(result: Path, tmp_path: Path) -> Path:
    """A copy of the results, beside copies of what they were made from, to damage."""
    shutil.copytree(result.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "result"


def change_report(folder: Path, **changes: object) -> None:
    path = folder / "report.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_inputs_are_found_by_the_report_wherever_the_folders_moved_together(folder: Path) -> None:
    found = read_result(folder)
    assert found.missing == ()
    for image, name in ((found.fixed, "mri.nii.gz"), (found.moving, "pet.nii.gz")):
        file = sitk.ReadImage(str(folder.parent / name))
        assert np.array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(file))


def test_a_doubtful_result_says_so_and_one_of_an_older_version_does_not(folder: Path) -> None:
    change_report(folder, verdict={"doubtful": True, "reasons": ["The first.", "The second."]})
    assert read_result(folder).doubt == "Doubtful: The first. The second."
    change_report(folder, verdict=None)
    assert read_result(folder).doubt == ""


def test_the_warnings_of_the_report_are_read(folder: Path) -> None:
    change_report(folder, warnings=["The first.", "The second."])
    assert read_result(folder).warnings == ("The first.", "The second.")


def test_the_verdict_is_read_in_two_sentences(folder: Path) -> None:
    moved, expected = read_result(folder).sentences
    assert moved.startswith("The PET was moved by ") and moved.endswith("; the network bent nothing.")
    assert expected.startswith("The expected error is unknown for these weights")


def test_the_expected_error_of_a_doubtful_result_is_not_shown(bent_result: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bent_result, tmp_path / "result")
    assert read_result(folder).expected_error is not None
    change_report(folder, verdict={"doubtful": True, "reasons": ["The first."]})
    assert read_result(folder).expected_error is None


def test_without_the_moving_volume_the_page_can_say_why_there_is_no_before(folder: Path) -> None:
    (folder.parent / "pet.nii.gz").unlink()
    assert read_result(folder).missing == (
        "The PET is not where the report says. Its place before registration cannot be shown; run view again with "
        "--moving and its file or DICOM folder.",
    )


def test_inputs_that_the_report_does_not_name_can_be_given(folder: Path) -> None:
    change_report(folder, inputs={})
    assert len(read_result(folder).missing) == 2
    given = read_result(folder, folder.parent / "mri.nii.gz", folder.parent / "pet.nii.gz")
    assert given.missing == ()
    assert given.fixed is not None
    assert given.moving is not None


def test_the_moving_volume_is_shown_as_it_was_registered_wrapped_or_not_finite(folder: Path) -> None:
    path = folder.parent / "ct.nii.gz"
    units = coarse_head("ct")
    values = np.rint(sitk.GetArrayFromImage(units)).astype(np.int32)
    wrapped = sitk.GetImageFromArray(values.astype(np.uint16))  # air becomes 64536
    wrapped.CopyInformation(units)
    sitk.WriteImage(wrapped, str(path))
    change_report(folder, modality="ct", inputs={"fixed": "../mri.nii.gz", "moving": "../ct.nii.gz"})
    assert np.array_equal(sitk.GetArrayViewFromImage(read_result(folder).moving), values)

    units[0, 0, 0], units[1, 0, 0] = np.nan, 3e38
    sitk.WriteImage(units, str(path))
    shown = read_result(folder).moving
    assert shown[0, 0, 0] == shown[1, 0, 0] == sitk.GetArrayViewFromImage(shown).min() == pytest.approx(-1000, abs=1)

    sitk.WriteImage(sitk.Image(8, 8, 8, sitk.sitkInt16), str(path))
    found = read_result(folder)
    assert found.moving is None and "All voxels of the moving volume have the same value" in found.missing[0]


def test_voxels_of_the_mri_that_are_not_finite_are_shown_as_its_lowest_value(folder: Path) -> None:
    path = folder.parent / "mri.nii.gz"
    mri = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32)
    mri[0, 0, 0] = np.nan
    sitk.WriteImage(mri, str(path))
    shown = sitk.GetArrayFromImage(read_result(folder).fixed)
    assert shown[0, 0, 0] == shown.min()


@pytest.fixture
def dynamic(folder: Path) -> list[sitk.Image]:
    """The three frames of the PET that the result was made from, as its report has it: 2 and 3 were registered."""
    first = sitk.Cast(sitk.ReadImage(str(folder.parent / "pet.nii.gz")), sitk.sitkFloat32)
    frames = [first, first * 3, first * 7]
    sitk.WriteImage(sitk.JoinSeries(frames), str(folder.parent / "pet.nii.gz"))
    (folder.parent / "pet.json").write_text('{"FrameDuration": [5, 10, 30]}')
    change_report(folder, registered_frames=[2, 3])
    return frames


def assert_mean_of_chosen(found: Found, frames: list[sitk.Image]) -> None:
    assert found.missing == ()
    assert found.moving is not None
    mean = np.average([sitk.GetArrayFromImage(frame) for frame in frames[1:]], axis=0, weights=(10, 30))
    assert sitk.GetArrayFromImage(found.moving) == pytest.approx(mean, rel=1e-5)


def test_of_a_dynamic_volume_the_mean_of_the_registered_frames_is_shown(
    folder: Path, dynamic: list[sitk.Image]
) -> None:
    assert_mean_of_chosen(read_result(folder), dynamic)


def test_an_older_report_has_the_registered_frames_in_the_file_of_their_times(
    folder: Path, dynamic: list[sitk.Image]
) -> None:
    (folder / "registered_frames.json").write_text('{"Frames": 3, "RegisteredFrames": [2, 3]}')
    change_report(folder, registered_frames=None, files={"frame_times": "registered_frames.json"})
    assert_mean_of_chosen(read_result(folder), dynamic)
    (folder / "registered_frames.json").unlink()
    assert read_result(folder).moving is not None  # of all frames


def test_of_a_dynamic_dicom_series_the_mean_of_the_registered_frames_is_shown(folder: Path) -> None:
    head = sitk.Cast(sitk.ReadImage(str(folder.parent / "pet.nii.gz")), sitk.sitkInt16)
    frames = [head + 100 * number for number in range(3)]
    series = uid.generate_uid()
    for number, (frame, seconds) in enumerate(zip(frames, (5, 10, 30), strict=True)):
        tags = {"AcquisitionDate": "20240301", "AcquisitionTime": f"12{number:02}00", "Units": "GML"}
        write_series(folder.parent / "dicom", frame, "PT", series, ActualFrameDuration=1000 * seconds, **tags)
    change_report(folder, registered_frames=[2, 3], inputs={"fixed": "../mri.nii.gz"})
    assert_mean_of_chosen(read_result(folder, moving=folder.parent / "dicom"), frames)


def test_a_moving_volume_that_cannot_be_read_does_not_end_the_viewer(folder: Path, dynamic: list[sitk.Image]) -> None:
    change_report(folder, registered_frames=[9])
    found = read_result(folder)
    assert found.moving is None
    assert found.missing == (
        "The place of the PET before registration cannot be shown. The frames '9' do not exist; give numbers from 1 to "
        "3 and ranges, such as 1-3.",
    )
    cut("pet.nii.gz")(folder.parent)
    (said,) = read_result(folder).missing
    assert said.startswith("The place of the PET before registration cannot be shown. The file ")
    assert "pet.nii.gz cannot be read" in said


def test_one_of_several_cases_in_a_folder_is_picked_by_its_report(folder: Path) -> None:
    report = shutil.copy(folder / "report.json", folder / "sub-2_desc-petfusion_report.json")
    with pytest.raises(FusionError, match=r"several results .*sub-2_desc-petfusion_report\.json"):
        read_result(folder)
    assert read_result(Path(report)).modality == "pet"


def test_a_volume_in_place_of_the_report_is_named_as_such(folder: Path) -> None:
    with pytest.raises(FusionError, match=r"fused\.nrrd is not a report; give the folder that holds it\."):
        read_result(folder / "fused.nrrd")


def test_a_case_of_batch_is_read_by_its_own_names(folder: Path) -> None:
    names = Case(Pair(Path(), Path(), "pet"), ("sub-1",), "T1w", ("", "")).names
    for old, new in (("fused.nrrd", names.fused), ("registered.nrrd", names.registered)):
        sitk.WriteImage(sitk.ReadImage(str(folder / old)), str(folder / new))
        (folder / old).unlink()
    (folder / "deformation.h5").rename(folder / names.deformation)
    change_report(folder, files={what: asdict(names)[what] for what in ("fused", "registered", "deformation")})
    (folder / "report.json").rename(folder / names.report)
    (folder / f"{names.fused.split('.')[0]}.json").write_text("{}")  # batch describes each volume, too
    assert read_result(folder).missing == ()


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:2000])


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def swap_inputs(folder: Path) -> None:
    change_report(folder, inputs={"fixed": "../ct.nrrd", "moving": "../pet.nii.gz"})
    sitk.WriteImage(sitk.Image(8, 8, 8, sitk.sitkInt16), str(folder.parent / "ct.nrrd"))


def lose_expected_error(folder: Path) -> None:
    change_report(
        folder,
        files={"expected_error": "error.nrrd"},
        expected_error={"head": 0.8},
        verdict={"doubtful": False, "reasons": []},
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "There is no folder"),
        (lose("report.json"), "There is no result in"),
        (lose("fused.nrrd"), "lacks fused.nrrd"),
        (lambda folder: (folder / "report.json").write_text("[]"), "is not the report of a result"),
        (lose_expected_error, "lacks error.nrrd"),
        (lambda folder: (folder / "report.json").write_text("{"), "report.json cannot be read"),
        (cut("registered.nrrd"), "registered.nrrd cannot be read"),
        (cut("deformation.h5"), "deformation.h5 is damaged"),
        (lambda folder: sitk.WriteTransform(sitk.BSplineTransform(3), str(folder / "deformation.h5")), "is damaged"),
        (swap_inputs, "is not on the grid of the result"),
    ],
)
def test_a_folder_that_cannot_be_shown_is_rejected_in_one_sentence(
    folder: Path, damage: Callable[[Path], None], said: str, capfd: pytest.CaptureFixture
) -> None:
    damage(folder)
    assert main(["view", str(folder), "--no-browser"]) == 2
    assert said in capfd.readouterr().err.splitlines()[-1]  # HDF5 has words of its own for a damaged file
