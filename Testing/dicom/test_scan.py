"""A DICOM series comes back as the volume it was made from, or is refused in a sentence that says what is wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import Scan, read_scan
from Testing.dicom.conftest import frame_of_reference, patient_id, write_enhanced, write_nuclear, write_series

every = ("mri", "ct", "pet", "spect")


def assert_same(scan: Scan, volume: sitk.Image, values: np.ndarray) -> None:
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), values)
    assert scan.image.GetOrigin() == pytest.approx(volume.GetOrigin(), abs=1e-9)
    assert scan.image.GetSpacing() == pytest.approx(volume.GetSpacing(), abs=1e-9)
    assert scan.image.GetDirection() == pytest.approx(volume.GetDirection(), abs=1e-9)


@pytest.mark.parametrize(
    ("modality", "slope", "intercept", "name", "unit"),
    [("MR", 1, 0, "mri", ""), ("CT", 1, -1024, "ct", "HU"), ("MR", 2.5, 0, "mri", ""), ("CT", 0.5, -8.5, "ct", "HU")],
)
def test_a_series_is_the_volume_it_was_made_from(
    volume: sitk.Image, tmp_path: Path, modality: str, slope: float, intercept: float, name: str, unit: str
) -> None:
    uid = write_series(tmp_path, volume, modality, slopes=slope, intercept=intercept)
    scan = read_scan(tmp_path, every)
    assert_same(scan, volume, sitk.GetArrayFromImage(volume) * slope + intercept)
    assert (scan.modality, scan.unit, scan.series_uid, scan.remark) == (name, unit, uid, None)
    assert scan.frame_of_reference_uid == frame_of_reference
    assert scan.image.GetMetaDataKeys() == ()


def test_slices_that_are_scaled_one_by_one_keep_their_values(volume: sitk.Image, tmp_path: Path) -> None:
    slopes = [0.25, 1.0, 2.0, 40.0, 0.5, 3.0]
    write_series(tmp_path, volume, "PT", slopes=slopes, Units="GML")
    scan = read_scan(tmp_path, every)
    assert_same(scan, volume, sitk.GetArrayFromImage(volume) * np.array(slopes)[:, None, None])
    assert scan.unit == "SUVbw"


@pytest.mark.parametrize("towards", [1, -1])
def test_all_slices_of_a_gamma_camera_in_one_file(volume: sitk.Image, tmp_path: Path, towards: int) -> None:
    write_nuclear(tmp_path / "spect.dcm", volume[:, :, ::towards], towards * 3.3)
    for path in (tmp_path, tmp_path / "spect.dcm"):
        scan = read_scan(path, every)
        assert scan.modality == "spect"
        assert_same(scan, volume, sitk.GetArrayFromImage(volume))


@pytest.mark.parametrize("slope", [1.0, 2.5])
def test_an_enhanced_file_with_its_slices_in_no_order(volume: sitk.Image, tmp_path: Path, slope: float) -> None:
    write_enhanced(tmp_path / "mri.dcm", volume, [3, 1, 0, 2, 5, 4], slope)
    assert_same(read_scan(tmp_path, every), volume, sitk.GetArrayFromImage(volume) * slope)


def test_of_several_series_the_one_of_the_wanted_modality_or_uid(volume: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path / "ct", volume, "CT", SeriesNumber=3)
    first, second = (write_series(tmp_path / "mr", volume + more, "MR", SeriesNumber=4 + more) for more in (0, 1))
    (tmp_path / "readme.txt").write_text("no image")
    assert read_scan(tmp_path, ("ct", "pet", "spect")).modality == "ct"
    with pytest.raises(FusionError) as said:
        read_scan(tmp_path, ("mri",))
    assert f"2 MRI series; name one by its UID: {first} (number 4, MR, 6 images of 7 x 9); {second} (" in str(
        said.value
    )
    assert patient_id not in str(said.value)
    assert_same(read_scan(tmp_path, ("mri",), second), volume, sitk.GetArrayFromImage(volume) + 1)
    with pytest.raises(FusionError, match=r"no MRI series 1\.2\.3"):
        read_scan(tmp_path, ("mri",), "1.2.3")
    with pytest.raises(FusionError, match="no PET volume"):
        read_scan(tmp_path, ("pet",))


def test_localizers_and_screenshots_beside_a_volume_need_no_naming(volume: sitk.Image, tmp_path: Path) -> None:
    uid = write_series(tmp_path / "axial", volume + 1, "CT")
    write_series(tmp_path / "scout", volume[:, :, :2], "CT", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(tmp_path / "dose", volume[:, :, :1], "CT")
    write_series(tmp_path / "screen", volume, "CT")
    for path in (tmp_path / "screen").iterdir():
        dataset = dcmread(path)
        del dataset.ImagePositionPatient
        dataset.save_as(path)
    assert read_scan(tmp_path, ("ct",)).series_uid == uid
    shutil.rmtree(tmp_path / "axial")
    with pytest.raises(FusionError, match="3 CT series"):
        read_scan(tmp_path, ("ct",))


def slices_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: int(dcmread(path).InstanceNumber))


def test_a_missing_slice_is_named(volume: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, volume, "MR")
    slices_of(tmp_path)[3].unlink()
    with pytest.raises(FusionError, match=r"3\.30 mm apart, but slices 3 and 4 6\.60 mm: some are missing"):
        read_scan(tmp_path, every)


def move(path: Path, by: tuple[float, float, float]) -> None:
    dataset = dcmread(path)
    dataset.ImagePositionPatient = [place + add for place, add in zip(dataset.ImagePositionPatient, by, strict=True)]
    dataset.save_as(path)


def test_two_images_in_one_place_are_refused(volume: sitk.Image, tmp_path: Path) -> None:
    uid = write_series(tmp_path, volume, "MR")
    write_series(tmp_path, volume, "MR", uid)
    with pytest.raises(FusionError, match="several images in one place"):
        read_scan(tmp_path, every)


def test_a_tilted_gantry_is_refused(volume: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, volume, "CT")
    sideways = np.array(volume.GetDirection()).reshape(3, 3)[:, 1]
    for number, path in enumerate(slices_of(tmp_path)):
        move(path, tuple(0.5 * number * sideways))
    with pytest.raises(FusionError, match="tilted gantry"):
        read_scan(tmp_path, every)


def test_a_localizer_is_refused(volume: sitk.Image, tmp_path: Path) -> None:
    uid = write_series(tmp_path, volume, "MR")
    volume.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    write_series(tmp_path, volume, "MR", uid)
    with pytest.raises(FusionError, match="localizer"):
        read_scan(tmp_path, every)


def test_a_damaged_image_is_refused(volume: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, volume, "MR")
    path = slices_of(tmp_path)[2]
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FusionError, match="cut short or damaged"):
        read_scan(tmp_path, every)


@pytest.mark.parametrize("length", [250, 400, 600, 800, -50])
def test_a_last_image_that_is_cut_short_is_missed(volume: sitk.Image, tmp_path: Path, length: int) -> None:
    write_series(tmp_path, volume, "MR")
    path = slices_of(tmp_path)[-1]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FusionError, match="cut short or damaged"):
        read_scan(tmp_path, every)


@pytest.mark.parametrize("number", [b"nan", b"0.9.0", b"9\\9", b"1e999"])
def test_a_number_that_is_none_is_refused(volume: sitk.Image, tmp_path: Path, number: bytes) -> None:
    write_series(tmp_path, volume, "MR")
    spacing = b"0.900000000000"
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(spacing, number.ljust(len(spacing))))
    with pytest.raises(FusionError, match="does not say where its images lie"):
        read_scan(tmp_path, every)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FusionError, match="no MRI volume"):
        read_scan(tmp_path, ("mri",))
