"""The panel follows its parameter node while it is shown, and loses nothing while it is not or a scene is added."""

import gc
import sys

import pytest
import qt
import slicer

from BSAFusionLib.mrml.scene import save_scene
from BSAFusionLib.panel.connection import Connection
from BSAFusionLib.panel.parameters import Parameters, View
from Testing import harness
from Testing.conftest import repository
from Testing.panel.conftest import rigid

selectors = {
    "fixedVolume": "fixedVolumeSelector",
    "movingVolume": "movingVolumeSelector",
    "fusedVolume": "fusedVolumeSelector",
    "gridTransform": "gridTransformSelector",
    "registeredVolume": "registeredVolumeSelector",
    "startTransform": "startTransformSelector",
    "fixedLandmarks": "fixedLandmarksSelector",
    "movingLandmarks": "movingLandmarksSelector",
}


@pytest.fixture
def added(tmp_path):
    """A saved scene with a volume of every kind that the panel could take for a choice of its own."""
    path = tmp_path / "added.mrb"
    with harness.running() as other:
        for kind in ("ScalarVolume", "VectorVolume", "GridTransform", "LinearTransform", "MarkupsFiducial"):
            other.scene.AddNewNodeByClass(f"vtkMRML{kind}Node", f"Added {kind}")
        save_scene(other.scene, path)
    return path


@pytest.fixture
def other_module(tmp_path):
    """Return a function that shows another module in place of the panel."""
    path = tmp_path / "Other.py"
    path.write_text(
        "from slicer.ScriptedLoadableModule import *\n"
        "class Other(ScriptedLoadableModule): pass\n"
        "class OtherWidget(ScriptedLoadableModuleWidget): pass\n"
    )

    def show():
        harness.load_module(path)
        slicer.util.selectModule("Other")

    return show


@pytest.fixture
def chosen(added, ready, scene, finish, add_transform):
    """The panel after a run, with a node chosen wherever one can be, and two to move along."""
    finish()
    parameters = ready.logic.getParameterNode()
    parameters.startTransform = add_transform(rigid())
    for name in ("fixedLandmarks", "movingLandmarks"):
        setattr(parameters, name, scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name))
    parameters.carry = [scene.AddNewNodeByClass("vtkMRMLModelNode", name) for name in ("Tumour", "Vessel")]
    return ready


def choices(widget):
    """Return the names of all chosen nodes, in the parameter node and in the selectors."""
    parameters, ui = widget.logic.getParameterNode(), widget.ui
    kept = {name: getattr(parameters, name) for name in selectors}
    shown = {name: getattr(ui, selector).currentNode() for name, selector in selectors.items()}
    both = [{name: node and node.GetName() for name, node in nodes.items()} for nodes in (kept, shown)]
    kept_along, shown_along = list(parameters.carry), ui.carrySelector.checkedNodes()
    return [
        {**names, "carry": sorted(node.GetName() for node in along if node is not None)}
        for names, along in zip(both, (kept_along, shown_along), strict=True)
    ]


def test_choosing_both_inputs_leaves_the_outputs_to_be_created(ready):
    kept, shown = choices(ready)
    for names in (kept, shown):
        assert [names[name] for name in ("fusedVolume", "gridTransform", "registeredVolume")] == [None] * 3
    assert ready.ui.applyButton.enabled


def test_the_panel_says_what_the_run_will_create(ready, widget, scene):
    ui = ready.ui
    assert ui.createdLabel.visible
    assert ui.createdLabel.text == "Creates 'MRI + PET (BSAFusion fused)', 'PET to MRI', 'PET registered'"
    assert ui.gridTransformSelector.toolTip.endswith("The run creates 'PET to MRI'.")
    ui.gridTransformSelector.setCurrentNode(scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Mine"))
    harness.click(ui.makeRegisteredCheckBox)
    assert ui.createdLabel.text == "Creates 'MRI + PET (BSAFusion fused)'"
    assert "creates" not in ui.gridTransformSelector.toolTip
    ui.movingVolumeSelector.setCurrentNode(None)
    assert not ui.createdLabel.visible
    assert ui.fusedVolumeSelector.currentNode() is None


def test_the_panel_follows_new_names_of_the_inputs(ready, widget, heads):
    heads[1].SetName("FDG")
    assert ready.ui.createdLabel.text == "Creates 'MRI + FDG (BSAFusion fused)', 'FDG to MRI', 'FDG registered'"
    said = ready.ui.createdLabel.text
    widget.exit()
    heads[0].SetName("T1")
    assert ready.ui.createdLabel.text == said  # nothing is observed while another module is shown
    widget.enter()
    assert ready.ui.createdLabel.text == said.replace("MRI", "T1")


def test_adding_a_scene_keeps_every_choice(chosen, added):
    before = choices(chosen)
    assert before[0] == before[1]
    assert None not in before[0].values()
    slicer.util.loadScene(str(added))
    assert slicer.util.getNode("Added ScalarVolume")
    assert choices(chosen) == before
    chosen.ui.fixedVolumeSelector.setCurrentNode(slicer.util.getNode("Added ScalarVolume"))
    assert chosen.logic.getParameterNode().fixedVolume.GetName() == "Added ScalarVolume"


def test_adding_a_scene_while_another_module_is_shown_keeps_every_choice(chosen, added, other_module):
    before = choices(chosen)
    other_module()
    slicer.util.loadScene(str(added))
    assert choices(chosen)[0] == before[0]
    slicer.util.selectModule("BSAFusion")
    assert choices(chosen) == before


def test_a_panel_that_is_not_shown_leaves_the_parameter_node_alone(chosen, other_module):
    before = choices(chosen)[0]
    other_module()
    for selector in selectors.values():
        getattr(chosen.ui, selector).setCurrentNode(None)
    assert choices(chosen)[0] == before
    slicer.util.selectModule("BSAFusion")
    assert choices(chosen) == [before, before]


def test_a_run_that_ends_while_another_module_is_shown_is_there_afterwards(ready, begin, control, other_module):
    begin()
    other_module()
    control.let_go()
    harness.wait_until(lambda: not ready.run.running, seconds=60)
    parameters = ready.logic.getParameterNode()
    assert parameters.fusedVolume.GetName() == "MRI + PET (BSAFusion fused)"
    slicer.util.selectModule("BSAFusion")
    assert ready.ui.fusedVolumeSelector.currentNode() is parameters.fusedVolume
    assert ready.ui.resultsCollapsibleButton.visible
    assert ready.ui.savePageButton.enabled
    assert ready.ui.viewsCollapsibleButton.visible


def calls(function):
    """Count the functions of C++ and Python that a call of `function` calls."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_a_removed_node_costs_the_same_in_a_large_scene(ready, scene):
    def models(number):
        return [scene.AddNewNodeByClass("vtkMRMLModelNode", "Model") for _ in range(number)]

    few = models(5)
    in_small_scene = calls(lambda: scene.RemoveNode(few[2]))
    many = models(200)
    in_large_scene = calls(lambda: scene.RemoveNode(many[100]))
    assert 0 < in_large_scene <= in_small_scene


def test_a_parameter_node_that_cannot_be_read_leaves_a_module_that_can_be_closed_and_reloaded(running, scene):
    harness.load_module(repository / "BSAFusion" / "BSAFusion.py")
    import BSAFusion

    BSAFusion.BSAFusionLogic().getParameterNode().parameterNode.SetParameter("strength", "much")
    with pytest.raises(ValueError, match="much"):
        slicer.util.getModuleWidget("BSAFusion")
    widget = slicer.modules.BSAFusionWidget
    scene.Clear()
    widget.enter()
    assert "no fixed volume" in widget.ui.applyButton.toolTip
    widget.cleanup()


def parameters_alive():
    gc.collect()
    return sum(type(thing) is Parameters for thing in gc.get_objects())


def test_a_visit_leaves_no_parameters_behind(ready, other_module):
    """Each would read all of its values again at every change."""
    other_module()
    slicer.util.selectModule("BSAFusion")
    first = parameters_alive()
    for _visit in range(3):
        other_module()
        slicer.util.selectModule("BSAFusion")
    assert parameters_alive() == first


def test_point_lists_that_are_not_chosen_any_more_are_let_go(ready, scene):
    parameters = ready.logic.getParameterNode()
    parameters.fixedLandmarks = points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Points")
    assert points.HasObserver(points.PointModifiedEvent)
    parameters.fixedLandmarks = None
    assert not points.HasObserver(points.PointModifiedEvent)


def test_the_panel_follows_a_new_parameter_node_where_the_user_removes_its_own(ready, scene, heads):
    removed = ready.logic.getParameterNode().parameterNode
    scene.RemoveNode(removed)
    assert removed.GetScene() is None
    assert ready.ui.fixedVolumeSelector.currentNode() is None
    for selector, head in zip((ready.ui.fixedVolumeSelector, ready.ui.movingVolumeSelector), heads, strict=True):
        selector.setCurrentNode(head)
    parameters = ready.logic.getParameterNode()
    assert (parameters.fixedVolume, parameters.movingVolume) == heads
    assert ready.ui.applyButton.enabled


def test_a_removed_parameter_node_is_not_made_again_while_another_module_is_shown(ready, scene, other_module):
    other_module()
    scene.RemoveNode(ready.logic.getParameterNode().parameterNode)
    assert not [
        node for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode") if "BSAFusion" in node.GetID()
    ]


def test_widgets_show_what_a_script_has_just_chosen(ready, scene, heads):
    """Of all values, the wrapper's first one would otherwise be read after the widgets are written."""
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    selector = ready.ui.fixedVolumeSelector
    ready.setParameters(None)
    connection = Connection(Parameters(node), {"fixedVolume": selector})
    Parameters(node).fixedVolume = heads[1]
    assert selector.currentNode() is heads[1]
    connection.close()


@pytest.mark.parametrize("path", ["own.safetensors", "own.PKL", "own"])
def test_the_path_of_the_weights_is_followed_whatever_its_suffix_and_can_be_cleared(ready, path):
    editor, parameters = ready.ui.weightsPathLineEdit.findChild(qt.QLineEdit), ready.logic.getParameterNode()
    editor.text = path
    assert parameters.weights == path
    editor.text = ""
    assert parameters.weights == ""
    parameters.strength = 0.5  # an update of all widgets brings nothing back
    assert editor.text == parameters.weights == ""


@pytest.mark.parametrize("closing", [False, True])
def test_leaving_or_closing_while_a_checkerboard_is_made_leaves_the_panel_in_order(
    ready, finish, scene, other_module, closing
):
    """Slicer's wait cursor lets waiting events happen."""
    finish()
    parameters = ready.logic.getParameterNode()
    parameters.view = View.CHECKERBOARD
    left = []

    def leave():
        scene.Clear() if closing else other_module()
        left.append(ready._parameters)

    qt.QTimer.singleShot(0, leave)
    ready.views.show(parameters)
    assert len(left) == 1
    assert ready.views._parameters is ready._parameters
    assert parameters not in (None, ready._parameters)
