"""Which widget shows which type of parameter, and how: the pairs that Slicer's manual lists under GUI Connection."""

import enum
import pathlib
import typing

import ctk
import qt
import slicer

from .annotations import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    WithinRange,
    findFirstAnnotation,
    splitAnnotations,
    unannotatedType,
)
from .packs import FloatRange


class GuiConnector:
    """Reads and writes the value of one widget, and calls back when the user has changed it."""

    def __init__(self, widget, signal, read, write):
        self._widget, self._signal, self.read, self.write = widget, signal, read, write
        self._callback = None

    def widget(self):
        return self._widget

    def onChanged(self, callback):
        connected = self._callback is not None
        self._callback = callback
        if self._signal and callback and not connected:
            getattr(self._widget, self._signal).connect(self.changed)
        elif self._signal and connected and not callback:
            getattr(self._widget, self._signal).disconnect(self.changed)

    def changed(self):
        if self._callback:
            self._callback()


def _of_property(widget, signal, name, from_widget=lambda value: value, to_widget=lambda value: value):
    return GuiConnector(
        widget, signal, lambda: from_widget(getattr(widget, name)), lambda v: setattr(widget, name, to_widget(v))
    )


def _set_up(widget, annotations, lowest, highest):
    for annotation, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
        found = findFirstAnnotation(annotations, annotation)
        if found:
            setattr(widget, name, found.value)
    within = findFirstAnnotation(annotations, WithinRange)
    low, high = within or findFirstAnnotation(annotations, Minimum), within or findFirstAnnotation(annotations, Maximum)
    if type(widget) in (qt.QSlider, ctk.ctkSliderWidget) and not (low and high):
        raise RuntimeError(f"{widget.name} cannot show a number without bounds")
    widget.minimum = low.minimum if low else lowest
    widget.maximum = high.maximum if high else highest


def _of_combo(widget, items):
    """Fill a combo box with (text, value)."""
    widget.clear()
    for text, _ in items:
        widget.addItem(text)
    values = [value for _, value in items]

    def write(value):
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return GuiConnector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _node_types(datatype):
    """Return the classes of a node type, or of a Union of node types and None; else nothing."""
    members = typing.get_args(datatype) if typing.get_origin(datatype) is typing.Union else (datatype,)
    members = [unannotatedType(member) for member in members if member is not type(None)]
    if all(isinstance(member, type) and issubclass(member, slicer.vtkMRMLNode) for member in members):
        return [member.__name__ for member in members]
    return []


def createGuiConnector(widget, datatype):  # noqa: C901
    """Return the connector of a widget and a type; raise RuntimeError where Slicer has none."""
    plain, annotations = splitAnnotations(datatype)
    kind = type(widget)
    choice = findFirstAnnotation(annotations, Choice)
    if plain is bool and kind in (qt.QCheckBox, ctk.ctkCheckBox):
        return _of_property(widget, "stateChanged", "checked")
    if plain is bool and kind is qt.QPushButton:
        widget.checkable = True
        return _of_property(widget, "toggled", "checked")
    if plain is int and kind in (qt.QSlider, qt.QSpinBox):
        _set_up(widget, annotations, -(2**31), 2**31 - 1)
        return _of_property(widget, "valueChanged", "value")
    if plain is float and kind in (qt.QDoubleSpinBox, ctk.ctkDoubleSpinBox, ctk.ctkSliderWidget):
        _set_up(widget, annotations, float("-inf"), float("inf"))
        return _of_property(widget, "valueChanged", "value")
    if kind in (qt.QComboBox, ctk.ctkComboBox) and plain in (int, float, str, bool):
        if choice is None:
            raise RuntimeError(f"{widget.name} is a combo box, which needs the annotation Choice")
        return _of_combo(widget, [(str(value), value) for value in choice.choices])
    if kind in (qt.QComboBox, ctk.ctkComboBox) and isinstance(plain, type) and issubclass(plain, enum.Enum):
        return _of_combo(widget, [(value.label() if hasattr(plain, "label") else value.name, value) for value in plain])
    if plain is str and kind is qt.QLineEdit:
        return _of_property(widget, "textChanged", "text")
    if plain is str and kind is qt.QTextEdit:
        return _of_property(widget, "textChanged", "plainText")
    if plain is str and kind is qt.QLabel:
        return _of_property(widget, None, "text")
    is_path = isinstance(plain, type) and issubclass(plain, pathlib.PurePath)
    if is_path and kind in (ctk.ctkPathLineEdit, ctk.ctkDirectoryButton):
        folder = kind is ctk.ctkDirectoryButton
        signal, name = ("directoryChanged", "directory") if folder else ("currentPathChanged", "currentPath")
        return _of_property(widget, signal, name, plain, str)
    if plain is FloatRange and kind in (ctk.ctkRangeWidget, ctk.ctkDoubleRangeSlider):
        bounds = findFirstAnnotation(annotations, RangeBounds)
        if bounds is None:
            raise RuntimeError(f"{widget.name} needs the annotation RangeBounds")
        _set_up(widget, [*annotations, WithinRange(bounds.minimum, bounds.maximum)], 0, 0)
        return GuiConnector(
            widget,
            "valuesChanged",
            lambda: FloatRange(widget.minimumValue, widget.maximumValue),
            lambda value: widget.setValues(value.minimum, value.maximum),
        )
    if kind is slicer.qMRMLNodeComboBox and _node_types(plain):
        widget.nodeTypes = _node_types(plain)
        return GuiConnector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{kind}'")
