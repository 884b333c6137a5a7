"""A scripted module is loaded, shown, reloaded and tested as Slicer does it, and slicer.util finds its parts."""

import unittest

import pytest
import qt
import slicer

from Testing import harness

source = """
import qt, slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *

calls = []

class Trial(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Trial")
        parent.categories = ["Registration"]

class TrialWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        calls.append("setup")
        self.logic = TrialLogic()
        self.button = qt.QPushButton(_("Apply"))
        self.layout.addWidget(self.button)
        self.layout.addStretch(1)

    def enter(self):
        assert self.parent.visible
        calls.append("enter")

    def exit(self):
        calls.append("exit")

    def cleanup(self):
        calls.append("cleanup")

class TrialLogic(ScriptedLoadableModuleLogic):
    answer = 1

class TrialTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("testing")
        calls.append("test")
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "Trial.py"
    path.write_text(source, encoding="utf-8")
    (tmp_path / "Resources" / "Icons").mkdir(parents=True)
    return path


@pytest.fixture
def module(slicer_app, path):
    return harness.load_module(path)


@pytest.fixture
def calls(module):
    import Trial

    return Trial.calls


def test_a_loaded_module_is_found_by_name(module, path):
    assert (module.title, module.name, module.categories) == ("Trial", "Trial", ["Registration"])
    assert slicer.modules.trial is module
    assert slicer.util.getModule("Trial") is module
    assert slicer.util.modulePath("Trial") == str(path)
    assert slicer.util.moduleNames() == ["Trial"]
    with pytest.raises(RuntimeError, match="Could not find module"):
        slicer.util.getModule("Other")


def test_the_widget_is_made_when_it_is_first_asked_for(module, calls):
    assert calls == []
    assert not hasattr(slicer.modules, "TrialWidget")
    widget = slicer.util.getModuleWidget("Trial")
    assert calls == ["setup"]
    assert slicer.modules.TrialWidget is widget is slicer.util.getModuleWidget("Trial")
    assert widget.parent.mrmlScene() is slicer.mrmlScene
    assert widget.resourcePath("UI/Trial.ui").endswith("Resources/UI/Trial.ui")


def test_the_logic_is_that_of_the_widget(module):
    assert slicer.util.getModuleLogic("Trial") is slicer.util.getModuleWidget("Trial").logic


def test_selecting_a_module_enters_and_shows_it(module, calls, tmp_path):
    slicer.util.selectModule("Trial")
    widget = slicer.util.getModuleWidget("Trial")
    assert calls == ["setup", "enter"]
    assert widget.button.visible
    assert slicer.util.selectedModule() == "Trial"
    other = tmp_path / "Other.py"
    other.write_text(source.replace("Trial", "Other"), encoding="utf-8")
    harness.load_module(other)
    slicer.util.selectModule("Other")
    assert calls == ["setup", "enter", "exit"]
    assert not widget.button.visible


def test_reload_reads_the_file_again_and_replaces_the_widget(module, calls, path):
    old = slicer.util.getModuleWidget("Trial")
    # Of another length: Python takes a file of the same second and size for the one that it has compiled.
    path.write_text(source.replace("answer = 1", "answer = 20"), encoding="utf-8")
    old.onReload()
    new = slicer.util.getModuleWidget("Trial")
    assert calls == ["setup", "cleanup"]
    assert new is not old
    assert new.logic.answer == 20
    assert slicer.modules.TrialWidget is new
    assert not old.button.isVisibleTo(old.parent)
    assert new.button.isVisibleTo(new.parent)


def test_the_self_test_is_registered_and_runs(module, calls):
    slicer.selfTests["Trial"](msec=10)
    assert calls == ["test"]


def test_a_skipped_test_is_an_error_in_reload_and_test(slicer_app, path):
    """Slicer calls runTest plainly, so that unittest's SkipTest is an exception like any other."""
    path.write_text(source.replace('self.delayDisplay("testing")', 'self.skipTest("no torch")'), encoding="utf-8")
    harness.load_module(path)
    with pytest.raises(unittest.SkipTest, match="no torch"):
        slicer.util.getModuleWidget("Trial").onReloadAndTest()
    assert slicer_app.messages[0].text.startswith("Reload and Test failed.")


@pytest.mark.parametrize("there", [True, False])
def test_in_developer_mode_the_ui_file_can_be_edited_where_resource_path_finds_it(there, slicer_app, path):
    slicer.app.userSettings().setValue("Developer/DeveloperMode", True)
    if there:
        (path.parent / "Resources" / "UI").mkdir()
        (path.parent / "Resources" / "UI" / "Trial.ui").touch()
    harness.load_module(path)
    widget = slicer.util.getModuleWidget("Trial")
    assert widget.reloadButton.text == "Reload"
    assert (widget.editModuleUiButton is not None) == there


def test_unloading_cleans_up_and_leaves_nothing(path):
    with harness.running():
        harness.load_module(path)
        import Trial

        slicer.util.getModuleWidget("Trial")
        calls = Trial.calls
    assert calls == ["setup", "cleanup"]
    assert not hasattr(slicer.modules, "trial")
    assert not hasattr(slicer.modules, "TrialWidget")


def test_the_parameter_node_is_one_for_a_scene_and_carries_the_modules_name(module):
    logic = slicer.util.getModuleLogic("Trial")
    node = logic.getParameterNode()
    assert node is logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == "Trial"
    assert node.GetSingletonTag() == "Trial"
    slicer.mrmlScene.Clear(False)
    assert logic.getParameterNode().GetScene() is slicer.mrmlScene


def test_a_constructor_that_raises_is_heard(slicer_app, path):
    path.write_text(source.replace('calls.append("setup")', 'raise ValueError("no torch")'), encoding="utf-8")
    harness.load_module(path)
    with pytest.raises(ValueError, match="no torch"):
        slicer.util.getModuleWidget("Trial")


def test_a_widget_without_a_parent_makes_its_own(module):
    import Trial

    widget = Trial.TrialWidget()
    assert isinstance(widget.parent, slicer.qMRMLWidget)
    assert isinstance(widget.layout, qt.QVBoxLayout)
