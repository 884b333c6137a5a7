"""Presets and the reset of all settings, by the widgets that the user has."""

import pytest
from vtkmodules.vtkCommonCore import vtkCommand

from BSAFusionLib.panel.parameters import Modality, Start, request
from BSAFusionLib.presets import PRESETS
from BSAFusionLib.settings import Settings
from Testing import harness
from Testing.panel.conftest import rigid
from Testing.panel.test_persistence import choices


@pytest.fixture
def parameters(widget):
    return widget.logic.getParameterNode()


@pytest.fixture
def changes(parameters):
    """The modifications of the parameter node."""
    heard = []
    tag = parameters.AddObserver(vtkCommand.ModifiedEvent, lambda caller, event: heard.append(event))
    yield heard
    parameters.RemoveObserver(tag)


def choose(ui, name):
    ui.presetComboBox.currentIndex = ui.presetComboBox.findData(name)


def test_the_defaults_are_shown_as_the_preset_that_they_are(ui):
    assert ui.presetComboBox.currentText == "Brain, default"
    assert ui.presetComboBox.toolTip == PRESETS["default"].help


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "default"])
def test_a_preset_sets_its_choices_at_once_and_the_widgets_show_them(name, ui, parameters, heads, changes):
    parameters.fixedVolume, parameters.movingVolume = heads
    parameters.device, parameters.modality = "cuda:7", Modality.SPECT
    changes.clear()
    choose(ui, name)
    assert len(changes) == 1
    assert ui.presetComboBox.toolTip == PRESETS[name].help
    wanted = request(parameters)
    assert {field: wanted[field] for field in PRESETS[name].settings} == dict(PRESETS[name].settings)
    assert ui.strengthSlider.value == PRESETS[name].settings["strength"]
    assert ui.threeAxesCheckBox.checked == PRESETS[name].settings["three_axes"]
    assert (wanted["device"], wanted["modality"]) == ("cuda:7", "spect")
    choose(ui, "default")
    assert ui.strengthSlider.value == Settings.strength


def test_other_choices_than_those_of_a_preset_are_called_custom(ui, parameters):
    ui.strengthSlider.value = 0.5
    assert ui.presetComboBox.currentText == "Custom"
    choose(ui, "rigid")
    choose(ui, "")
    assert ui.presetComboBox.currentText == PRESETS["rigid"].label, "Custom itself chooses nothing"
    assert parameters.strength == 0
    ui.startComboBox.currentIndex = list(Start).index(Start.TRANSFORM)
    assert ui.presetComboBox.currentText == "Custom", "no transform is chosen yet"


def test_a_reset_sets_all_settings_back_at_once_and_keeps_the_inputs(ui, parameters, heads, changes, add_transform):
    defaults = request(parameters)
    for name, value in choices.items():
        parameters.setValue(name, value)
    parameters.fixedVolume, parameters.movingVolume = heads
    parameters.startTransform = add_transform(rigid())
    parameters.carry = [heads[1]]
    ui.advancedCollapsibleButton.collapsed = False
    changes.clear()
    harness.click(ui.resetButton)
    assert len(changes) == 1
    kept = {"fixedVolume": heads[0], "movingVolume": heads[1], "carry": [heads[1]], "modality": "spect"}
    now = request(parameters)
    assert {name: now[name] for name in kept} == kept
    assert {name: now[name] for name in defaults if name not in {*kept, "outputs"}} == {
        name: value for name, value in defaults.items() if name not in {*kept, "outputs"}
    }
    assert parameters.startTransform is not None
    assert not parameters.makeRegistered and parameters.checkerFields == choices["checkerFields"]
    assert (parameters.ctWindowCentre, parameters.ctWindowWidth) == (40, 80)
    assert ui.presetComboBox.currentText == "Brain, default"
    assert ui.deviceComboBox.currentText == "Automatic"
    assert ui.weightsPathLineEdit.currentPath == ""
