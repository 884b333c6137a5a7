"""Nodes at the place of the moving volume move along with it under the result, all or nothing."""

from functools import partial

import numpy as np
import pytest
from slicer.util import (
    arrayFromMarkupsControlPoints,
    updateMarkupsControlPointsFromArray,
    updateVolumeFromArray,
    vtkMatrixFromArray,
)

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.mrml.placement import left_result, mark_as_filled, place_under, put_back, put_back_from, result_of
from Testing.scene.conftest import lattice, rigid

points = np.array([[0.0, 0, 0], [20, -10, 5], [-15, 25, -20]])
of_landmarks = "fixedLandmarks", "movingLandmarks"
kinds = ["MarkupsFiducial", "Model", "Segmentation", "ScalarVolume", "LinearTransform"]


@pytest.fixture
def tilted(add_transform):
    return add_transform(rigid((0, 0, 10), (5, 6, 7)))


@pytest.fixture
def heads(add_head, tilted):
    """The moving volume lies under a transform."""
    return add_head("MRI"), add_head("PET", "pet", lattice(rigid((3, 0, 2))), parent=tilted)


@pytest.fixture
def companions(scene, tilted):
    """A node of each kind under the transform that the moving volume lies under."""
    nodes = [scene.AddNewNodeByClass(f"vtkMRML{kind}Node", kind) for kind in kinds]
    for node in nodes:
        node.SetAndObserveTransformNodeID(tilted.GetID())
    updateMarkupsControlPointsFromArray(nodes[0], points)
    return nodes


def parents(nodes):
    return [node.GetParentTransformNode() for node in nodes]


def test_every_kind_of_node_goes_along_with_the_moving_volume_and_finds_its_way_back(
    heads, companions, process, tilted
):
    nodes = [heads[1], *companions]
    grid = process(*heads, carry=nodes).gridTransform
    assert parents(nodes) == [grid] * 6
    assert heads[0].GetParentTransformNode() is None
    process(*heads, None, grid, carry=nodes)  # once more, from where they lay before
    assert parents(nodes) == [grid] * 6
    for node in nodes:
        put_back(node)
    assert parents(nodes) == [tilted] * 6


def test_without_being_asked_for_nothing_moves(heads, companions, process, tilted):
    process(*heads)
    assert parents([heads[1], *companions]) == [tilted] * 6


def test_points_drawn_on_the_moving_volume_land_where_the_deformation_carries_them(
    heads, companions, process, add_transform
):
    shift = add_transform(rigid(shift=(0, 4, 0)))  # RAS: what would carry the moving volume to the fixed one
    before = arrayFromMarkupsControlPoints(companions[0], world=True)
    process(*heads, prealignment=shift, strength=0.0, carry=companions[:1])
    after = arrayFromMarkupsControlPoints(companions[0], world=True)
    np.testing.assert_allclose(after - before, np.tile((0, 4, 0), (3, 1)), atol=1e-3)


cannot_move = {
    "the fixed volume": (lambda heads, scene: heads[0], "an output or the fixed volume"),
    "what lies elsewhere": (lambda heads, scene: scene.AddNewNodeByClass("vtkMRMLModelNode"), "the same transform"),
    "what lies nowhere": (lambda heads, scene: scene.AddNewNodeByClass("vtkMRMLTextNode"), "follow a deformation"),
    "the transform above it": (lambda heads, scene: heads[1].GetParentTransformNode(), "lie under"),
}


@pytest.mark.parametrize(("choose", "message"), cannot_move.values(), ids=cannot_move)
def test_what_cannot_go_along_is_named_before_anything_happens(choose, message, heads, scene, companions, process):
    with pytest.raises(FusionError, match=message):
        process(*heads, carry=[companions[0], choose(heads, scene)])
    assert companions[0].GetParentTransformNode() is heads[1].GetParentTransformNode()
    assert scene.GetNumberOfNodesByClass("vtkMRMLGridTransformNode") == 0


def test_what_belongs_to_the_fixed_volume_does_not_go_along(heads, scene):
    mask = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Brain")
    updateVolumeFromArray(mask, np.ones((8, 8, 8), np.uint8))
    landmarks = [scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name) for name in ("F", "M")]
    fixed, pet = heads
    pet.SetAndObserveTransformNodeID(None)
    check = partial(BSAFusionLogic().check, fixed, pet, None, dict(zip(of_landmarks, landmarks, strict=True)))
    for node in (mask, landmarks[0]):
        with pytest.raises(FusionError, match=f"'{node.GetName()}' cannot move along: .*mask or landmarks"):
            check([node], fixedMask=mask, modality="pet")
    check([landmarks[1]], fixedMask=mask, modality="pet")  # these lie on the moving volume


def fail(*volumes):
    raise MemoryError


def test_an_error_at_the_very_end_puts_everything_back(heads, companions, process, tilted, scene, monkeypatch):
    monkeypatch.setattr("BSAFusionLib.mrml.logic.show_overlay", fail)
    with pytest.raises(MemoryError):
        process(*heads, carry=[heads[1], *companions])
    assert parents([heads[1], *companions]) == [tilted] * 6
    assert scene.GetNumberOfNodesByClass("vtkMRMLGridTransformNode") == 0


def test_a_node_that_goes_along_is_one_that_the_run_needs(heads, companions):
    job = BSAFusionLogic().prepare(*heads, modality="pet", carry=companions)
    assert set(companions) < set(job.nodes())


def test_what_moves_along_with_one_volume_is_not_taken_away_by_another(heads, companions, process, add_head):
    ct = add_head("CT", "ct", parent=heads[1].GetParentTransformNode())
    grid = process(*heads, carry=companions).gridTransform
    with pytest.raises(FusionError, match="moves along with 'PET', under its result"):
        process(heads[0], ct, modality="ct", carry=companions)
    assert parents(companions) == [grid] * 5
    assert parents([process(heads[0], ct, modality="ct", carry=[ct]).gridTransform]) == [None]


def test_of_a_removed_result_only_what_still_lies_under_it_goes_back(companions, tilted, scene):
    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    for node in companions:
        place_under(node, grid)
    stays, hardened, taken_out = companions[:3]
    hardened.HardenTransform()
    taken_out.SetAndObserveTransformNodeID(None)
    put_back_from(grid)
    assert parents([stays, hardened, taken_out]) == [tilted, None, None]


def test_what_was_hardened_under_a_result_is_not_moved_a_second_time(heads, companions, scene, weights, tilted):
    markups, model = companions[:2]
    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "PET to MRI")  # as a run leaves it
    mark_as_filled([], grid, heads[1])
    for node in (markups, model):
        place_under(node, grid)
    choices = {"modality": "pet", "weights": weights}
    markups.HardenTransform()
    for node in (markups, model):  # the model was only taken out, which looks the same
        node.SetAndObserveTransformNodeID(tilted.GetID())
        with pytest.raises(FusionError, match=f"'{node.GetName()}' was hardened under the result 'PET to MRI', or"):
            BSAFusionLogic().check(*heads, carry=[node], **choices)
    model.SetAndObserveTransformNodeID(grid.GetID())
    BSAFusionLogic().check(*heads, carry=[model], **choices)
    for node in (heads[1], model):  # hardened together, they lie where the result put them
        node.HardenTransform()
    heads[1].SetOrigin(1, 2, 3)
    BSAFusionLogic().check(*heads, carry=[model], **choices)


def test_what_lies_under_a_result_is_not_registered_to(heads, scene, weights):
    """It would be taken from its former place, and shown at another one."""
    result, label_map = (
        scene.AddNewNodeByClass(f"vtkMRML{kind}Node", name)
        for kind, name in (("GridTransform", "MRI to CT"), ("LabelMapVolume", "Brain"))
    )
    updateVolumeFromArray(label_map, np.ones((4, 4, 4), np.uint8))
    on_fixed, on_moving = (scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name) for name in ("On MRI", "On PET"))
    for markups in (on_fixed, on_moving):
        updateMarkupsControlPointsFromArray(markups, points)
    choices = {"modality": "pet", "weights": weights, "fixedMask": label_map}
    choices["outputs"] = {"fixedLandmarks": on_fixed, "movingLandmarks": on_moving}
    job = BSAFusionLogic().prepare(*heads, **choices)
    for node, role in (heads[0], "fixed volume"), (label_map, "fixed mask"), (on_fixed, "list of fixed landmarks"):
        place_under(node, result)
        with pytest.raises(FusionError, match=f"The {role} '{node.GetName()}' lies under the result 'MRI to CT'"):
            BSAFusionLogic().prepare(*heads, **choices)
        put_back(node)
    for node in (heads[1], on_moving):  # whose former places count
        place_under(node, result)
    BSAFusionLogic().prepare(*heads, **choices)
    place_under(heads[0], result)  # during a run
    with pytest.raises(FusionError, match="'MRI' was moved or hardened"):
        job.places.check()


def hardened(node):
    node.HardenTransform()


def moved(node):
    node.SetAndObserveTransformNodeID(None)


def shifted(node):
    node.SetOrigin(1, 2, 3)


moves = {
    "the fixed volume is moved": (0, shifted, "'MRI' was moved or hardened"),
    "the moving volume is hardened": (1, hardened, "'PET' was moved or hardened"),
    "what moves along is hardened": (2, hardened, "'MarkupsFiducial' was moved or hardened"),
    "what moves along is taken out": (2, moved, "'MarkupsFiducial' was moved or hardened"),
}


@pytest.mark.parametrize(("which", "move", "message"), moves.values(), ids=moves)
def test_inputs_that_moved_during_a_run_are_named(which, move, message, heads, companions, weights):
    """The user works on during a run; the result would lie at another place than the model put it."""
    nodes = *heads, companions[0]
    job = BSAFusionLogic().prepare(*heads, carry=[heads[1], companions[0]], weights=weights, modality="pet")
    job.places.check()
    move(nodes[which])
    with pytest.raises(FusionError, match=message):
        job.places.check()


def test_what_is_hardened_under_a_former_result_during_a_run_is_named(heads, companions, process, weights):
    grid = process(*heads, carry=[heads[1], companions[0]]).gridTransform
    choices = {"weights": weights, "modality": "pet", "outputs": {"gridTransform": grid}}
    job = BSAFusionLogic().prepare(*heads, carry=[heads[1], companions[0]], **choices)
    put_back(heads[1])  # Before and After do that
    job.places.check()
    companions[0].HardenTransform()
    with pytest.raises(FusionError, match="'MarkupsFiducial' was moved or hardened"):
        job.places.check()
    BSAFusionLogic().prepare(*heads, carry=[heads[1]], **choices).places.check()  # from where it lies now


def test_a_result_that_does_not_fit_its_inputs_any_more_is_dropped(heads, weights):
    logic = BSAFusionLogic()
    choices = {"weights": weights, "device": "cpu", "prealignment": "none", "modality": "pet"}
    job = logic.prepare(*heads, carry=[heads[1]], **choices)
    computed = logic.compute(job)
    heads[1].HardenTransform()
    with pytest.raises(FusionError, match="'PET' was moved or hardened"):
        logic.fill(job, computed)
    assert parents(heads) == [None, None]


def test_a_parent_of_the_moving_volume_may_move_during_a_run(heads, weights, tilted):
    logic = BSAFusionLogic()
    choices = {"weights": weights, "device": "cpu", "prealignment": "none", "modality": "pet"}
    job = logic.prepare(*heads, carry=[heads[1]], **choices)
    computed = logic.compute(job)
    tilted.SetMatrixTransformToParent(vtkMatrixFromArray(np.eye(4)))
    result = logic.fill(job, computed)
    assert parents([heads[1]]) == [result.gridTransform]


def test_a_transform_that_takes_up_another_volumes_result_leaves_nothing_of_the_former_under_it(
    heads, companions, process, tilted, add_head, monkeypatch
):
    grid = process(*heads, carry=companions).gridTransform
    heads[1].SetAndObserveTransformNodeID(grid.GetID())  # by hand
    companions[1].HardenTransform()
    other = add_head("Other PET", "pet", parent=tilted)
    before = [grid, None, grid, grid, grid, grid]
    nodes = [heads[1], companions[1], companions[0], *companions[2:]]
    assert parents(nodes) == before
    with monkeypatch.context() as patch:
        patch.setattr("BSAFusionLib.mrml.logic.show_overlay", fail)
        with pytest.raises(MemoryError):
            process(heads[0], other, gridTransform=grid, carry=[other])
    assert parents([*nodes, other]) == [*before, tilted]
    assert left_result(companions[1]) and result_of(companions[0]) is heads[1]
    process(heads[0], other, gridTransform=grid, carry=[other])
    assert parents([*nodes, other]) == [tilted, None, tilted, tilted, tilted, tilted, grid]
    assert not left_result(companions[1])


def test_what_lies_under_a_result_is_not_left_behind_by_a_moving_volume_that_was_hardened(
    heads, companions, process, add_transform
):
    """The next result leads from where the volume was hardened to, and no longer from where the points lie."""
    nudged = add_transform(rigid(shift=(0, 4, 0)))
    grid = process(*heads, prealignment=nudged, strength=0.0, carry=[heads[1], *companions]).gridTransform
    before = arrayFromMarkupsControlPoints(companions[0], world=True)
    heads[1].HardenTransform()
    for choices in ({"gridTransform": grid}, {"carry": companions[:1]}):
        with pytest.raises(FusionError, match="lies under the result 'PET to MRI', but 'PET' was hardened or moved"):
            process(*heads, **choices)
    np.testing.assert_array_equal(arrayFromMarkupsControlPoints(companions[0], world=True), before)


def test_what_was_hardened_together_with_the_moving_volume_moves_along_in_later_runs(heads, companions, process):
    markups = companions[0]
    grid = process(*heads, carry=[heads[1], markups]).gridTransform
    for node in (heads[1], markups):
        node.HardenTransform()
    process(*heads, gridTransform=grid, carry=[heads[1]])
    process(*heads, gridTransform=grid, carry=[heads[1], markups])
    assert parents([heads[1], markups]) == [grid] * 2


def test_a_transform_above_a_volume_neither_moves_along_nor_is_filled(add_head, add_transform, process):
    """Also while that volume lies under its result."""
    above = add_transform(np.eye(4))
    parent = add_transform(np.eye(4), above)
    fixed, moving = add_head("MRI"), add_head("PET", "pet", parent=parent)

    def check():
        with pytest.raises(FusionError, match=r"lie under '.*', which therefore cannot move along"):
            process(fixed, moving, carry=[moving, parent])
        with pytest.raises(FusionError, match=r"rigid transform cannot be '.*', which is used for something else"):
            process(fixed, moving, split=True, rigidTransform=above)

    check()
    process(fixed, moving, carry=[moving])
    check()
    fixed.SetAndObserveTransformNodeID(parent.GetID())
    moving.SetAndObserveTransformNodeID(None)
    check()
