"""Volumes of other formats: without orientation, sheared, or in other units than mm."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.files.volumes import load_volume
from Testing.ground.nifti_files import example

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
