"""A DICOM series comes back as the volume it was made from, or is refused in a sentence that says what is wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.fileset import FileSet

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
    assert (scan.modality, scan.unit, scan.series_uid, scan.remarks) == (name, unit, uid, ())
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
    write_series(tmp_path, volume + 1, "MR", uid)
    with pytest.raises(FusionError, match="several images in one place"):
        read_scan(tmp_path, every)


@pytest.fixture
def linear() -> sitk.Image:
    """Values that are linear in space, which linear resampling keeps, on an oblique grid."""
    k, j, i = np.mgrid[:20, :16, :14]
    image = sitk.GetImageFromArray((30 * i + 20 * j + 10 * k).astype(np.int16))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.1, 0.3)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((2.0, 2.0, 3.0))
    image.SetOrigin((-71.25, 12.5, 33.75))
    return image


@pytest.mark.parametrize("sideways_mm", [0.5, -0.9, 0.05])
def test_a_tilted_gantry_is_straightened_and_no_voxel_moves(
    linear: sitk.Image, tmp_path: Path, sideways_mm: float
) -> None:
    write_series(tmp_path, linear, "CT", intercept=-1024)
    down = np.array(linear.GetDirection()).reshape(3, 3)[:, 1]
    for number, path in enumerate(slices_of(tmp_path)):
        move(path, tuple(sideways_mm * number * down))
    scan = read_scan(tmp_path, every)
    assert "the CT's DICOM series are shifted against each other (a tilted gantry?)" in scan.remarks[0]
    axes = np.reshape(scan.image.GetDirection(), (3, 3))
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-9)
    for index in ((5, 7, 3), (8, 6, 10), (10, 9, 15)):
        there = linear.TransformIndexToPhysicalPoint(index) + sideways_mm * index[2] * down
        value = scan.image.EvaluateAtPhysicalPoint(there.tolist(), sitk.sitkLinear)
        assert value == pytest.approx(np.dot((30, 20, 10), index) - 1024, abs=1.5)


@pytest.mark.parametrize("tilt_mm", [0.0, 0.5])
@pytest.mark.parametrize(
    ("shifted", "off"), [(range(7, 13), "7.0"), (range(10, 20), "4.6"), ([7], "9.4"), ([19], "8.1")]
)
def test_slices_that_are_shifted_within_their_plane_are_refused(
    linear: sitk.Image, tmp_path: Path, shifted: range | list[int], off: str, tilt_mm: float
) -> None:
    write_series(tmp_path, linear, "CT")
    across, down, _ = np.array(linear.GetDirection()).reshape(3, 3).T
    for number, path in enumerate(slices_of(tmp_path)):
        move(path, tuple(tilt_mm * number * down + 10 * (number in shifted) * across))
    with pytest.raises(FusionError, match=rf"straight line: slice \d+ is {off} mm off \(two stacks\?\); give a series"):
        read_scan(tmp_path, every)


@pytest.mark.parametrize(("step", "decimals"), [(1.0, 0), (3.0, 0), (0.7, 1)])
def test_rounded_positions_of_a_tilted_gantry_are_on_a_line(
    linear: sitk.Image, tmp_path: Path, step: float, decimals: int
) -> None:
    linear.SetSpacing((2.0, 2.0, step))
    linear.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    write_series(tmp_path, linear, "CT")
    for number, path in enumerate(slices_of(tmp_path)):
        dataset = dcmread(path)
        place = dataset.ImagePositionPatient + np.array([0.1, 0.31, 0.0]) * number * step
        dataset.ImagePositionPatient = [f"{float(value):.{decimals}f}" for value in place]
        dataset.save_as(path)
    assert "tilted gantry" in read_scan(tmp_path, every).remarks[0]


def test_two_distances_by_protocol_are_resampled_to_the_smaller(linear: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, linear, "CT")
    paths = slices_of(tmp_path)
    for path in paths[9::2]:
        path.unlink()
    scan = read_scan(tmp_path, every)
    assert "changes, from 3 to 6 mm; the volume was resampled linearly to 3 mm" in scan.remarks[0]
    assert_same(scan, linear[:, :, :19], sitk.GetArrayFromImage(linear)[:19])


def test_two_distances_of_a_tilted_gantry(linear: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, linear, "CT")
    down = np.array(linear.GetDirection()).reshape(3, 3)[:, 1]
    for number, path in enumerate(slices_of(tmp_path)):
        move(path, tuple(0.5 * number * down))
        if number > 8 and number % 2:
            path.unlink()
    scan = read_scan(tmp_path, every)
    assert [key in "".join(scan.remarks) for key in ("from 3 to 6 mm", "tilted gantry")] == [True, True]
    for index in ((5, 7, 3), (8, 6, 13)):
        there = linear.TransformIndexToPhysicalPoint(index) + 0.5 * index[2] * down
        value = scan.image.EvaluateAtPhysicalPoint(there.tolist(), sitk.sitkLinear)
        assert value == pytest.approx(np.dot((30, 20, 10), index), abs=1.5)


@pytest.mark.parametrize("missing", [[5], [4, 5], [4, 6], [18]])
def test_missing_slices_are_no_protocol(linear: sitk.Image, tmp_path: Path, missing: list[int]) -> None:
    write_series(tmp_path, linear, "MR")
    paths = slices_of(tmp_path)
    for number in missing:
        paths[number].unlink()
    with pytest.raises(FusionError, match="some are missing"):
        read_scan(tmp_path, every)


@pytest.mark.parametrize(
    ("step", "decimals", "turned"), [(1.25, 1, True), (0.6, 1, True), (2.5, 0, False), (1.25, 0, False), (4.8, 0, True)]
)
def test_rounded_positions_are_even_and_a_missing_slice_is_seen(
    linear: sitk.Image, tmp_path: Path, step: float, decimals: int, turned: bool
) -> None:
    linear.SetSpacing((2.0, 2.0, step))
    if not turned:
        linear.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    write_series(tmp_path, linear, "MR")
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        dataset.ImagePositionPatient = [f"{float(place):.{decimals}f}" for place in dataset.ImagePositionPatient]
        dataset.save_as(path)
    scan = read_scan(tmp_path, every)
    assert scan.image.GetSpacing() == pytest.approx((2, 2, step), abs=0.06)
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(linear))
    assert scan.remarks == ()
    slices_of(tmp_path)[7].unlink()
    with pytest.raises(FusionError, match=r"slices 7 and 8 .* some are missing"):
        read_scan(tmp_path, every)


def test_the_same_images_twice_are_taken_once(volume: sitk.Image, tmp_path: Path) -> None:
    uid = write_series(tmp_path / "first", volume, "CT")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    scan = read_scan(tmp_path, every)
    assert_same(scan, volume, sitk.GetArrayFromImage(volume))
    assert (scan.series_uid, scan.remarks) == (
        uid,
        ("6 images of the CT's DICOM series were there twice; each was taken once.",),
    )


def test_the_same_images_under_other_uids_are_taken_once(volume: sitk.Image, tmp_path: Path) -> None:
    uid = write_series(tmp_path, volume, "CT")
    write_series(tmp_path, volume, "CT", uid)
    scan = read_scan(tmp_path, every)
    assert_same(scan, volume, sitk.GetArrayFromImage(volume))
    assert scan.remarks == ("6 images of the CT's DICOM series were there twice; each was taken once.",)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (0.5, -8.5), (2.0, 0.0)])
@pytest.mark.parametrize(("signed", "bits"), [(0, 12), (0, 16), (1, 16)])
def test_the_values_of_monochrome1_are_those_that_are_stored(
    volume: sitk.Image, tmp_path: Path, signed: int, slope: float, intercept: float, bits: int
) -> None:
    tags = {"PhotometricInterpretation": "MONOCHROME1", "PixelRepresentation": signed}
    tags |= {"BitsStored": bits, "HighBit": bits - 1}
    write_series(tmp_path, volume, "CT", slopes=slope, intercept=intercept, **tags)
    assert_same(read_scan(tmp_path, every), volume, sitk.GetArrayFromImage(volume) * slope + intercept)


def test_one_image_of_a_series_stands_for_all_beside_it(volume: sitk.Image, tmp_path: Path) -> None:
    uid = write_series(tmp_path, volume, "MR")
    write_series(tmp_path, volume + 1, "MR")
    scan = read_scan(next(path for path in tmp_path.iterdir() if dcmread(path).SeriesInstanceUID == uid), every)
    assert_same(scan, volume, sitk.GetArrayFromImage(volume))
    assert scan.remarks == ("One image of the MRI's DICOM series was given; all 6 images beside it were taken.",)


def test_a_dicomdir_stands_for_the_images_below_it(volume: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path / "series", volume, "MR")
    files = FileSet()
    for path in (tmp_path / "series").iterdir():
        dataset = dcmread(path)
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.SeriesNumber = "20260101", "120000", "1", 1
        files.add(dataset)
    files.write(tmp_path / "disc")
    for given in ("DICOMDIR", "."):
        scan = read_scan(tmp_path / "disc" / given, every)
        assert_same(scan, volume, sitk.GetArrayFromImage(volume))
        assert scan.remarks == ()


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


def test_a_link_to_an_image_that_is_not_there_is_missed(volume: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, volume, "CT")
    (last,) = (path for path in tmp_path.iterdir() if dcmread(path).InstanceNumber == volume.GetDepth())
    last.unlink()
    last.symlink_to(tmp_path / "annex" / "object")
    with pytest.raises(FusionError, match=r"link to a file that is not there .*; fetch all its files"):
        read_scan(tmp_path, ("ct",))


def test_an_image_with_fewer_pixels_than_its_tags_say_is_missed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2000, (4, 64, 64)).astype(np.int16)
    write_series(tmp_path, sitk.GetImageFromArray(values), "CT")
    path = sorted(tmp_path.iterdir())[0]
    dataset = dcmread(path)
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
    dataset.save_as(path)
    with pytest.raises(FusionError, match="cut short or damaged"):
        read_scan(tmp_path, ("ct",))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FusionError, match="no MRI volume"):
        read_scan(tmp_path, ("mri",))
