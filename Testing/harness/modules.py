"""Load, show and reload scripted modules as Slicer's factory does.

See https://github.com/Slicer/Slicer, Base/QTGUI/qSlicerScriptedLoadableModule.cxx and ...ModuleWidget.cxx.
"""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import slicer

from .ctk import Property, stored
from .pythonqt import qt, stands_for_cpp
from .qmrml import qMRMLWidget


@stands_for_cpp
class qSlicerScriptedLoadableModule(qt.QObject):
    """The C++ side of a scripted module: what the class of its name sets, and the widget, made when first asked for."""

    title = stored(str, "title", "")
    categories = stored("QStringList", "categories", [])
    dependencies = stored("QStringList", "dependencies", [])
    contributors = stored("QStringList", "contributors", [])
    associatedNodeTypes = stored("QStringList", "associatedNodeTypes", [])
    helpText = stored(str, "helpText", "")
    acknowledgementText = stored(str, "acknowledgementText", "")
    icon = stored(qt.QIcon, "icon", qt.QIcon())
    hidden = stored(bool, "hidden", False)
    widgetRepresentationCreationEnabled = stored(bool, "widgetRepresentationCreationEnabled", True)
    index = stored(int, "index", -1)
    name = Property(str, lambda self: self._name)
    path = Property(str, lambda self: self._path)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._name, self._path = path.stem, str(path)
        self._self = self._widget = None

    def widgetRepresentation(self) -> "qSlicerScriptedLoadableModuleWidget":
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> "qSlicerScriptedLoadableModuleWidget":
        widget = qSlicerScriptedLoadableModuleWidget(self)
        widget.setMRMLScene(slicer.mrmlScene)
        widget._instantiate()
        return widget

    def self(self) -> Any:
        return self._self

    def _delete(self) -> None:
        if self._widget is not None:
            self._widget.deleteLater()
        for attribute in (self._name.lower(), f"{self._name}Widget", f"{self._name}Instance"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
        getattr(slicer, "selfTests", {}).pop(self._name, None)
        sys.modules.pop(self._name, None)
        self._self = self._widget = None


@stands_for_cpp
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The C++ side of a scripted module's widget, the `parent` of its class <module>Widget; has a vertical layout."""

    isEntered = Property(bool, lambda self: self._entered)

    def __init__(self, module: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        self._module, self._self, self._entered = module, None, False
        qt.QVBoxLayout(self)

    def _instantiate(self) -> None:
        name = f"{self._module.name}Widget"
        self.objectName = name
        self._self = getattr(sys.modules[self._module.name], name)(self)
        setattr(slicer.modules, name, self._self)
        self._self.setup()

    def module(self) -> qSlicerScriptedLoadableModule:
        return self._module

    def self(self) -> Any:
        return self._self

    def reload(self) -> None:
        """Make a new object of the reloaded file's class and call its setup, but not its enter."""
        self._instantiate()

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._self, "enter"):
            self._self.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._self, "exit"):
            self._self.exit()


def load_module(path: str | Path) -> qSlicerScriptedLoadableModule:
    """Loads a scripted module's file: slicer.modules.<name in lower case> then, and slicer.util.getModule... find it.

    Its widget is made by the first slicer.util.getModuleWidget, getModuleLogic or selectModule, as in Slicer. What the
    file raises is raised; Slicer would log it and go on without the module.
    """
    path = Path(path).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    file = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = file
    spec.loader.exec_module(file)
    module = qSlicerScriptedLoadableModule(path)
    module._self = getattr(file, path.stem)(module)
    setattr(slicer.modules, f"{path.stem}Instance", module._self)
    setattr(slicer.modules, path.stem.lower(), module)
    manager = slicer.app.moduleManager()
    manager._modules[path.stem] = module
    manager.moduleLoaded.emit(path.stem)
    return module


_selected: list[str] = []


def select_module(module: Any) -> None:
    """slicer.util.selectModule: leaves the module that is shown, and enters and shows another."""
    name = module if isinstance(module, str) else module.name
    manager = slicer.app.moduleManager()
    if not manager.module(name):
        raise RuntimeError(f"Could not find module with name '{name}'")
    while _selected:
        left = manager.module(_selected.pop())
        if left and left._widget:
            left._widget.exit()
            left._widget.hide()
    widget = manager.module(name).widgetRepresentation()
    _selected.append(name)
    widget.show()
    widget.enter()


def selected_module() -> str:
    return _selected[-1] if _selected else ""


def put_into_slicer() -> None:
    slicer.modules = types.ModuleType("slicer.modules")
    sys.modules["slicer.modules"] = slicer.modules
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    slicer.util.selectModule = select_module
    slicer.util.selectedModule = selected_module
