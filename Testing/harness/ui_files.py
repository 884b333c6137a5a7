""".ui files as Slicer loads them: with the widgets of CTK and qMRML, whose scene connections are made in Python."""

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtUiTools

from . import ctk, qmrml
from .pythonqt import QtCore, qt


def _stand_ins() -> dict[str, type]:
    widgets = {name: value for name, value in vars(ctk).items() if name.startswith("ctk")}
    return {**widgets, **qmrml.names(), "qSlicerWidget": qmrml.qMRMLWidget}


class _Builder(QtUiTools.QUiLoader):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[Any] = []

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        stand_in = _stand_ins().get(class_name)
        if stand_in is None:
            return super().createWidget(class_name, parent, name)
        widget = stand_in(parent)
        widget.objectName = name
        self.made.append(widget)
        return widget


class QUiLoader:
    """Qt's loader of .ui files, as far as slicer.util.loadUI uses it: load(file) gives the widget, or None."""

    def load(self, file: Any, parent: Any = None) -> Any:
        root = ElementTree.fromstring(bytes(file.readAll()))
        _check_classes(root)
        connections = _take_scene_connections(root)
        flags = _take_flags(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        builder = _Builder()
        widget = builder.load(buffer, parent)
        if widget is None:
            return None
        # Python's garbage collector does not see that a parent keeps its children, and would empty those of Python.
        widget.__dict__["_made"] = builder.made
        _check_properties(root, widget)
        for name, prop, value in flags:
            setattr(_find(widget, name), prop, value)
        for sender, signal, receiver, slot in connections:
            _find(widget, sender).connect(signal, _find(widget, receiver), slot)
        return widget


def _find(widget: Any, name: str) -> Any:
    return widget if widget.objectName == name else widget.findChild(qt.QObject, name)


def _check_classes(root: ElementTree.Element) -> None:
    known = {*_stand_ins(), *_Builder().availableWidgets(), "Line"}
    for element in root.iter("widget"):
        if element.get("class") not in known:
            name = element.get("name")
            raise RuntimeError(f"the harness has no widget {element.get('class')}, which the .ui file names as {name}")


def _check_properties(root: ElementTree.Element, top: Any) -> None:
    """Qt would quietly keep a property that a widget does not have as a dynamic one."""
    for element in root.iter("widget"):
        widget = _find(top, element.get("name"))
        for prop in element.findall("property"):
            missing = widget.metaObject().indexOfProperty(prop.get("name")) < 0
            made_by_builder = prop.get("name") == "buddy"  # which Qt's builder knows and QLabel has no property for
            if prop.get("stdset") != "0" and missing and widget.isWidgetType() and not made_by_builder:
                raise RuntimeError(f"{widget.name} ({element.get('class')}) has no property {prop.get('name')}")


def _take_scene_connections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    """Take out connections with VTK's arguments, which Qt cannot pass from Python to Python."""
    taken = []
    for connections in root.findall("connections"):
        for connection in list(connections):
            texts = tuple(connection.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
            if "vtk" in texts[1]:
                connections.remove(connection)
                taken.append(texts)
    return taken


def _take_flags(root: ElementTree.Element) -> list[tuple[str, str, int]]:
    """Enumerations and flags of the stand-ins, (widget, property, value), taken out since only they know the names."""
    taken = []
    for widget in root.iter("widget"):
        stand_in = _stand_ins().get(widget.get("class"))
        for prop in list(widget.findall("property")) if stand_in else []:
            value = prop.find("set") if prop.find("set") is not None else prop.find("enum")
            names = [text.split("::")[-1] for text in value.text.split("|")] if value is not None else []
            if names and all(name in vars(stand_in) for name in names):
                widget.remove(prop)
                number = 0
                for name in names:
                    number |= getattr(stand_in, name)
                taken.append((widget.get("name"), prop.get("name"), number))
    return taken


qt.QUiLoader = QUiLoader
