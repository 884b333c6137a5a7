"""A mask is read where it lies in the world, from a label map and from a segmentation; the scene is only read."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from slicer.util import updateVolumeFromArray, vtkMatrixFromArray
from vtkmodules.vtkFiltersSources import vtkSphereSource

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.mrml.mask_node import checkMask, mask_voxels
from Testing.scene.conftest import lattice, rigid

converter = slicer.vtkSegmentationConverter
surface = converter.GetSegmentationClosedSurfaceRepresentationName()
drawn = converter.GetSegmentationBinaryLabelmapRepresentationName()
tilt = rigid((20, 0, 30), (5, 6, 7))


def ball(center, radius=30.0):
    source = vtkSphereSource()
    source.SetCenter(center)
    source.SetRadius(radius)
    source.SetThetaResolution(40)
    source.SetPhiResolution(40)
    source.Update()
    return source.GetOutput()


@pytest.fixture
def add_segmentation(scene):
    """Return a function that adds a segmentation of balls, stored as surfaces or drawn."""

    def add_segmentation(*centers, stored=drawn):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Brain")
        node.GetSegmentation().SetSourceRepresentationName(surface)
        for center in centers:
            node.AddSegmentFromClosedSurfaceRepresentation(ball(center), "Ball")
        if stored == drawn:
            node.GetSegmentation().CreateRepresentation(drawn)
            node.GetSegmentation().SetSourceRepresentationName(drawn)
        return node

    return add_segmentation


@pytest.fixture
def add_label_map(scene):
    def add_label_map(values, ijk_to_ras):
        node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        updateVolumeFromArray(node, values)
        node.SetIJKToRASMatrix(vtkMatrixFromArray(ijk_to_ras))
        return node

    return add_label_map


def place_of(mask):
    """Return the center of mass in RAS and the volume in ml of a mask's voxels."""
    image = mask_voxels(mask).image()
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(image != 0, sitk.sitkUInt8))
    return np.multiply(shape.GetCentroid(1), (-1, -1, 1)), shape.GetPhysicalSize(1) / 1000


@pytest.mark.parametrize("stored", [surface, drawn])
def test_a_segmentation_lies_where_it_is_shown(stored, add_segmentation, add_transform):
    center = np.array([20.0, -10.0, 35.0])
    mask = add_segmentation(center, stored=stored)
    mask.SetAndObserveTransformNodeID(add_transform(tilt).GetID())
    before = mask.GetMTime(), mask.GetSegmentation().ContainsRepresentation(drawn)
    checkMask(mask)
    found, volume_ml = place_of(mask)
    np.testing.assert_allclose(found, (tilt @ [*center, 1])[:3], atol=0.5)
    assert volume_ml == pytest.approx(4 / 3 * np.pi * 3**3, rel=0.03)
    assert (mask.GetMTime(), mask.GetSegmentation().ContainsRepresentation(drawn)) == before
    assert before[1] == (stored == drawn)


def test_all_segments_count(add_segmentation):
    found, volume_ml = place_of(add_segmentation((-40, 0, 0), (40, 0, 10)))
    np.testing.assert_allclose(found, (0, 0, 5), atol=0.5)
    assert volume_ml == pytest.approx(2 * 4 / 3 * np.pi * 3**3, rel=0.03)


def test_a_label_map_lies_where_it_is_shown(add_label_map, add_transform):
    values = np.zeros((9, 11, 13), np.uint8)
    values[2, 3, 4] = 5
    turned = lattice(rigid((0, 40, 0), (1, 2, 3)), (2, 3, 4), (13, 11, 9), (-1, 1, 1))
    mask = add_label_map(values, turned)
    mask.SetAndObserveTransformNodeID(add_transform(tilt).GetID())
    checkMask(mask)
    found, volume_ml = place_of(mask)
    np.testing.assert_allclose(found, (tilt @ turned @ [4, 3, 2, 1])[:3], atol=1e-6)
    assert volume_ml == pytest.approx(0.024)


def test_what_can_be_no_mask_is_said_in_one_sentence(scene, add_head, add_segmentation):
    checkMask(None)
    for node, message in (
        (add_head("MRI"), "'MRI' must be a segmentation or a label map"),
        (add_segmentation(), "'Brain' is empty"),
        (scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Nothing"), "'Nothing' is empty"),
    ):
        with pytest.raises(FusionError, match=message):
            checkMask(node)


def test_a_run_looks_at_the_mask(add_head, add_segmentation, process):
    heads = add_head("MRI"), add_head("PET", "pet", lattice(rigid((3, 0, 2))))
    mask = add_segmentation((0, 0, 30))
    result = process(*heads, fixedMask=mask)
    without, within = process(*heads).report, result.report
    assert "fixedMask=..." in result.record.command
    assert within.mutual_information_before != without.mutual_information_before
    assert any("look only at the fixed mask" in detail for detail in within.details)
    with pytest.raises(FusionError, match="lies outside of the fixed volume"):
        process(*heads, fixedMask=add_segmentation((900, 0, 0)))
    assert BSAFusionLogic().prepare(*heads, modality="pet").fixedMask is None
