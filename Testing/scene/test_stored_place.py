"""A volume that Slicer placed elsewhere than its header says gets a remark; one in the right place gets none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from slicer.util import arrayFromVolume

from BSAFusionLib.mrml.stored_place import remarks_on_file
from Testing.ground.nifti_files import example, index_to_lps, sform_rows, write_nifti
from Testing.ground.test_nifti import sheared


@pytest.fixture
def read(scene):
    """Let Slicer's own reader make a volume node of a file."""

    def read(path: Path):
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan")
        storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(str(path))
        assert storage.ReadData(volume)
        volume.SetAndObserveStorageNodeID(storage.GetID())
        return volume

    return read


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_a_volume_where_its_file_places_it_needs_no_remark(read, tmp_path, name):
    sitk.WriteImage(example(), str(tmp_path / name))
    assert remarks_on_file(read(tmp_path / name)) == ()


@pytest.mark.parametrize("axis", range(3))
def test_a_left_handed_volume_whose_slices_slicer_reverses_needs_no_remark(read, tmp_path, axis):
    sitk.WriteImage(sitk.Flip(example(), [n == axis for n in range(3)]), str(tmp_path / "scan.nii"))
    assert remarks_on_file(read(tmp_path / "scan.nii")) == ()


@pytest.mark.parametrize("axis", range(3))
def test_a_sform_that_mirrors_what_slicer_read_is_told(read, tmp_path, axis):
    mirrored = index_to_lps(sitk.Flip(example(), [n == axis for n in range(3)]))
    path = write_nifti(tmp_path / "scan.nii", example(), qform_code=4, sform_code=4, rows=sform_rows(mirrored))
    (remark,) = remarks_on_file(read(path))
    assert "from where the header of scan.nii places it" in remark


@pytest.mark.parametrize("axis", range(3))
def test_a_sform_that_mirrors_a_left_handed_qform_is_told(read, tmp_path, axis):
    mirrored = sitk.Flip(example(), [n == axis for n in range(3)])  # written with a left-handed qform
    path = write_nifti(
        tmp_path / "scan.nii", mirrored, qform_code=4, sform_code=4, rows=sform_rows(index_to_lps(example()))
    )
    volume = read(path)
    (remark,) = remarks_on_file(volume)
    if axis == 2:  # the node has the matrix of the sform, but Slicer reversed the slices
        np.testing.assert_array_equal(arrayFromVolume(volume), sitk.GetArrayFromImage(mirrored)[::-1])
    assert ("mirrored along its slices" if axis == 2 else "from where the header of scan.nii places it") in remark


def test_a_file_that_says_nothing_is_told(read, tmp_path):
    path = write_nifti(tmp_path / "scan.nii", example(), qform_code=0, sform_code=0)
    (remark,) = remarks_on_file(read(path))
    assert "scan.nii does not say how the head lies in it" in remark


def test_a_qform_that_slicer_took_in_place_of_the_sform_is_told(read, tmp_path):
    moved = index_to_lps(example())
    moved[:3, 3] += (0, 0, 30)
    path = write_nifti(tmp_path / "scan.nii", example(), qform_code=4, sform_code=4, rows=sform_rows(moved))
    (remark,) = remarks_on_file(read(path))
    assert "'Scan' lies up to 30.0 mm from where the header of scan.nii places it" in remark


def test_a_shear_that_slicer_dropped_is_told(read, tmp_path):
    path = write_nifti(tmp_path / "scan.nii", example(), rows=sform_rows(sheared(0.3)))
    (remark,) = remarks_on_file(read(path))
    assert "The slices of scan.nii are shifted against each other by its header" in remark


def test_a_volume_without_a_file_or_with_another_one_since_needs_no_remark(read, scene, tmp_path):
    assert remarks_on_file(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")) == ()
    volume = read(write_nifti(tmp_path / "scan.nii", example()))
    (tmp_path / "scan.nii").write_bytes(b"another file")
    assert remarks_on_file(volume) == ()
    (tmp_path / "scan.nii").unlink()
    assert remarks_on_file(volume) == ()


def test_the_remark_is_in_the_report_of_a_run(read, scene, tmp_path, add_head, process):
    moving = add_head("PET", "pet")
    size = moving.GetImageData().GetDimensions()
    path = write_nifti(tmp_path / "pet.nii", sitk.Image(size, sitk.sitkInt16), qform_code=0, sform_code=0)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    moving.SetAndObserveStorageNodeID(storage.GetID())
    warnings = process(add_head("MRI"), moving).report.warnings
    assert any("pet.nii does not say how the head lies in it" in warning for warning in warnings)


def test_slicer_needs_no_simpleitk_for_it():
    names = "orientation", "nifti_header", "units", "paths"
    program = (
        f"import sys, {', '.join(f'BSAFusionLib.files.{name}' for name in names)}; sys.exit('SimpleITK' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).resolve().parents[2]).returncode == 0
