"""Volumes in folders whose names ITK cannot take are read and written like any other."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from vtkmodules.vtkFiltersSources import vtkSphereSource
from vtkmodules.vtkIOGeometry import vtkSTLWriter
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from BSAFusionLib.commands import _slices
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import read_scan
from BSAFusionLib.files.inputs import read_input, source_of
from BSAFusionLib.files.models import MODEL_SUFFIXES, move_model
from BSAFusionLib.files.paths import path_from
from BSAFusionLib.files.volumes import read_volume, write_transform, write_volume
from Testing.dicom.conftest import write_series
from Testing.ground.nifti_files import example, write_nifti


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder whose name is no UTF-8."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    return folder


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names are UTF-16 there")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.mhd", "a.nhdr", "a.hdr"])
def test_every_kind_of_file_is_read(odd: Path, tmp_path: Path, name: str) -> None:
    sitk.WriteImage(example(), str(tmp_path / name))
    for file in tmp_path.glob("a.*"):
        file.rename(odd / file.name)
    found = read_volume(odd / name)
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(example()))


def test_a_file_whose_own_name_is_odd_is_read_and_its_title_can_be_printed(odd: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(odd) + b"/p\xe9t.nii"))
    plain = write_nifti(odd.parent / "pet.nii", example())
    path.write_bytes(plain.read_bytes())
    found = read_input(path, ("pet",), None, "pet")
    found.name.encode("utf-8")
    assert np.array_equal(sitk.GetArrayFromImage(found.image), sitk.GetArrayFromImage(example()))


def test_results_are_written_whole(odd: Path) -> None:
    for name in ("fused.nrrd", "fused.nii.gz"):
        write_volume(example(), odd / name)
        assert np.array_equal(sitk.GetArrayFromImage(read_volume(odd / name)), sitk.GetArrayFromImage(example()))
    write_transform(sitk.Euler3DTransform(), odd / "deformation.h5")
    assert (odd / "deformation.h5").read_bytes()[1:4] == b"HDF"
    assert sorted(path.name for path in odd.iterdir()) == ["deformation.h5", "fused.nii.gz", "fused.nrrd"]


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.hdr"])
def test_both_files_of_a_result_are_written(odd: Path, name: str) -> None:
    write_volume(example(), odd / name)
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(odd / name)), sitk.GetArrayFromImage(example()))
    unnamed = Path(os.fsdecode(os.fsencode(odd) + b"/p\xe9t" + name[1:].encode()))
    with pytest.raises(FusionError, match=r"is not UTF-8, which a format of two files cannot hold; choose \.nrrd\."):
        write_volume(example(), unnamed)


def test_slices_are_read_and_written(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(32 * 48).astype(np.uint8).reshape(32, 48)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.png"))
    path = (tmp_path / "a.png").rename(odd / "a.png")
    monkeypatch.setattr(_slices, "fuse_slices", lambda mri, moving, *_: _slices.FusedSlices(mri, moving, 0.0))
    _slices.run_slices(path, path, "ct", {}, odd)
    for name in ("a.png", "fused_slice.png", "registered_slice.png"):
        (odd / name).rename(tmp_path / name)
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))), values)


@pytest.mark.parametrize("suffix", MODEL_SUFFIXES)
def test_models_are_read_and_written(odd: Path, tmp_path: Path, suffix: str) -> None:
    sphere, writer = vtkSphereSource(), vtkXMLPolyDataWriter() if suffix == ".vtp" else vtkSTLWriter()
    writer.SetInputConnection(sphere.GetOutputPort())
    writer.SetFileName(str(tmp_path / f"a{suffix}"))
    writer.Write()
    path = (tmp_path / f"a{suffix}").rename(odd / f"a{suffix}")
    moved = []
    for result in (odd / f"b{suffix}", odd / f"c{suffix}"):
        move_model(path, result, lambda points: moved.append(points) or points + 1)
        path = result
    assert moved[1] == pytest.approx(moved[0] + 1)


def test_a_dicom_folder_is_read(odd: Path) -> None:
    write_series(odd, example(), "CT", intercept=-1024)
    found = read_scan(odd, ("ct",)).image
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(example()) - 1024)


def test_a_folder_of_nifti_files_is_named_as_one(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.nii"):
        sitk.WriteImage(example(), str(tmp_path / name))
    with pytest.raises(FusionError, match=r"holds no DICOM images, but NIfTI.*give one of them: a\.nii, b\.nii\.gz\."):
        read_input(tmp_path, ("mri",), None, "mri")
    write_series(tmp_path / "series", example(), "MR")
    assert read_input(tmp_path, ("mri",), None, "mri").modality == "mri"


def test_all_images_of_a_series_count_as_inputs_where_one_is_given(tmp_path: Path) -> None:
    write_series(tmp_path / "series", example(), "MR")
    assert source_of(next((tmp_path / "series").iterdir())) == tmp_path / "series"
    assert source_of(write_nifti(tmp_path / "a.nii", example())) == tmp_path / "a.nii"
    assert source_of(tmp_path / "missing.nii") == tmp_path / "missing.nii"


def test_a_link_to_a_volume_is_named_as_the_link_and_not_as_what_it_leads_to(tmp_path: Path) -> None:
    """As in a DataLad dataset, whose volumes are links to files without names; a linked folder is followed."""
    for folder in ("objects", "dataset", "out"):
        (tmp_path / folder).mkdir()
    (tmp_path / "objects" / "MD5E-1").touch()
    (tmp_path / "dataset" / "sub-01_pet.nii.gz").symlink_to("../objects/MD5E-1")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "dataset")
    for folder in ("dataset", "elsewhere"):
        named = path_from(tmp_path / "out", tmp_path / folder / "sub-01_pet.nii.gz")
        assert named == "../dataset/sub-01_pet.nii.gz"
