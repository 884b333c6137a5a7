"""A finished scene, saved and opened again, has the same nodes and the same transform."""

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromVolume
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.display import SLICE_VIEWS, add_slice_views, link_and_fit
from BSAFusionLib.mrml.overlay import color_node
from BSAFusionLib.mrml.placement import fits_result, mark_as_filled
from BSAFusionLib.mrml.scene import nodes_of_class, save_scene
from Testing.scene.conftest import lattice, rigid

ours = ("vtkMRMLVolumeNode", "vtkMRMLTransformNode", "vtkMRMLVolumeDisplayNode", "vtkMRMLTransformDisplayNode")


def names(scene):
    return {
        kind: [scene.GetNthNodeByClass(n, kind).GetName() for n in range(scene.GetNumberOfNodesByClass(kind))]
        for kind in ours
    }


def carried(node, points):
    transform = vtkGeneralTransform()
    node.GetTransformFromWorld(transform)
    return np.array([transform.TransformPoint(point) for point in points])


@pytest.fixture
def other():
    """Another application, whose scene knows legends, as that of Slicer's Colors module does."""
    other = SlicerApp()
    other.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    return other


@pytest.mark.parametrize("turn", [0, 120])
def test_a_saved_scene_opens_with_the_same_nodes_and_transform(
    turn, scene, other, add_head, add_transform, process, tmp_path
):
    parent = add_transform(rigid((0, 0, turn)))
    fixed, moving = add_head("MRI"), add_head("PET", "pet", lattice(rigid((3, 0, 2 - turn))), parent=parent)
    result = process(fixed, moving)
    path = tmp_path / "scene.mrb"
    save_scene(scene, path)

    opened = other.scene
    assert opened.ReadFromMRB(str(path))
    assert names(opened) == names(scene)
    again = opened.GetFirstNodeByName(result.gridTransform.GetName())
    assert again.GetClassName() == "vtkMRMLGridTransformNode"
    points = np.random.default_rng(0).uniform(-80, 80, (50, 3))
    np.testing.assert_allclose(carried(again, points), carried(result.gridTransform, points), atol=1e-6)
    for volume in (result.fusedVolume, result.registeredVolume, moving):
        same = opened.GetFirstNodeByName(volume.GetName())
        assert same.GetClassName() == volume.GetClassName()
        np.testing.assert_array_equal(arrayFromVolume(same), arrayFromVolume(volume))


@pytest.mark.parametrize("flips", [(1, 1, 1), (1, -1, 1)], ids=["right-handed", "left-handed"])
def test_the_moving_volume_of_a_saved_scene_still_fits_its_result(flips, scene, other, add_head, tmp_path):
    """Slicer reads left-handed volumes with their slices in the reverse order."""
    moving = add_head("PET", "pet", lattice(rigid((3, 0, 2)), flips=flips))
    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "PET to MRI")
    mark_as_filled([], grid, moving)
    assert fits_result(moving, grid)
    save_scene(scene, tmp_path / "scene.mrb")
    assert other.scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    opened, result = (other.scene.GetFirstNodeByName(node.GetName()) for node in (moving, grid))
    assert fits_result(opened, result)
    opened.SetOrigin(1, 2, 3)
    assert not fits_result(opened, result)


def test_a_scene_of_a_script_opens_with_the_overlay_in_slicers_views(
    application, scene, other, add_head, process, tmp_path
):
    add_slice_views(application.app_logic, scene)
    fixed = add_head("MRI")
    result = process(fixed, add_head("PET", "pet"))
    link_and_fit(application.app_logic, fixed)
    save_scene(scene, tmp_path / "scene.mrb")

    opened = other.scene
    inferno = color_node(opened, "inferno")  # which Slicer has from the start
    assert opened.ReadFromMRB(str(tmp_path / "scene.mrb"))
    registered = opened.GetFirstNodeByName(result.registeredVolume.GetName())
    views = nodes_of_class(opened, "vtkMRMLSliceCompositeNode")
    assert [view.GetLayoutName() for view in views] == ["Red", "Yellow", "Green"]
    for view in views:
        assert view.GetBackgroundVolumeID() == opened.GetFirstNodeByName("MRI").GetID()
        assert view.GetForegroundVolumeID() == registered.GetID()
    assert registered.GetDisplayNode().GetColorNode() is inferno
    assert registered.GetDisplayNode().GetApplyThreshold()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(registered.GetDisplayNode())
    assert legend.GetTitleText() == "PET (relative)"
    assert [view.GetOrientation() for view in nodes_of_class(opened, "vtkMRMLSliceNode")] == list(SLICE_VIEWS.values())


def test_a_scene_that_cannot_be_written_says_so(scene, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(FusionError, match=r"scene\.mrb"):
        save_scene(scene, blocked / "scene.mrb")


@pytest.mark.skipif(sys.platform == "win32", reason="names are UTF-16 there")
def test_a_scene_is_saved_in_a_folder_whose_name_is_no_utf8(scene, add_head, tmp_path):
    add_head("MRI")
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    save_scene(scene, folder / "scene.mrb")
    names = zipfile.ZipFile(folder / "scene.mrb").namelist()
    assert any(name.endswith(".mrml") for name in names)
    assert [path.name for path in folder.iterdir()] == ["scene.mrb"]
