"""slicer.ScriptedLoadableModule where Slicer's own is not given: what a scripted module derives its classes from.

Written after the behaviour of Base/Python/slicer/ScriptedLoadableModule.py in https://github.com/Slicer/Slicer; without
screenshots and the editing of source code.
"""

import importlib
import logging
import os
import unittest

import ctk
import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


def _without(ending, obj):
    name = type(obj).__name__
    return name.removesuffix(ending)


class ScriptedLoadableModule:
    """Describes a module before it is opened, by attributes of `parent`, the C++ module."""

    def __init__(self, parent):
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        for ending in (".svg", ".png"):
            path = self.resourcePath(f"Icons/{self.moduleName}{ending}")
            if os.path.isfile(path):
                parent.icon = qt.QIcon(path)
                break
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename):
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage=None):
        url = (
            slicer.app.documentationBaseUrl + docPage if docPage else slicer.app.moduleDocumentationUrl(self.moduleName)
        )
        return f'<p>For more information see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec=100, **kwargs):
        """Runs the class <module>Test of the module's file."""
        file = importlib.import_module(type(self).__module__)
        test = getattr(file, f"{self.moduleName}Test", None)
        if test is None:
            raise AssertionError(f"Test case class not found: {file.__name__}.{self.moduleName}Test")
        case = test()
        case.messageDelay = msec
        case.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel; `parent` is the C++ widget it fills, made here where none is given."""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = _without("Widget", self)
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        self.parent = parent
        if not parent:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if not parent:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename):
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self):
        self.setupDeveloperSection()

    def setupDeveloperSection(self):
        """Add developer mode's buttons, which reload and test the module and edit its .ui file."""
        if not self.developerMode:
            return
        self.reloadCollapsibleButton = ctk.ctkCollapsibleButton("Reload && Test")
        self.layout.addWidget(self.reloadCollapsibleButton)
        row = qt.QHBoxLayout(self.reloadCollapsibleButton)

        def add(text, function):
            button = qt.QPushButton(text)
            button.connect("clicked()", function)
            row.addWidget(button)
            return button

        self.reloadButton = add("Reload", self.onReload)
        self.reloadTestButton = add("Reload and Test", self.onReloadAndTest)
        self.restartButton = add("Restart Slicer", slicer.app.restart)
        self.editModuleUiButton = None
        ui_file = self.resourcePath(f"UI/{self.moduleName}.ui")
        if os.path.isfile(ui_file):
            self.editModuleUiButton = add("Edit UI", lambda: slicer.util.startQtDesigner(ui_file))

    def cleanup(self):
        """Called before the module is unloaded, for the module to override."""

    def _onModuleAboutToBeUnloaded(self, moduleName):
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def onReload(self):
        slicer.util.reloadScriptedModule(self.moduleName)

    def onTest(self, **kwargs):
        with slicer.util.tryWithErrorDisplay("Test failed."):
            self._runTest(**kwargs)

    def onReloadAndTest(self, **kwargs):
        with slicer.util.tryWithErrorDisplay("Reload and Test failed."):
            self.onReload()
            self._runTest(**kwargs)

    def _runTest(self, **kwargs):
        delay = slicer.app.userSettings().value("Developer/SelfTestDisplayMessageDelay")
        slicer.selfTests[self.moduleName](msec=int(delay), **kwargs)


class ScriptedLoadableModuleLogic:
    """The module's logic; stores its parameters in a node of the scene."""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = _without("Logic", self)
        self.isSingletonParameterNode = True  # False: a scene may hold several of them

    def getParameterNode(self):
        """Return the scene's first parameter node of this module; make one where there is none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node and node.GetAttribute("ModuleName") != self.moduleName:  # closing a scene may take it
                node.SetAttribute("ModuleName", self.moduleName)
        else:
            node = next(iter(self.getAllParameterNodes()), None)
        return node or slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self):
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        """Create a parameter node, not yet in the scene."""
        if slicer.mrmlScene is None:
            return None
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's self test: its runTest() is what Reload and Test runs."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    def delayDisplay(self, message, requestedDelay=None, msec=None):
        msec = getattr(self, "messageDelay", msec)
        slicer.util.delayDisplay(message, next((delay for delay in (msec, requestedDelay) if delay is not None), 100))

    def runTest(self):
        logging.warning(f"No test is defined in {type(self).__name__}")
