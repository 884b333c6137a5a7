"""NIfTI files lie where their header means them to, whoever wrote it, and what a user should know is said."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.inputs import Pair, read_input, read_moving, read_pair
from BSAFusionLib.files.nifti_header import FIELDS_1, FIELDS_2
from BSAFusionLib.files.volumes import load_frames, load_volume, read_volume, write_volume
from Testing.ground.nifti_files import example, index_to_lps, sform_rows, write_nifti, write_nifti2


def assert_same(found: sitk.Image, expected: sitk.Image, within_mm: float = 1e-4) -> None:
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))
    for corner in ((0, 0, 0), (27, 24, 17), (27, 0, 17), (0, 24, 0)):
        distance = np.subtract(
            found.TransformIndexToPhysicalPoint(corner), expected.TransformIndexToPhysicalPoint(corner)
        )
        assert np.linalg.norm(distance) < within_mm
    directions = np.reshape(found.GetDirection(), (3, 3))
    assert directions.T @ directions == pytest.approx(np.eye(3), abs=1e-5)


def test_a_file_without_orientation_is_read_and_said(tmp_path: Path) -> None:
    volume = load_volume(write_nifti(tmp_path / "scan.nii", example(), qform_code=0, sform_code=0))
    assert not volume.placed
    assert volume.remarks == (
        "The file scan.nii does not say how the head lies in it, so left and right may be exchanged; check them in the "
        "result.",
    )
    assert volume.image.GetSpacing() == pytest.approx((3, 3, 5))


@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (1, 0), (2, 4)])
def test_a_file_with_a_place_lies_there_and_nothing_is_said(tmp_path: Path, codes: tuple[int, int]) -> None:
    volume = load_volume(write_nifti(tmp_path / "scan.nii", example(), qform_code=codes[0], sform_code=codes[1]))
    assert_same(volume.image, example())
    assert (volume.placed, volume.remarks) == (True, ())


@pytest.mark.parametrize("codes", [(1, 1), (4, 4), (1, 4), (2, 1)])
def test_of_two_places_the_sform_is_taken_and_both_are_said(tmp_path: Path, codes: tuple[int, int]) -> None:
    image = example()
    path = write_nifti(
        tmp_path / "scan.nii", image, qform_code=codes[0], sform_code=codes[1], offset=(0, 0, 0), quaternion=(0, 0, 1)
    )
    volume = load_volume(path)
    assert_same(volume.image, image)
    assert "mm apart (qform and sform); the sform was taken" in volume.remarks[0]
    read_by_slicer = sitk.ReadImage(str(path))  # through the same library
    elsewhere = np.abs(index_to_lps(read_by_slicer) - index_to_lps(image)).max() > 0.1
    assert ("Slicer reads scan.nii at another place" in volume.remarks[-1]) == elsewhere


def test_places_less_than_a_millimeter_apart_are_one(tmp_path: Path) -> None:
    moved = index_to_lps(example())
    moved[:3, 3] += 0.5
    path = write_nifti(tmp_path / "scan.nii", example(), rows=sform_rows(moved))
    assert load_volume(path).remarks == ()


@pytest.mark.parametrize("qform_code", [0, 1])
def test_an_sform_of_two_decimals_is_taken_as_the_nearest_right_angled_one(tmp_path: Path, qform_code: int) -> None:
    rows = sform_rows(index_to_lps(example())).round(2)
    volume = load_volume(write_nifti(tmp_path / "scan.nii", example(), qform_code=qform_code, rows=rows))
    assert_same(volume.image, example(), within_mm=0.5)
    assert volume.remarks == ()


def sheared(tilt: float) -> np.ndarray:
    """Return the example's matrix with its slices shifted along the rows' normal by a share of their distance."""
    matrix = index_to_lps(example())
    matrix[:3, 2] += tilt * 5 / 3 * matrix[:3, 1]
    return matrix


def smooth_example() -> sitk.Image:
    """Return the example with values that are linear in its own index, so that linear resampling keeps them."""
    image = example()
    k, j, i = np.mgrid[:18, :25, :28]
    linear = sitk.GetImageFromArray((10 * i + 20 * j + 30 * k).astype(np.int16))
    linear.CopyInformation(image)
    return linear


@pytest.mark.parametrize("qform_code", [0, 1])
@pytest.mark.parametrize("tilt", [0.3, -0.2, 0.02])
def test_a_sheared_grid_is_straightened_and_no_voxel_moves(tmp_path: Path, qform_code: int, tilt: float) -> None:
    matrix = sheared(tilt)
    path = write_nifti(tmp_path / "ct.nii", smooth_example(), qform_code=qform_code, rows=sform_rows(matrix))
    volume = load_volume(path)
    assert "ct.nii are shifted against each other" in volume.remarks[0]
    found = volume.image
    directions = np.reshape(found.GetDirection(), (3, 3))
    assert directions.T @ directions == pytest.approx(np.eye(3), abs=1e-9)
    assert found.GetSpacing() == pytest.approx((3, 3, 5), rel=0.05)
    for index in ((5, 7, 3), (20, 12, 10), (14, 18, 15)):
        value = found.EvaluateAtPhysicalPoint((matrix @ (*index, 1))[:3].tolist(), sitk.sitkLinear)
        assert value == pytest.approx(np.dot((10, 20, 30), index), abs=2)
    for index in ((0, 0, 0), (27, 24, 17), (0, 24, 0), (27, 0, 17)):
        inside = found.TransformPhysicalPointToContinuousIndex((matrix @ (*index, 1))[:3].tolist())
        assert all(-0.5 <= part <= count - 0.5 for part, count in zip(inside, found.GetSize(), strict=True))


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "SCAN.NII", "scan.Nii.GZ"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_whatever_packing_its_name_says(tmp_path: Path, name: str, packed: bool) -> None:
    path = write_nifti(tmp_path / name, example())
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    volume = load_volume(path)
    assert_same(volume.image, example())
    assert volume.remarks == ()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_nifti_2_is_read(tmp_path: Path, name: str) -> None:
    path = write_nifti2(tmp_path / name, example())
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert_same(load_volume(path).image, example())


def test_a_nifti_2_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_nifti2(tmp_path / "scan.nii", example())
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(FusionError, match="cut short"):
        load_volume(path)


def test_numbers_of_a_nifti_2_that_no_nifti_1_can_hold_are_refused(tmp_path: Path) -> None:
    path = write_nifti2(tmp_path / "scan.nii", example())
    code, offset = FIELDS_2["scale"]
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + code, content, offset, 1e300, 0.0)
    path.write_bytes(content)
    with pytest.raises(FusionError, match=r"scan\.nii cannot be read"):
        load_volume(path)


def test_scaled_values_survive_the_private_copy(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "scan.nii.gz", example(), scale=(0.5, -10.0))
    expected = 0.5 * sitk.GetArrayFromImage(example()) - 10
    assert np.allclose(sitk.GetArrayFromImage(load_volume(path).image), expected)


def test_a_slope_of_0_means_no_scale(tmp_path: Path) -> None:
    assert_same(read_volume(write_nifti(tmp_path / "scan.nii", example(), scale=(0.0, 7.0))), example())


def test_voxels_that_begin_nowhere_follow_the_header(tmp_path: Path) -> None:
    assert_same(read_volume(write_nifti(tmp_path / "scan.nii", example(), start=0)), example())


@pytest.mark.parametrize("bits", [0, 8, 32])
def test_the_data_type_counts_and_not_the_bits(tmp_path: Path, bits: int) -> None:
    path = write_nifti(tmp_path / "scan.nii", example(), bits=bits)
    assert_same(read_volume(path), example())
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(FusionError, match="fewer voxels than its header says"):
        read_volume(path)


@pytest.mark.parametrize("given", ["scan.hdr", "scan.img"])
def test_analyze_is_read_and_its_missing_orientation_said(tmp_path: Path, given: str) -> None:
    content = write_nifti(tmp_path / "scan.nii", example(), magic=b"\0\0\0", qform_code=0, sform_code=0).read_bytes()
    (tmp_path / "scan.nii").unlink()
    (tmp_path / "scan.hdr").write_bytes(content[:108] + bytes(4) + content[112:348])  # voxels begin at 0
    (tmp_path / "scan.img").write_bytes(content[352:])
    volume = load_volume(tmp_path / given)
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), sitk.GetArrayFromImage(example()))
    assert not volume.placed
    assert "does not say how the head lies in it" in volume.remarks[0]
    (tmp_path / "scan.img").write_bytes(content[352:-60])
    with pytest.raises(FusionError, match="cut short"):
        load_volume(tmp_path / given)


@pytest.mark.parametrize(("unit", "name"), [(1000.0, "meters"), (0.001, "micrometers")])
@pytest.mark.parametrize("said", [True, False])
def test_lengths_in_other_units_are_converted_and_said(tmp_path: Path, unit: float, name: str, said: bool) -> None:
    small = example()
    small.SetSpacing((np.array(small.GetSpacing()) / unit).tolist())
    small.SetOrigin((np.array(small.GetOrigin()) / unit).tolist())
    path = write_nifti(tmp_path / "scan.nii", small, units=({1000.0: 1, 0.001: 3}[unit] if said else 2))
    volume = load_volume(path)
    assert_same(volume.image, example(), within_mm=1e-3)
    assert name in volume.remarks[0]
    assert ("at another place" in volume.remarks[-1]) == (not said)  # Slicer reads the unit of a NIfTI, too


def test_a_header_that_says_meters_and_means_millimeters_is_taken_so(tmp_path: Path) -> None:
    volume = load_volume(write_nifti(tmp_path / "scan.nii", example(), units=1))
    assert_same(volume.image, example())
    assert "taken for mm" in volume.remarks[0]


def test_a_label_map_by_its_header_is_refused_by_name_as_one_of_a_pair(tmp_path: Path) -> None:
    scan, labels = (
        write_nifti(tmp_path / "t1.nii", example()),
        write_nifti(tmp_path / "b.nii", example(), intent_code=1002),
    )
    for pair in (Pair(scan, labels, "pet"), Pair(labels, scan, "pet")):
        with pytest.raises(FusionError, match=r"b\.nii is a label map"):
            read_pair(pair)
    assert read_input(labels, ("pet",), None, "pet").label_map  # as what is carried along


def test_a_straightened_volume_of_integers_is_rounded_and_not_cut_off(tmp_path: Path) -> None:
    counts = sitk.GetImageFromArray(np.random.default_rng(0).poisson(2, (18, 25, 28)).astype(np.int16))
    counts.CopyInformation(example())
    exact = sitk.Cast(counts, sitk.sitkFloat32)
    for name, image in (("spect.nii", counts), ("exact.nii", exact)):
        write_nifti(tmp_path / name, image, rows=sform_rows(sheared(0.3)))
    found, expected = (
        sitk.GetArrayFromImage(load_volume(tmp_path / name).image) for name in ("spect.nii", "exact.nii")
    )
    assert (found == np.rint(expected)).all()


@pytest.mark.parametrize("intent", [0, 1002])
def test_labels_stay_labels_where_a_grid_is_straightened(tmp_path: Path, intent: int) -> None:
    blocks = np.kron(np.random.default_rng(0).choice([0, 3, 11, 250], (3, 5, 4)), np.ones((6, 5, 7), int))
    labels = sitk.GetImageFromArray(blocks.astype(np.int16))
    labels.CopyInformation(example())
    path = write_nifti(tmp_path / "aseg.nii", labels, intent_code=intent, rows=sform_rows(sheared(0.3)))
    assert set(np.unique(sitk.GetArrayFromImage(load_volume(path).image))) == {0, 3, 11, 250}


def test_one_frame_of_four_dimensions_is_a_volume(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([example()]), str(tmp_path / "frame.nii.gz"))
    assert_same(load_volume(tmp_path / "frame.nii.gz").image, example())


def test_one_value_per_voxel_is_a_scalar_volume(tmp_path: Path) -> None:
    sequence = tmp_path / "scan.seq.nrrd"  # as Slicer saves a sequence, here of a single frame
    sitk.WriteImage(sitk.Compose(example()), str(sequence))
    vector = write_nifti(tmp_path / "scan.nii", example(), dim=(5, *example().GetSize(), 1, 1, 1, 1), intent_code=1007)
    for path in (sequence, vector):
        assert load_volume(path).image.GetPixelID() == sitk.sitkInt16
        assert_same(load_volume(path).image, example())


def test_an_sform_of_no_numbers_gives_way_to_the_qform(tmp_path: Path) -> None:
    assert_same(read_volume(write_nifti(tmp_path / "scan.nii", example(), rows=[np.nan] * 12)), example())


def test_an_sform_that_is_singular_gives_way_to_the_qform(tmp_path: Path) -> None:
    assert_same(load_volume(write_nifti(tmp_path / "scan.nii", example(), rows=np.zeros(12))).image, example())


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(5, 6, 7), (2, 5, 6, 7)])
def test_complex_numbers_are_refused(tmp_path: Path, kind: type, shape: tuple[int, ...]) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones(shape, kind), isVector=False), str(tmp_path / "scan.nii.gz"))
    with pytest.raises(FusionError, match=r"scan\.nii\.gz holds complex numbers; save their magnitude"):
        read_moving(tmp_path / "scan.nii.gz", "pet", None, None)


HOLES = ((3, 4, 5, np.nan), (0, 0, 0, np.inf), (27, 24, 17, -np.inf))


def with_holes(kind: int = sitk.sitkFloat32) -> sitk.Image:
    image = sitk.Cast(example(), kind)
    for *index, value in HOLES:
        image[index] = value
    return image


def assert_holes(found: sitk.Image, scale: float = 1.0) -> None:
    """Check that the holes are NaN, and that all else is the example."""
    values, expected = (sitk.GetArrayFromImage(image).astype(float) for image in (found, with_holes()))
    finite = np.isfinite(expected)
    assert np.array_equal(np.isnan(values), ~finite)
    assert np.array_equal(values[finite], scale * expected[finite])


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.NII"])
@pytest.mark.parametrize("kind", [sitk.sitkFloat32, sitk.sitkFloat64])
def test_voxels_that_are_not_finite_stay_so(tmp_path: Path, name: str, kind: int) -> None:
    path = write_nifti(tmp_path / name, with_holes(kind), scale=(2.0, 0.0))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    image = read_volume(path)
    assert image.GetPixelID() == kind
    assert_holes(image, scale=2.0)
    assert image.GetOrigin() == pytest.approx(example().GetOrigin())


def test_voxels_that_are_not_finite_stay_so_in_files_of_all_kinds(tmp_path: Path) -> None:
    holes = sitk.GetArrayFromImage(with_holes())
    path = write_nifti2(tmp_path / "two.nii", example())
    content = bytearray(path.read_bytes()[:544])
    for name, value in (("datatype", 16), ("bits", 32)):
        code, offset = FIELDS_2[name]
        struct.pack_into("<" + code, content, offset, value)
    path.write_bytes(content + holes.astype("<f4").tobytes())
    assert_holes(read_volume(path))

    content = bytearray(write_nifti(tmp_path / "pair.nii", with_holes(), magic=b"ni1", start=0).read_bytes())
    swapped = bytearray(348)
    for code, offset in FIELDS_1.values():
        struct.pack_into(">" + code, swapped, offset, *struct.unpack_from("<" + code, content, offset))
    struct.pack_into(">i", swapped, 0, 348)
    (tmp_path / "pair.hdr").write_bytes(swapped)
    (tmp_path / "pair.img").write_bytes(holes.astype(">f4").tobytes())
    assert_holes(read_volume(tmp_path / "pair.hdr"))

    unstated = write_nifti(tmp_path / "start.nii", with_holes(), start=0).read_bytes()  # the header ends at 348
    (tmp_path / "start.nii").write_bytes(unstated[:348] + unstated[352:])
    assert_holes(read_volume(tmp_path / "start.nii"))

    sitk.WriteImage(sitk.JoinSeries([sitk.Cast(example(), sitk.sitkFloat32), with_holes()]), str(tmp_path / "pet.nii"))
    whole, second = (frame.image for frame in load_frames(tmp_path / "pet.nii"))
    assert np.array_equal(sitk.GetArrayFromImage(whole), sitk.GetArrayFromImage(example()))
    assert_holes(second)


def test_voxels_beyond_the_first_block_and_of_vectors_are_the_right_ones(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((70, 80, 90, 3)).astype(np.float32)
    values[::7, 3, ::5, 1] = np.nan
    for number, vectors in enumerate((values[..., 1], values)):
        path = tmp_path / f"{number}.nii"
        sitk.WriteImage(sitk.GetImageFromArray(vectors, isVector=number == 1), str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(path)), vectors)


def test_a_written_expected_error_keeps_the_outside_of_the_head(tmp_path: Path) -> None:
    """As `batch` writes it."""
    path = tmp_path / "sub-01_space-T1w_desc-expectedError_pet.nii.gz"
    write_volume(with_holes(), path)
    assert_holes(read_volume(path))


def test_a_label_map_by_its_header_has_0_where_it_is_not_finite(tmp_path: Path) -> None:
    image = read_volume(write_nifti(tmp_path / "labels.nii", with_holes(), intent_code=1002))
    assert [image[index] for *index, _ in HOLES] == [0, 0, 0]
