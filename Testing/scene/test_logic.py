"""The logic fills the scene with everything that belongs to a finished run, and otherwise leaves it as it was."""

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromTransformMatrix, arrayFromVolume, vtkMatrixFromArray
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonDataModel import vtkImageData

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.mrml.convert import image_from_volume
from BSAFusionLib.mrml.display import draw_grid, show_volumes
from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.mrml.placement import FILLED_FROM, fits_result, mark_as_filled
from BSAFusionLib.mrml.transaction import all_or_nothing
from Testing.scene.conftest import lattice, rigid, usual_size


def state(scene):
    """Return every node of the scene with the time of its last change."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [(node.GetID(), node.GetName(), node.GetMTime()) for node in nodes]


def add(scene, kind, name="Node"):
    return scene.AddNewNodeByClass(f"vtkMRML{kind}Node", name)


@pytest.fixture
def heads(add_head):
    return add_head("MRI", "mri"), add_head("PET", "pet", lattice(rigid((3, 0, 2))))


def test_missing_outputs_are_created_and_named_after_the_inputs(heads, process):
    result = process(*heads)
    assert result.fusedVolume.GetName() == "MRI + PET (BSAFusion fused)"
    assert result.registeredVolume.GetName() == "PET registered"
    assert result.gridTransform.GetName() == "PET to MRI"
    assert result.report.modality == "pet"
    assert result.verdict.doubtful  # ellipsoids are no heads
    assert "No head was found in either volume" in result.verdict.reasons[0]


@pytest.mark.parametrize(("modality", "kind"), [("ct", "Scalar"), ("pet", "Vector"), ("spect", "Vector")])
def test_the_fused_volume_is_scalar_for_ct_and_in_color_otherwise(modality, kind, add_head, process):
    result = process(add_head("MRI"), add_head("Moving", "ct" if modality == "ct" else "pet"), modality=modality)
    assert result.fusedVolume.GetClassName() == f"vtkMRML{kind}VolumeNode"
    assert result.registeredVolume.GetClassName() == "vtkMRMLScalarVolumeNode"


def test_outputs_lie_on_the_fixed_grid_in_the_world_under_no_transform(add_head, add_transform, process):
    parent = add_transform(rigid((0, 20, 10), (9, 8, 7)))
    fixed, moving = add_head("MRI", parent=parent), add_head("PET", "pet", parent=parent)
    grid = image_from_volume(fixed)
    result = process(fixed, moving)
    for volume in (result.fusedVolume, result.registeredVolume):
        assert volume.GetParentTransformNode() is None
        image = image_from_volume(volume)
        assert image.GetSize() == grid.GetSize()
        for of in ("GetOrigin", "GetSpacing", "GetDirection"):
            np.testing.assert_allclose(getattr(image, of)(), getattr(grid, of)(), atol=1e-9)


def test_what_is_created_lies_with_the_fixed_volume_in_the_subject_hierarchy(scene, heads, process):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(study, heads[0])
    given = add(scene, "GridTransform")
    hierarchy.CreateItem(hierarchy.GetSceneItemID(), given)

    @calldata_type(VTK_OBJECT)
    def make_item(caller, event, node):
        """Do what Slicer's qSlicerSubjectHierarchyPluginLogic does, which slicer-core lacks."""
        if node.IsA("vtkMRMLDisplayableNode"):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    scene.AddObserver(scene.NodeAddedEvent, make_item)
    result = process(*heads, None, given)
    folders = [
        hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        for node in (result.fusedVolume, result.registeredVolume, given)
    ]
    assert folders == [study, study, hierarchy.GetSceneItemID()]


def test_a_second_run_fills_the_nodes_of_the_first(scene, heads, process):
    first = process(*heads)
    nodes = first.fusedVolume, first.gridTransform, first.registeredVolume
    voxels = arrayFromVolume(first.registeredVolume).copy()
    first.registeredVolume.SetAndObserveTransformNodeID(add(scene, "LinearTransform").GetID())
    before = [entry[:2] for entry in state(scene)]
    second = process(*heads, *nodes, slice_axis="i", three_axes=False)
    assert [second.fusedVolume, second.gridTransform, second.registeredVolume] == list(nodes)
    assert [entry[:2] for entry in state(scene)] == before
    assert second.registeredVolume.GetParentTransformNode() is None
    assert np.abs(arrayFromVolume(second.registeredVolume) - voxels).max() > 0.1


def test_a_linear_transform_node_is_the_initial_transform(add_head, add_transform):
    forward = add_transform(rigid(shift=(0, 40, 0)))  # RAS, carries moving to fixed
    job = BSAFusionLogic().prepare(add_head("MRI"), add_head("PET", "pet"), prealignment=forward, modality="pet")
    np.testing.assert_allclose(job.settings.prealignment.TransformPoint((0, 0, 0)), (0, 40, 0))  # LPS, from fixed


def test_without_a_registered_volume_the_fused_one_is_shown(scene, heads, process):
    view = add(scene, "SliceComposite")
    view.SetForegroundVolumeID(heads[1].GetID())
    result = process(*heads, makeRegistered=False)
    assert view.GetBackgroundVolumeID() == result.fusedVolume.GetID()
    assert view.GetForegroundVolumeID() is None
    fused = result.fusedVolume.GetDisplayNode()
    assert (fused.GetWindowLevelMin(), fused.GetWindowLevelMax()) == (0, 255)


def test_the_grid_is_ready_to_be_drawn_and_stays_where_it_is_visible(heads, process):
    result = process(*heads)
    grid = result.gridTransform.GetDisplayNode()
    assert grid.GetVisualizationMode() == slicer.vtkMRMLTransformDisplayNode.VIS_MODE_GRID
    assert not grid.GetVisibility()
    grid.SetVisibility(True)
    grid.SetVisibility3D(True)
    process(*heads, result.fusedVolume, result.gridTransform, result.registeredVolume)
    assert (grid.GetVisibility(), grid.GetVisibility2D(), grid.GetVisibility3D()) == (1, 0, 1)
    assert 10 <= 6 * max(usual_size) / grid.GetGridSpacingMm() <= 30  # lines across the volume's longest side


def test_cancelling_leaves_no_trace(scene, heads, process):
    before = state(scene)
    asked = []
    with pytest.raises(Cancelled):
        process(*heads, cancelled=lambda: asked.append(True) or len(asked) > 3)
    assert state(scene) == before


def test_cancelling_at_the_very_end_leaves_no_trace(scene, heads, process):
    before, done = state(scene), []
    with pytest.raises(Cancelled):
        process(*heads, progress=lambda *told: done.append(told[1]), cancelled=lambda: done[-1:] == [1.0])
    assert state(scene) == before


def test_an_error_while_filling_the_scene_leaves_no_trace(scene):
    before = state(scene)
    with pytest.raises(ZeroDivisionError), all_or_nothing(scene):  # noqa: PT012
        add(scene, "ScalarVolume")
        add(scene, "GridTransform").CreateDefaultDisplayNodes()
        raise ZeroDivisionError
    assert state(scene) == before


def test_an_error_while_filling_gives_a_given_matrix_back(scene, add_transform):
    node = add_transform(rigid(shift=(7, 0, 0)))
    with pytest.raises(ZeroDivisionError), all_or_nothing(scene, node):  # noqa: PT012
        node.SetMatrixTransformFromParent(vtkMatrixFromArray(np.eye(4)))
        raise ZeroDivisionError
    assert arrayFromTransformMatrix(node)[0, 3] == 7


def test_an_error_while_filling_gives_references_and_views_back(scene, heads, add_head):
    former, given, grid = add_head("Former", "pet"), add_head("Given", "pet"), add(scene, "GridTransform")
    view, selection = add(scene, "SliceComposite"), add(scene, "Selection")
    grid.CreateDefaultDisplayNodes()
    grid.GetDisplayNode().SetAndObserveRegionNode(former)
    mark_as_filled([given], grid, former)
    show_volumes(former, given, opacity=0.25)
    with pytest.raises(ZeroDivisionError), all_or_nothing(scene, given, grid):  # noqa: PT012
        draw_grid(grid, heads[0], 10, 0, 1)
        show_volumes(*heads)
        mark_as_filled([given], grid, heads[1])
        raise ZeroDivisionError
    assert [node.GetNodeReference(FILLED_FROM) for node in (given, grid)] == [former, former]
    assert fits_result(former, grid)
    assert grid.GetDisplayNode().GetRegionNode() is former
    assert (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) == (former.GetID(), given.GetID())
    assert view.GetForegroundOpacity() == 0.25
    assert selection.GetActiveVolumeID() == former.GetID()


def test_an_error_while_filling_gives_units_legends_and_colors_of_the_grid_back(heads, add_head, process, monkeypatch):
    first = process(*heads)
    registered, grid = first.registeredVolume, first.gridTransform.GetDisplayNode()
    unit = slicer.vtkCodedEntry()
    unit.SetValueSchemeMeaning("Bq/ml", "UCUM", "Bq/mL")
    registered.SetVoxelValueUnits(unit)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(registered.GetDisplayNode())
    legend.SetTitleText("PET (Bq/mL)")
    colors = grid.GetColorNode().GetColorTransferFunction()
    ends = [*colors.GetRange()]

    def fail(*_):
        assert registered.GetVoxelValueUnits() is None
        raise MemoryError

    monkeypatch.setattr("BSAFusionLib.mrml.logic.put_registered_sequence", fail)
    with pytest.raises(MemoryError):
        process(*heads, first.fusedVolume, first.gridTransform, registered, strength=0.0)
    assert registered.GetVoxelValueUnits().GetCodeValue() == "Bq/ml"
    assert legend.GetTitleText() == "PET (Bq/mL)"
    assert [*grid.GetColorNode().GetColorTransferFunction().GetRange()] == ends


def test_voxels_that_a_run_replaced_are_not_kept(scene):
    node, image = add(scene, "ScalarVolume"), vtkImageData()
    node.SetAndObserveImageData(image)
    with all_or_nothing(scene, node):
        node.SetAndObserveImageData(None)
    assert image.GetReferenceCount() == 1  # this test's own


@pytest.fixture
def given(scene, add_head, heads):
    """Nodes to build bad input from."""

    def filled(value):
        volume = add_head("Filled", "pet")
        arrayFromVolume(volume)[:] = value
        return volume

    def dicom(volume, modality):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", modality)
        return volume

    return SimpleNamespace(
        mri=heads[0],
        pet=heads[1],
        head=add_head,
        filled=filled,
        dicom=dicom,
        node=lambda kind: add(scene, kind),
    )


bad_inputs = {
    "no fixed volume": (lambda given: (None, given.pet), {}, "no fixed volume"),
    "no moving volume": (lambda given: (given.mri, None), {}, "no moving volume"),
    "one node twice": (lambda given: (given.mri, given.mri), {}, "both the fixed and the moving"),
    "no image data": (lambda given: (given.mri, given.node("ScalarVolume")), {}, "holds no image"),
    "a label map": (lambda given: (given.node("LabelMapVolume"), given.pet), {}, "label map"),
    "an MRI in color": (lambda given: (given.head("RGB", "rgb"), given.pet), {}, "in color"),
    "a CT in color": (lambda given: (given.mri, given.head("RGB", "rgb")), {"modality": "ct"}, "in color"),
    "an unknown modality": (lambda given: (given.mri, given.pet), {"modality": "xray"}, "modality 'xray'"),
    "a scalar node for a result in color": (
        lambda given: (given.mri, given.pet, given.node("ScalarVolume")),
        {},
        "must be a vtkMRMLVectorVolumeNode",
    ),
    "a linear node for the grid": (
        lambda given: (given.mri, given.pet, None, given.node("LinearTransform")),
        {},
        "must be a vtkMRMLGridTransformNode",
    ),
    "an input as output": (lambda given: (given.mri, given.pet, None, None, given.pet), {}, "something else"),
    "one output twice": (lambda given: (given.mri, given.pet, *[given.node("VectorVolume")] * 2), {}, "something else"),
    "a single slice": (lambda given: (given.head("Slice", size=(32, 40, 1)), given.pet), {}, "slice"),
    "no overlap": (
        lambda given: (given.mri, given.head("Far", "pet", lattice(rigid(shift=(900, 0, 0))))),
        {},
        "overlap",
    ),
    "a constant image": (lambda given: (given.mri, given.filled(3)), {}, "'?constant|one value|the same"),
    "nothing but NaN": (lambda given: (given.mri, given.filled(np.nan)), {}, "NaN|finite|number"),
    "a PET as the MRI": (lambda given: (given.dicom(given.pet, "PT"), given.mri), {}, "PET by DICOM and no MRI"),
    "an MRI as the PET": (
        lambda given: (given.pet, given.dicom(given.mri, "MR")),
        {"modality": "auto"},
        "is an MRI by DICOM",
    ),
    "no such weights": (lambda given: (given.mri, given.pet), {"weights": "nowhere.safetensors"}, "nowhere"),
    "no such device": (lambda given: (given.mri, given.pet), {"device": "cuda:9"}, "cuda:9"),
}


@pytest.mark.parametrize(("nodes", "choices", "message"), bad_inputs.values(), ids=bad_inputs.keys())
def test_invalid_input_is_one_clear_message_and_leaves_the_scene_alone(nodes, choices, message, scene, given, process):
    nodes = nodes(given)
    before = state(scene)
    with pytest.raises(FusionError, match=message) as error:
        process(*nodes, **choices)
    assert str(error.value).endswith(".")
    assert state(scene) == before


def test_the_report_says_that_a_modality_was_guessed(heads, process):
    remark = "'PET' was taken for a PET by its intensities; if it is none, choose its modality."
    assert remark in process(*heads, modality="auto", weights=None, three_axes=False).report.details
    assert not any("taken for" in text for text in process(*heads).report.details)


def test_an_initial_transform_that_is_a_parent_of_the_moving_volume_is_rejected(heads, add_transform, process):
    parent = add_transform(np.eye(4))
    heads[1].SetAndObserveTransformNodeID(parent.GetID())
    with pytest.raises(FusionError, match="already"):
        process(*heads, prealignment=parent)
    above = add_transform(np.eye(4))
    parent.SetAndObserveTransformNodeID(above.GetID())
    with pytest.raises(FusionError, match="already"):
        process(*heads, prealignment=above)
    parent.SetAndObserveTransformNodeID(None)
    process(*heads, carry=[heads[1]])
    with pytest.raises(FusionError, match="already"):  # also while its result takes the parent's place
        process(*heads, prealignment=parent)


def test_an_initial_transform_that_mirrors_is_rejected(heads, add_transform):
    mirror = add_transform(np.diag([-1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(FusionError, match=r"The transform '.*' mirrors"):
        BSAFusionLogic().check(*heads, prealignment=mirror)


def test_an_initial_transform_that_leaves_no_depth_is_rejected(heads, add_transform):
    flat = add_transform(np.diag([1.0, 0.0, 1.0, 1.0]))
    with pytest.raises(FusionError, match=r"The transform '.*' is flat"):
        BSAFusionLogic().check(*heads, prealignment=flat)
