"""Series whose images say too little, or do not all belong to one volume, and files without a preamble."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import encapsulate

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.recognize import is_dicom_file, is_dicom_path
from BSAFusionLib.files.dicom.scan import read_scan
from BSAFusionLib.modalities import MODALITIES
from Testing.dicom.conftest import real_world, write_enhanced_pet, write_nuclear, write_series

every = ("mri", *MODALITIES)
unplaced = "The CT's DICOM series does not say how the head lies in it, so left and right may be exchanged"


@pytest.fixture
def axial() -> sitk.Image:
    """Sixteen slices along z of noise, which no two slices share."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 2000, (16, 9, 7)).astype(np.int16))
    image.SetSpacing((1.1, 0.9, 3.0))
    image.SetOrigin((-4.0, 5.0, 6.0))
    return image


def change(folder: Path, how: Callable[[Dataset, int], None]) -> None:
    """Change the data sets of a folder, each with its number from 0."""
    for path in folder.iterdir():
        dataset = dcmread(path)
        how(dataset, int(dataset.InstanceNumber) - 1)
        dataset.save_as(path)


def without(*tags: str, **others: float) -> Callable[[Dataset, int], None]:
    """Remove tags, and set others to a number times that of the slice."""

    def how(dataset: Dataset, number: int) -> None:
        for tag in tags:
            delattr(dataset, tag)
        for tag, step in others.items():
            setattr(dataset, tag, step * number)

    return how


def blank(dataset: Dataset, number: int) -> None:
    dataset.ImageOrientationPatient = [0] * 6


@pytest.mark.parametrize(
    ("how", "step_mm"),
    [
        (without("ImageOrientationPatient"), 3.0),
        (blank, 3.0),
        (without("ImagePositionPatient", SliceLocation=-2.5), 2.5),
        (without("ImageOrientationPatient", "ImagePositionPatient", SliceLocation=1.25), 1.25),
        (without("ImageOrientationPatient", "ImagePositionPatient"), 3.0),
    ],
)
def test_images_without_a_place_are_stacked_in_their_order_and_it_is_said(
    axial: sitk.Image, tmp_path: Path, how: Callable[[Dataset, int], None], step_mm: float
) -> None:
    write_series(tmp_path, axial, "CT", SliceThickness=3.0)
    change(tmp_path, how)
    scan = read_scan(tmp_path, every)
    assert scan.image.GetSpacing() == pytest.approx((1.1, 0.9, step_mm))
    assert scan.image.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
    voxels = sitk.GetArrayFromImage(axial)
    downward = any(dcmread(path).get("SliceLocation", 0) < 0 for path in tmp_path.iterdir())
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), voxels[::-1] if downward else voxels)
    assert not scan.placed
    assert scan.remarks[0].startswith(unplaced)


def test_without_a_distance_there_is_no_volume(axial: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, axial, "CT")
    change(tmp_path, without("ImagePositionPatient"))
    for path in tmp_path.iterdir():
        assert "SliceThickness" not in dcmread(path)
    with pytest.raises(FusionError, match="does not say where its images lie"):
        read_scan(tmp_path, every)


def test_images_in_one_file_that_have_no_places_are_no_volume(axial: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, axial, "CT")
    for path in sorted(tmp_path.iterdir())[1:]:
        path.unlink()
    (path,) = tmp_path.iterdir()
    dataset = dcmread(path)
    dataset.NumberOfFrames, dataset.PixelData = 4, 4 * dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(FusionError, match="does not say where its images lie"):
        read_scan(path, every)


def add_localizer(folder: Path, how: Callable[[Dataset], None]) -> None:
    """Add two more images of the same series."""
    paths = sorted(folder.iterdir())[:2]
    for number, path in enumerate(paths):
        dataset = dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
        dataset.InstanceNumber = 100 + number
        how(dataset)
        dataset.save_as(folder / f"localizer{number}.dcm")


def turn(dataset: Dataset) -> None:
    dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def enlarge(dataset: Dataset) -> None:
    dataset.PixelSpacing = [5, 5]


def misplace(dataset: Dataset) -> None:
    del dataset.ImageOrientationPatient, dataset.ImagePositionPatient


@pytest.mark.parametrize("how", [turn, enlarge, misplace])
def test_a_localizer_in_the_series_is_left_out_and_said(
    axial: sitk.Image, tmp_path: Path, how: Callable[[Dataset], None]
) -> None:
    write_series(tmp_path, axial, "CT")
    add_localizer(tmp_path, how)
    scan = read_scan(tmp_path, every)
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(axial))
    assert scan.image.GetOrigin() == pytest.approx(axial.GetOrigin())
    assert scan.placed
    said = "2 of 18 images of the CT's DICOM series were left out: no slices of its volume (a localizer?)."
    assert scan.remarks == (said,)


def test_positions_that_jitter_are_even(axial: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, axial, "CT")
    jitter = np.random.default_rng(3).uniform(-0.2, 0.2, 16)

    def how(dataset: Dataset, number: int) -> None:
        dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], 6.0 + 3.0 * number + jitter[number]]

    change(tmp_path, how)
    scan = read_scan(tmp_path, every)
    assert scan.image.GetSpacing()[2] == pytest.approx(3.0, abs=0.03)
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(axial))
    assert scan.remarks == ()


@pytest.mark.parametrize("slopes", [[3.0] + 15 * [0.5], [3.0] + 15 * [2.0], [3.0, *np.arange(1.0, 16.0)]])
def test_a_localizer_first_in_an_enhanced_file_leaves_the_values_of_the_others(
    axial: sitk.Image, tmp_path: Path, slopes: list[float]
) -> None:
    """GDCM reads all images by the slope of the first, which is left out."""
    path = tmp_path / "pet.dcm"
    write_enhanced_pet(path, axial, slopes)
    dataset, orientation = dcmread(path), Dataset()
    turn(orientation)
    dataset.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [orientation]
    dataset.save_as(path)
    voxels = sitk.GetArrayFromImage(read_scan(path, every).image)
    assert voxels == pytest.approx(sitk.GetArrayFromImage(axial)[1:] * np.reshape(slopes[1:], (-1, 1, 1)))


@pytest.mark.parametrize(
    ("empty", "slope", "intercept"),
    [("RescaleIntercept", 2, 0), ("RescaleSlope", 1, -7), ("RescaleSlope RescaleIntercept", 1, 0)],
)
def test_an_empty_rescale_tag_counts_as_missing(
    axial: sitk.Image, tmp_path: Path, empty: str, slope: int, intercept: int
) -> None:
    write_series(tmp_path, axial, "CT", slopes=2.0, intercept=-7.0)
    change(tmp_path, lambda dataset, _: dataset.update(dict.fromkeys(empty.split())))
    values = sitk.GetArrayFromImage(read_scan(tmp_path, every).image)
    assert np.array_equal(values, sitk.GetArrayFromImage(axial) * slope + intercept)


def scale_of(dataset: Dataset, number: int) -> Dataset:
    """Return the item of an image of an enhanced file that holds its slope and intercept."""
    scale: Dataset = dataset.PerFrameFunctionalGroupsSequence[number].PixelValueTransformationSequence[0]
    return scale


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("missing", [True, False], ids=["missing", "empty"])
def test_an_intercept_that_an_enhanced_file_lacks_is_0(
    axial: sitk.Image, tmp_path: Path, missing: bool, number: int
) -> None:
    """GDCM takes slope and intercept of the first image for all, and neither where one is missing."""
    path = tmp_path / "pet.dcm"
    slopes = np.arange(2.0, 18.0)
    write_enhanced_pet(path, axial, slopes.tolist(), lambda slope: real_world(slope, "Bq/ml"))
    dataset = dcmread(path)
    if missing:
        del scale_of(dataset, number).RescaleIntercept
    else:
        scale_of(dataset, number).RescaleIntercept = None
    dataset.save_as(path)
    scan = read_scan(path, every)
    assert scan.unit == "BQML"
    voxels = sitk.GetArrayFromImage(axial) * np.reshape(slopes, (-1, 1, 1))
    assert sitk.GetArrayFromImage(scan.image) == pytest.approx(voxels)


@pytest.mark.parametrize("slope", [None, 0])
def test_an_enhanced_file_whose_first_slope_is_none_is_refused(
    axial: sitk.Image, tmp_path: Path, slope: int | None
) -> None:
    """GDCM takes the intercept for an empty slope, without a word."""
    path = tmp_path / "pet.dcm"
    write_enhanced_pet(path, axial, 16 * [2.0])
    dataset = dcmread(path)
    scale_of(dataset, 0).RescaleSlope = slope
    dataset.save_as(path)
    with pytest.raises(FusionError, match=r"Rescale Slope \(0028,1053\) of the DICOM series is empty or 0; export"):
        read_scan(path, every)


@pytest.mark.parametrize("which", [range(0, 16, 2), range(13, 16)], ids=["every second", "the top"])
def test_a_pixel_spacing_with_fewer_digits_is_the_same(axial: sitk.Image, tmp_path: Path, which: range) -> None:
    write_series(tmp_path, axial, "CT")

    def how(dataset: Dataset, number: int) -> None:
        dataset.PixelSpacing = [0.488, 0.488] if number in which else [0.48828125, 0.48828125]

    change(tmp_path, how)
    scan = read_scan(tmp_path, every)
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(axial))
    assert scan.remarks == ()


@pytest.mark.parametrize(
    ("number", "stored", "bits", "signed"), [(0, "u1", 8, 0), (9, "u1", 8, 0), (9, "<u2", 16, 0), (9, "<i4", 32, 1)]
)
def test_images_that_are_stored_in_other_types_keep_their_values(
    axial: sitk.Image, tmp_path: Path, number: int, stored: str, bits: int, signed: int
) -> None:
    values = sitk.GetArrayFromImage(axial).astype(np.int32)
    values[number] = {8: values[number] % 256, 16: values[number] + 60000, 32: values[number] + 100000}[bits]
    write_series(tmp_path, axial, "MR")

    def how(dataset: Dataset, slice_number: int) -> None:
        if slice_number == number:
            content = values[number].astype(stored).tobytes()
            dataset.PixelData = content + b"\0" * (len(content) % 2)
            dataset.BitsAllocated = dataset.BitsStored = bits
            dataset.HighBit, dataset.PixelRepresentation = bits - 1, signed

    change(tmp_path, how)
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path, every).image), values)


@pytest.mark.parametrize("cut", [128 + 4, None], ids=["without preamble", "data set alone"])
def test_files_without_a_preamble_are_read(axial: sitk.Image, tmp_path: Path, cut: int | None) -> None:
    write_series(tmp_path, axial, "CT")
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[cut or content.index(b"\x08\x00\x16\x00UI") :])
    for given in (tmp_path, next(tmp_path.iterdir())):
        assert is_dicom_path(given)
        scan = read_scan(given, every)
        assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(axial))


def test_other_files_are_not_taken_for_dicom(axial: sitk.Image, tmp_path: Path) -> None:
    for name in ("a.nii", "a.nrrd", "a.mha", "a.tif", "a.hdr"):
        sitk.WriteImage(axial, str(tmp_path / name))
    (tmp_path / "short").write_bytes(b"\x08\x00\x16\x00UI")
    (tmp_path / "empty").touch()
    for path in tmp_path.iterdir():
        assert not is_dicom_file(path), path.name


@pytest.mark.parametrize("shift_mm", [48.0, 1.5], ids=["above", "between"])
def test_images_in_two_coordinate_systems_are_refused(axial: sitk.Image, tmp_path: Path, shift_mm: float) -> None:
    series_uid = write_series(tmp_path, axial, "CT")
    axial.SetOrigin((-4.0, 5.0, 6.0 + shift_mm))
    write_series(tmp_path, axial, "CT", series_uid, FrameOfReferenceUID="1.2.3")
    with pytest.raises(FusionError, match=r"are in 2 coordinate systems .*; give the images of one"):
        read_scan(tmp_path, every)


def test_a_coordinate_system_for_each_image_means_nothing(axial: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, axial, "CT")
    change(tmp_path, lambda dataset, number: setattr(dataset, "FrameOfReferenceUID", f"1.2.{number}"))
    scan = read_scan(tmp_path, every)
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(axial))


def interleave(folder: Path, volume: sitk.Image, modality: str, **tags: float) -> None:
    """Write a volume twice as one series, the second time half a slice higher and as the second acquisition."""
    series_uid = write_series(folder, volume, modality, AcquisitionNumber=1, **tags)
    volume.SetOrigin((-4.0, 5.0, 7.5))
    write_series(folder, volume, modality, series_uid, AcquisitionNumber=2, **tags)


@pytest.mark.parametrize("further", [16, 0], ids=["after the first", "again"])
def test_two_volumes_by_the_numbers_of_their_images_are_named(axial: sitk.Image, tmp_path: Path, further: int) -> None:
    series_uid = write_series(tmp_path, axial, "CT")
    change(tmp_path, lambda dataset, _: setattr(dataset, "InstanceNumber", dataset.InstanceNumber + further))
    axial.SetOrigin((-4.0, 5.0, 7.5))
    write_series(tmp_path, axial, "CT", series_uid)
    (remark,) = read_scan(tmp_path, every).remarks
    assert "are numbered as those of two volumes whose slices lie between each other" in remark


def test_two_interleaved_acquisitions_are_refused(axial: sitk.Image, tmp_path: Path) -> None:
    interleave(tmp_path, axial, "CT")
    with pytest.raises(FusionError, match=r"holds two volumes, .* \(Acquisition Number 1 and 2\); give"):
        read_scan(tmp_path, every)


def test_odd_and_even_slices_of_an_mri_may_be_two_acquisitions(axial: sitk.Image, tmp_path: Path) -> None:
    interleave(tmp_path, axial, "MR", SpacingBetweenSlices=1.5)
    scan = read_scan(tmp_path, every)
    assert scan.image.GetSpacing()[2] == pytest.approx(1.5)
    assert scan.remarks == ()


def test_slices_that_are_closer_than_their_tags_say_are_named(axial: sitk.Image, tmp_path: Path) -> None:
    interleave(tmp_path, axial, "MR", SpacingBetweenSlices=3.0)
    (remark,) = read_scan(tmp_path, every).remarks
    assert "say that its slices are 3 mm apart, but by their positions they are 1.5 mm apart" in remark


@pytest.mark.parametrize(
    ("syntax", "message"),
    [
        (uid.HTJ2KLossless, r"transfer syntax High-Throughput JPEG 2000 .*, which cannot be read here"),
        (uid.JPEG2000Lossless, "cut short or damaged"),  # that can be read, but holds no such image
    ],
)
def test_a_transfer_syntax_that_cannot_be_read_is_named(
    axial: sitk.Image, tmp_path: Path, syntax: str, message: str
) -> None:
    write_series(tmp_path, axial, "CT")

    def how(dataset: Dataset, number: int) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([dataset.PixelData])

    change(tmp_path, how)
    with pytest.raises(FusionError, match=message):
        read_scan(tmp_path, every)


def test_a_palette_that_is_not_there_is_named(axial: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, axial, "CT")
    change(tmp_path, lambda dataset, _: setattr(dataset, "PhotometricInterpretation", "PALETTE COLOR"))
    with pytest.raises(FusionError, match=r"\(PALETTE COLOR\) that cannot be read"):
        read_scan(tmp_path, every)


def test_a_distance_between_slices_of_0_is_named(axial: sitk.Image, tmp_path: Path) -> None:
    write_nuclear(tmp_path / "spect.dcm", axial, 0.0, SliceThickness=3.0)
    with pytest.raises(FusionError, match=r"a distance between slices \(0018,0088\) of 0; correct"):
        read_scan(tmp_path, every)
