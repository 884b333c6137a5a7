"""Volumes of other formats: without orientation, sheared, or in other units than mm."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import load_volume
from Testing.ground.nifti_files import example

fields = ("Slope", "Offset")
silent = "does not say how the head lies in it"


def test_a_nrrd_without_a_space_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "scan.nrrd"
    sitk.WriteImage(example(), str(path))
    assert load_volume(path).remarks == ()
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    kept = [line for line in head.splitlines() if not line.startswith(b"space")]
    path.write_bytes(b"\n".join([*kept, b"spacings: 3 3 5"]) + b"\n\n" + voxels)
    volume = load_volume(path)
    assert not volume.placed
    assert silent in volume.remarks[0]
    assert volume.image.GetSpacing() == pytest.approx((3, 3, 5))


def test_a_metaimage_without_a_matrix_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "scan.mha"
    sitk.WriteImage(example(), str(path))
    assert load_volume(path).remarks == ()
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(True) if b"TransformMatrix" not in line))
    volume = load_volume(path)
    assert not volume.placed
    assert silent in volume.remarks[0]


@pytest.mark.parametrize(
    ("name", "dropped"), [("scan.mha", b"ElementSpacing"), ("scan.nrrd", b"space"), ("scan.tif", None)]
)
def test_a_voxel_size_that_no_header_states_is_said(tmp_path: Path, name: str, dropped: bytes | None) -> None:
    path = tmp_path / name
    sitk.WriteImage(example(), str(path))
    if dropped is not None:
        path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(True) if not line.startswith(dropped)))
    volume = load_volume(path)
    assert volume.image.GetSpacing()[2] == 1
    assert f"{name} does not state the size of its voxels along all axes, and 1 mm was taken" in volume.remarks[-1]


@pytest.mark.parametrize(("scale", "said"), [(("2", "-1024"), True), (("1.0", "0"), False)])
def test_a_scale_in_a_metaimage_is_said(tmp_path: Path, scale: tuple[str, str], said: bool) -> None:
    path = tmp_path / "scan.mha"
    sitk.WriteImage(example(), str(path))
    slope, offset = (f"ElementToIntensityFunction{name} = {scale[number]}\n" for number, name in enumerate(fields))
    path.write_bytes(path.read_bytes().replace(b"ElementType", f"{slope}{offset}ElementType".encode()))
    remarks = load_volume(path).remarks
    assert [f"slope {scale[0]}, offset {scale[1]}" in remark for remark in remarks] == [True] * said


def test_a_tiff_is_read_and_its_missing_orientation_said(tmp_path: Path) -> None:
    sitk.WriteImage(example(), str(tmp_path / "scan.tif"))
    volume = load_volume(tmp_path / "scan.tif")
    assert not volume.placed
    assert silent in volume.remarks[0]


@pytest.mark.parametrize(("factor", "name"), [(1e-3, "meters"), (1e3, "micrometers")])
def test_a_nrrd_in_other_units_is_converted_and_said(tmp_path: Path, factor: float, name: str) -> None:
    image = example()
    image.SetSpacing((np.array(image.GetSpacing()) * factor).tolist())
    image.SetOrigin((np.array(image.GetOrigin()) * factor).tolist())
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    volume = load_volume(tmp_path / "scan.nrrd")
    assert name in volume.remarks[0]
    assert "at another place" in volume.remarks[1]
    for index in ((0, 0, 0), (27, 24, 17)):
        expected = example().TransformIndexToPhysicalPoint(index)
        assert volume.image.TransformIndexToPhysicalPoint(index) == pytest.approx(expected, abs=1e-3)


def write_with_unit(path: Path, field: str, spacing: float = 1.0) -> sitk.Image:
    """Write a volume of 24 lengths, of `spacing` a voxel, with one more line in its header."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (12, 20, 24)).astype(np.int16))
    image.SetSpacing(3 * [spacing])
    image.SetOrigin(3 * [spacing])
    sitk.WriteImage(image, str(path))
    before = b"encoding:" if path.suffix == ".nrrd" else b"DimSize"
    path.write_bytes(path.read_bytes().replace(before, field.encode() + b"\n" + before, 1))
    return image


@pytest.mark.parametrize(
    ("name", "field", "spacing", "unit_mm", "unit"),
    [
        ("scan.nrrd", 'space units: "cm" "cm" "cm"', 1.0, 10.0, "centimeters"),
        ("scan.nrrd", 'space units: "um" "um" "um"', 1000.0, 1e-3, "micrometers"),
        ("scan.nrrd", 'space units: "m" "m" "m"', 0.01, 1e3, "meters"),
        ("scan.mha", "DistanceUnits = cm", 1.0, 10.0, "centimeters"),
        ("scan.mha", "DistanceUnits = um", 1000.0, 1e-3, "micrometers"),
    ],
)
def test_the_unit_in_a_header_is_converted_and_said(
    tmp_path: Path, name: str, field: str, spacing: float, unit_mm: float, unit: str
) -> None:
    image = write_with_unit(tmp_path / name, field, spacing)
    volume = load_volume(tmp_path / name)
    assert volume.image.GetSpacing() == pytest.approx(3 * [spacing * unit_mm])
    assert volume.image.GetOrigin() == pytest.approx(3 * [spacing * unit_mm])
    assert volume.image.GetSize() == image.GetSize()
    said, elsewhere = volume.remarks
    assert said == f"The lengths in {name} are in {unit}; they were converted to mm."
    assert elsewhere.startswith(f"Slicer reads {name} at another place")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("scan.nrrd", 'space units: "mm" "mm" "mm"'),
        ("scan.nrrd", 'space units: "" "" ""'),
        ("scan.mha", "DistanceUnits = mm"),
        ("scan.mha", "DistanceUnits = ?"),
    ],
)
def test_lengths_in_mm_or_no_unit_stay(tmp_path: Path, name: str, field: str) -> None:
    write_with_unit(tmp_path / name, field)
    volume = load_volume(tmp_path / name)
    assert (volume.image.GetSpacing(), volume.remarks) == ((1, 1, 1), ())


@pytest.mark.parametrize(("units", "unit_mm"), [('"cm" "cm" "cm"', 10.0), ('"" "" ""', 1.0), ('"s" "mm" "mm"', 1.0)])
def test_the_units_of_axes_count_where_a_nrrd_has_no_space(tmp_path: Path, units: str, unit_mm: float) -> None:
    write_with_unit(tmp_path / "scan.nrrd", f"units: {units}\nspacings: 1 1 1")
    head, _, voxels = (tmp_path / "scan.nrrd").read_bytes().partition(b"\n\n")
    kept = [line for line in head.splitlines() if not line.startswith(b"space")]
    (tmp_path / "scan.nrrd").write_bytes(b"\n".join(kept) + b"\n\n" + voxels)
    volume = load_volume(tmp_path / "scan.nrrd")
    assert volume.image.GetSpacing() == pytest.approx(3 * [unit_mm])
    assert any("in centimeters" in remark for remark in volume.remarks) == (unit_mm == 10)


def test_a_unit_that_cannot_be_is_not_taken(tmp_path: Path) -> None:
    write_with_unit(tmp_path / "scan.mha", "DistanceUnits = um")
    volume = load_volume(tmp_path / "scan.mha")
    assert volume.image.GetSpacing() == (1, 1, 1)
    assert volume.remarks == (
        "The longest side of scan.mha is 0.024 mm by its header; its lengths were taken for mm (24 mm). Correct the "
        "header if they are not.",
    )


def test_units_that_are_several_or_unknown_are_said(tmp_path: Path) -> None:
    write_with_unit(tmp_path / "scan.nrrd", 'space units: "mm" "mm" "cm"')
    with pytest.raises(FusionError, match=r"has lengths in several units \(mm, cm\); save"):
        load_volume(tmp_path / "scan.nrrd")
    write_with_unit(tmp_path / "scan.nrrd", 'space units: "pixel" "pixel" "pixel"')
    assert load_volume(tmp_path / "scan.nrrd").remarks == (
        "The header of scan.nrrd has lengths in 'pixel', an unknown unit; they were taken for mm.",
    )
