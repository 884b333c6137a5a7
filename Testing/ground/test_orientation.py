"""Volumes of other formats: without orientation, sheared, or in other units than mm."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

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
