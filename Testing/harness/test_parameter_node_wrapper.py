"""slicer.parameterNodeWrapper: typed values in a parameter node, bound to widgets (Slicer's manual, Parameter Nodes)."""

# ruff: noqa: UP007, UP045, E501  (all the ways of writing a union)

import enum
import pathlib
from typing import Annotated, Optional, Union

import ctk
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    FloatRange,
    RangeBounds,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)

from Testing import harness


class Modality(enum.Enum):
    automatic = "auto"
    ct = "ct"

    def label(self):
        return {"auto": "Automatic", "ct": "CT"}[self.value]


@parameterPack
class Grid:
    spacing: Annotated[float, WithinRange(1, 50)] = 10.0
    shown: bool = True


@parameterNodeWrapper
class Parameters:
    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    start: Union[slicer.vtkMRMLLinearTransformNode, slicer.vtkMRMLGridTransformNode, None]
    axis: Annotated[str, Choice(["automatic", "axial"])] = "automatic"
    smoothing: Annotated[float, WithinRange(0, 20), Default(8.0)]
    batch: Annotated[int, WithinRange(0, 64)]
    refine: bool = True
    label: str
    modality: Modality
    weights: pathlib.Path
    strength: Optional[float]
    window: Annotated[FloatRange, RangeBounds(-1000, 3000), Default(FloatRange(0, 80))]
    offsets: list[int]
    grid: Grid


@pytest.fixture
def node(scene):
    return scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def parameters(node):
    return Parameters(node)


def test_values_are_the_defaults_until_they_are_set(parameters):
    assert parameters.fixedVolume is None
    assert parameters.start is None
    assert parameters.strength is None
    assert (parameters.axis, parameters.smoothing, parameters.batch, parameters.refine) == ("automatic", 8.0, 0, True)
    assert parameters.modality is Modality.automatic
    assert (parameters.window.minimum, parameters.window.maximum, parameters.grid.spacing) == (0, 80, 10)
    assert len(parameters.offsets) == 0


def test_values_lie_in_the_node_as_slicer_puts_them(node, parameters, add_volume):
    volume = add_volume("MRI")
    parameters.fixedVolume = volume
    parameters.smoothing, parameters.modality, parameters.weights = 2.5, Modality.ct, pathlib.Path("a/b")
    parameters.strength = 0.5
    parameters.offsets.append(3)
    parameters.grid.shown = False
    expected = {
        "fixedVolume": "",
        "smoothing": "2.5",
        "refine": "True",
        "modality": "ct",
        "weights": str(pathlib.Path("a/b")),
        "strength.0": "0.5",
        "window._minimum": "0",
        "window._maximum": "80",
        "offsets.len": "1",
        "offsets.0": "3",
        "grid.spacing": "10.0",
        "grid.shown": "False",
    }
    assert {name: node.GetParameter(name) for name in expected} == expected
    assert node.GetNodeReference("fixedVolume") is volume
    assert not node.HasParameter("strength.1")  # None, which it was before


def test_a_second_wrapper_reads_what_the_first_wrote(node, parameters):
    parameters.window = FloatRange(10, 20)
    parameters.strength = 0.25
    parameters.offsets = [1, 2]
    again = Parameters(node)
    assert (again.window.minimum, again.strength, list(again.offsets)) == (10, 0.25, [1, 2])


@pytest.mark.parametrize(
    ("name", "value"),
    [("smoothing", 21.0), ("smoothing", None), ("batch", 1.5), ("axis", "coronal"), ("label", 3), ("modality", "ct")],
)
def test_an_invalid_value_of_a_parameter_is_rejected_and_changes_nothing(parameters, name, value):
    before = getattr(parameters, name)
    with pytest.raises((ValueError, TypeError)):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_a_node_of_another_class_is_rejected(parameters, scene):
    with pytest.raises(TypeError):
        parameters.fixedVolume = scene.AddNewNodeByClass("vtkMRMLModelNode")
    parameters.start = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    with pytest.raises(TypeError):
        parameters.start = scene.AddNewNodeByClass("vtkMRMLModelNode")


def test_a_node_that_leaves_the_scene_leaves_its_parameter(parameters, scene, add_volume):
    parameters.fixedVolume = add_volume("MRI")
    scene.RemoveNode(parameters.fixedVolume)
    assert parameters.fixedVolume is None


def test_observers_hear_once_of_a_change_and_can_read_it(parameters):
    heard = []
    parameters.AddObserver("ModifiedEvent", lambda caller, event: heard.append(parameters.smoothing))
    parameters.smoothing = 3.0
    assert heard == [3.0]
    with slicer.util.NodeModify(parameters):
        parameters.smoothing, parameters.batch = 4.0, 2
    assert heard == [3.0, 4.0]


widgets = {
    "fixedVolume": lambda: slicer.qMRMLNodeComboBox(),
    "axis": lambda: qt.QComboBox(),
    "smoothing": lambda: ctk.ctkSliderWidget(),
    "batch": lambda: qt.QSpinBox(),
    "refine": lambda: qt.QCheckBox(),
    "label": lambda: qt.QLineEdit(),
    "modality": lambda: qt.QComboBox(),
    "weights": lambda: ctk.ctkPathLineEdit(),
    "window": lambda: ctk.ctkRangeWidget(),
    "grid.spacing": lambda: qt.QDoubleSpinBox(),
    "grid.shown": lambda: qt.QPushButton(),
}


@pytest.fixture
def panel(scene):
    outer = qt.QWidget()
    layout = qt.QVBoxLayout(outer)
    for name, make in widgets.items():
        widget = make()
        widget.name = name.replace(".", "_")
        widget.setProperty("SlicerParameterName", name)
        layout.addWidget(widget)
        if name == "fixedVolume":
            widget.noneEnabled = True
            widget.setMRMLScene(scene)
    return outer


@pytest.fixture
def ui(panel):
    return slicer.util.childWidgetVariables(panel)


def test_connected_widgets_take_values_limits_and_choices_from_the_parameters(parameters, ui):
    parameters.label = "first"
    parameters.connectGui(ui)
    assert ui.label.text == "first"
    assert (ui.smoothing.maximum, ui.smoothing.value) == (20, 8)
    assert (ui.batch.maximum, ui.window.minimum, ui.grid_spacing.maximum) == (64, -1000, 50)
    assert [ui.axis.itemText(i) for i in range(ui.axis.count)] == ["automatic", "axial"]
    assert [ui.modality.itemText(i) for i in range(ui.modality.count)] == ["Automatic", "CT"]
    assert list(ui.fixedVolume.nodeTypes) == ["vtkMRMLScalarVolumeNode"]


def test_what_the_user_changes_is_written(parameters, ui, add_volume):
    volume = add_volume("MRI")
    parameters.connectGui(ui)
    ui.fixedVolume.setCurrentNode(volume)
    ui.axis.currentIndex = 1
    ui.smoothing.value = 3
    ui.batch.value = 4
    harness.click(ui.refine)
    ui.label.text = "typed"
    ui.modality.currentIndex = 1
    ui.weights.currentPath = "w.safetensors"
    ui.window.setValues(20, 60)
    ui.grid_spacing.value = 5
    harness.click(ui.grid_shown)
    assert parameters.fixedVolume is volume
    assert (parameters.axis, parameters.smoothing, parameters.batch, parameters.refine) == ("axial", 3, 4, False)
    assert (parameters.label, parameters.modality) == ("typed", Modality.ct)
    assert parameters.weights == pathlib.Path("w.safetensors")
    assert (parameters.window.minimum, parameters.window.maximum) == (20, 60)
    assert (parameters.grid.spacing, parameters.grid.shown) == (5, False)


def test_what_a_script_or_the_scene_changes_is_shown(parameters, ui, node, add_volume):
    parameters.connectGui(ui)
    parameters.fixedVolume = add_volume("MRI")
    parameters.window = FloatRange(5, 6)
    parameters.grid.spacing = 7.0
    node.SetParameter("label", "from elsewhere")
    assert ui.fixedVolume.currentNode().GetName() == "MRI"
    assert (ui.window.minimumValue, ui.window.maximumValue) == (5, 6)
    assert ui.grid_spacing.value == 7
    assert ui.label.text == "from elsewhere"


def test_disconnected_widgets_are_left_alone(parameters, ui):
    tag = parameters.connectParametersToGui({"batch": ui.batch})
    parameters.disconnectGui(tag)
    ui.batch.value = 9
    assert parameters.batch == 0
    parameters.batch = 5
    assert ui.batch.value == 9


def test_connect_gui_gives_a_tag_that_disconnects(parameters, ui):
    tag = parameters.connectGui(ui)
    parameters.disconnectGui(tag)
    ui.batch.value = 9
    assert parameters.batch == 0


def test_a_union_may_be_written_with_a_bar(scene, add_volume):
    @parameterNodeWrapper
    class Choice:
        volume: slicer.vtkMRMLScalarVolumeNode | None

    choice = Choice(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    assert choice.volume is None
    choice.volume = add_volume("MRI")
    assert choice.volume.GetName() == "MRI"


def test_a_widget_that_cannot_show_a_type_is_rejected(parameters):
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        parameters.connectParametersToGui({"refine": qt.QSpinBox()})
    with pytest.raises(ValueError, match="Cannot find a param"):
        parameters.connectParametersToGui({"refined": qt.QCheckBox()})


def test_a_member_that_an_enum_lacks_cannot_be_read(node):
    node.SetParameter("modality", "mri")
    with pytest.raises(ValueError, match="mri"):
        Parameters(node)
