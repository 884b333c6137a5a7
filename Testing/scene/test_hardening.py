"""The moving volume, put under the grid transform and hardened, is the registered volume."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from slicer.util import arrayFromVolume
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from BSAFusionLib.mrml.convert import image_from_volume
from BSAFusionLib.mrml.nodes import put_network_part
from BSAFusionLib.mrml.scene import save_scene
from Testing.scene.conftest import at_the_origin, lattice, rigid, usual_size

nudge = rigid((2, -3, 1), (3, -2, 2))
quarter_turn = rigid((0, 0, 90), (50, 0, 0))
tilt = rigid((25, 0, 15), (0, 20, -10))

# Where the fixed volume lies in the world, the parent transforms of both volumes (outermost first), and choices.
cases = {
    "axis-aligned": {},
    "oblique": {"placed": rigid((20, -15, 30))},
    "left-handed": {"placed": rigid((10, 5, -20)), "flips": (1, 1, -1)},
    "thick slices": {"spacing": (0.7, 0.7, 5), "size": (72, 84, 20)},
    "slices across i": {"choices": {"slice_axis": "i"}},
    "slices across j": {"choices": {"slice_axis": "j"}},
    "color": {"contrast": "rgb"},
    "CT": {"contrast": "ct", "choices": {"modality": "ct"}},
    "fixed under a turned parent": {"fixed_parents": [tilt]},
    "moving under a turned parent": {"moving_parents": [tilt]},
    "moving under two turned parents": {"moving_parents": [quarter_turn, tilt]},
    "under both parts": {"placed": rigid((20, -15, 30)), "choices": {"split": True}, "under": "rigidTransform"},
    "all at once": {
        "placed": rigid((20, -15, 30), (10, 20, 30)),
        "flips": (-1, 1, 1),
        "fixed_parents": [tilt, quarter_turn],
        "moving_parents": [quarter_turn],
        "choices": {"slice_axis": "j"},
    },
}


@pytest.mark.parametrize("case", cases.values(), ids=cases.keys())
def test_hardened_moving_volume_equals_the_registered_one(case, add_head, add_transform, process):
    placed, size = case.get("placed", at_the_origin), case.get("size", usual_size)
    spacing, flips = np.array(case.get("spacing", (6, 6, 6))), case.get("flips", (1, 1, 1))
    # The moving volume is finer, so that bringing the hardened one to the fixed grid costs no accuracy.
    fine = [2 * n for n in size]
    lattices = {
        "fixed": (lattice(placed, spacing, size, flips), size),
        "moving": (lattice(nudge @ placed, spacing / 2, fine, flips), fine),
    }
    volumes = {}
    for role, (to_world, voxels) in lattices.items():
        parent = None
        for matrix in case.get(f"{role}_parents", ()):
            parent = add_transform(matrix, parent)
            to_world = np.linalg.inv(matrix) @ to_world
        contrast = case.get("contrast", "pet") if role == "moving" else "mri"
        volumes[role] = add_head(role, contrast, to_world, voxels, parent=parent)
    fixed, moving = volumes["fixed"], volumes["moving"]
    fixed_image, moving_image = image_from_volume(fixed), image_from_volume(moving)

    start = add_transform(placed @ rigid((4, -5, 6), 0.03 * spacing * size) @ np.linalg.inv(placed))
    result = process(fixed, moving, prealignment=start, **case.get("choices", {}))
    moving.SetAndObserveTransformNodeID(getattr(result, case.get("under", "gridTransform")).GetID())
    assert moving.HardenTransform()

    def on_fixed_grid(image):
        return sitk.GetArrayFromImage(sitk.Resample(image, fixed_image)).astype(float)  # linear interpolation

    inside = arrayFromVolume(fixed) > 50
    hardened = on_fixed_grid(image_from_volume(moving))[inside]
    registered = arrayFromVolume(result.registeredVolume).astype(float)[inside]
    value_range = np.ptp(sitk.GetArrayViewFromImage(moving_image).astype(float))
    assert np.abs(hardened - registered).max() <= 0.01 * value_range
    # Both parts of the displacement had something to move.
    assert result.report.network_displacement.mean > 0.005 * max(spacing * size)
    assert np.abs(registered - on_fixed_grid(moving_image)[inside]).mean() > 0.01 * value_range


def test_a_volume_under_both_parts_is_carried_as_by_the_whole_transform(scene, add_head, add_transform, process):
    fixed = add_head("fixed", "mri", lattice(rigid((20, -15, 30)), (6, 6, 6), usual_size, (1, 1, 1)))
    moving = add_head("moving", "pet", lattice(nudge, (6, 6, 6), usual_size, (1, 1, 1)), parent=add_transform(tilt))
    count = scene.GetNumberOfNodesByClass("vtkMRMLTransformNode")
    result = process(fixed, moving, prealignment=add_transform(rigid((4, -5, 6))), split=True)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == count + 4  # the start, the whole and its parts
    assert result.rigidTransform.GetParentTransformNode() is result.networkTransform
    assert result.rigidTransform.IsLinear()
    assert "rigid" in result.rigidTransform.GetName()
    whole, parts, network = vtkGeneralTransform(), vtkGeneralTransform(), vtkGeneralTransform()
    result.gridTransform.GetTransformFromWorld(whole)
    result.rigidTransform.GetTransformFromWorld(parts)
    result.networkTransform.GetTransformFromWorld(network)
    bent = []
    for point in np.random.default_rng(0).uniform(-80, 80, (200, 3)):
        assert parts.TransformPoint(point) == pytest.approx(whole.TransformPoint(point), abs=1e-3)
        bent.append(np.linalg.norm(np.subtract(network.TransformPoint(point), point)))
    assert max(bent) > 0.5


def test_parts_of_a_rigid_result_have_no_grid(add_head, process):
    heads = add_head("fixed"), add_head("moving", "pet")
    result = process(*heads, strength=0.0, split=True)
    assert result.networkTransform is None
    assert result.rigidTransform.GetParentTransformNode() is None
    assert process(*heads, strength=0.0).rigidTransform is None


def test_another_run_fills_both_parts_again_also_while_the_moving_volume_lies_under_them(scene, add_head, process):
    heads = add_head("MRI"), add_head("PET", "pet", lattice(nudge))
    first = process(*heads, split=True)
    parts = {"rigidTransform": first.rigidTransform, "networkTransform": first.networkTransform}
    heads[1].SetAndObserveTransformNodeID(first.rigidTransform.GetID())
    count = scene.GetNumberOfNodesByClass("vtkMRMLTransformNode")
    second = process(*heads, first.fusedVolume, first.gridTransform, first.registeredVolume, split=True, **parts)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == count
    assert (second.rigidTransform, second.networkTransform) == (first.rigidTransform, first.networkTransform)
    points = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    whole, under = vtkGeneralTransform(), vtkGeneralTransform()
    second.gridTransform.GetTransformFromWorld(whole)
    second.rigidTransform.GetTransformFromWorld(under)
    np.testing.assert_allclose(
        [under.TransformPoint(point) for point in points], [whole.TransformPoint(point) for point in points], atol=1e-6
    )
    process(*heads, split=True, strength=0.0, **parts)
    assert all(
        first.networkTransform.GetTransformFromParent().TransformPoint(point) == tuple(point) for point in points
    )


def test_the_networks_part_is_taken_out_of_a_total_transform_also_of_a_saved_scene(scene, add_head, process, tmp_path):
    result = process(add_head("MRI"), add_head("PET", "pet", lattice(nudge)), split=True)
    save_scene(scene, tmp_path / "scene.mrb")
    other = SlicerApp()
    other.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    assert other.scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    whole, network = (
        other.scene.GetFirstNodeByName(node.GetName()) for node in (result.gridTransform, result.networkTransform)
    )
    part = put_network_part(whole)
    expected, taken = vtkGeneralTransform(), vtkGeneralTransform()
    network.GetTransformFromWorld(expected)
    part.GetTransformFromWorld(taken)
    points = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    moved = np.array([taken.TransformPoint(point) for point in points])
    np.testing.assert_allclose(moved, [expected.TransformPoint(point) for point in points], atol=1e-4)
    assert np.linalg.norm(moved - points, axis=1).max() > 1
