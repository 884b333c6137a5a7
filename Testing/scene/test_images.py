"""Volumes go from MRML to SimpleITK and back without moving, turning or changing a voxel."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from slicer.util import arrayFromVolume, arrayFromVTKMatrix
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkThinPlateSplineTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.convert import content_from_image, image_from_volume, transform_from_field, transform_from_node
from BSAFusionLib.mrml.hierarchy import modality_from_dicom
from BSAFusionLib.mrml.nodes import put_volume
from Testing.scene.conftest import lattice, rigid

turn = rigid((10, -40, 70), (4, 5, 6))
left_handed = lattice(rigid((20, -15, 30)), spacing=(1, 2, 3), flips=(1, -1, 1))


def test_voxels_lie_where_all_parent_transforms_put_them(add_head, add_transform):
    parent = add_transform(turn, parent=add_transform(turn))
    volume = add_head("PET", "pet", left_handed, (12, 14, 10), parent=parent)
    image = image_from_volume(volume)
    ras = turn @ turn @ left_handed @ (3, 5, 7, 1)
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((3, 5, 7)), ras[:3] * (-1, -1, 1), atol=1e-9)
    assert image[3, 5, 7] == arrayFromVolume(volume)[7, 5, 3]


@pytest.mark.parametrize("contrast", ["pet", "rgb"])
def test_a_volume_survives_the_way_there_and_back(contrast, scene, add_head):
    volume = add_head("Volume", contrast, left_handed, (12, 14, 10))
    back = put_volume(scene, content_from_image(image_from_volume(volume)), "Back")
    assert back.GetClassName() == volume.GetClassName()
    assert arrayFromVolume(back).dtype == arrayFromVolume(volume).dtype
    np.testing.assert_array_equal(arrayFromVolume(back), arrayFromVolume(volume))
    np.testing.assert_allclose(_ijk_to_ras(back), _ijk_to_ras(volume), atol=1e-12)


def test_64_bit_integers_which_slicer_cannot_draw_become_float(scene):
    image = sitk.GetImageFromArray(np.full((2, 3, 4), -7, np.int64))
    volume = put_volume(scene, content_from_image(image), "Volume")
    np.testing.assert_array_equal(arrayFromVolume(volume), np.full((2, 3, 4), -7.0))


def test_signed_bytes_become_a_type_that_slicer_saves(scene, tmp_path):
    image = sitk.GetImageFromArray(np.full((2, 3, 4), -7, np.int8))
    volume = put_volume(scene, content_from_image(image), "Volume")
    np.testing.assert_array_equal(arrayFromVolume(volume), np.full((2, 3, 4), -7))
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "volume.nii"))
    assert storage.WriteData(volume)


def test_a_bent_parent_transform_is_rejected(scene, add_head):
    source, target = vtkPoints(), vtkPoints()
    for point in np.vstack((np.zeros(3), np.eye(3) * 50, np.ones(3) * 50)):
        source.InsertNextPoint(point)
        target.InsertNextPoint(point + np.sin(point))
    bend = vtkThinPlateSplineTransform()
    bend.SetSourceLandmarks(source)
    bend.SetTargetLandmarks(target)
    bend.SetBasisToR()
    parent = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Bend")
    parent.SetAndObserveTransformToParent(bend)
    with pytest.raises(FusionError, match="'PET' lies under a non-linear transform"):
        image_from_volume(add_head("PET", "pet", parent=parent))


def test_a_transform_node_that_carries_moving_to_fixed_asks_fixed_points_where_they_come_from(add_transform):
    transform = transform_from_node(add_transform(turn))
    moving_ras = np.array((10, -20, 30, 1))
    fixed_ras = turn @ moving_ras
    lps = (-1, -1, 1)
    np.testing.assert_allclose(transform.TransformPoint(fixed_ras[:3] * lps), moving_ras[:3] * lps, atol=1e-9)


def test_a_field_is_followed_by_the_initial_transform_and_the_inverse_of_the_parents():
    field = sitk.GetImageFromArray(np.tile((1.0, 2.0, 3.0), (9, 9, 9, 1)), isVector=True)  # LPS
    start = sitk.Euler3DTransform((3.0, 2.0, 1.0), 0.2, -0.3, 0.5, (4.0, 5.0, 6.0))
    parents = rigid((0, 0, 65), (7, 8, 9))
    transform = transform_from_field(field, start, parents)
    started = np.array(start.TransformPoint((4 + 1, 3 + 2, 5 + 3))) * (-1, -1, 1)
    expected = np.linalg.inv(parents) @ (*started, 1)
    np.testing.assert_allclose(transform.TransformPoint(-4, -3, 5), expected[:3], atol=1e-5)


def test_the_modality_is_what_dicom_import_noted(scene, add_head):
    plain, ct, pet, mri = (add_head(name) for name in ("Plain", "CT", "PET", "MRI"))
    hounsfield = slicer.vtkCodedEntry()
    hounsfield.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    ct.SetVoxelValueUnits(hounsfield)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for volume, modality in ((pet, "PT"), (mri, "MR")):
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", modality)
    assert [modality_from_dicom(volume) for volume in (plain, ct, pet, mri)] == [None, "ct", "pet", "mri"]


def _ijk_to_ras(volume):
    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return arrayFromVTKMatrix(matrix)
