"""slicer.parameterNodeWrapper where Slicer's own is not given: typed parameters in a node of the scene, bound to widgets.

Written after the behaviour of Base/Python/slicer/parameterNodeWrapper in https://github.com/Slicer/Slicer and its manual
(Developer Guide, Parameter Nodes): values are kept in the vtkMRMLScriptedModuleNode as Slicer keeps them, so that a scene
saved with one is read with the other. Without dictionaries, own serializers and connectors, and the making of widgets.
"""

import enum
import logging
import pathlib
import typing
import weakref
from dataclasses import dataclass
from typing import Annotated, Any

import ctk
import qt
import slicer
from vtkmodules.vtkCommonCore import vtkCommand

SlicerParameterNamePropertyName = "SlicerParameterName"

# Annotations


class Default:
    """The value of a parameter that is not set: given, or made by a function each time."""

    def __init__(self, value=None, *, generator=None):
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


@dataclass
class Label:
    label: str


class Validator:
    """An annotation whose validate(value) raises where a value must not be written."""

    def validate(self, value):
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value):
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value):
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type {self.classtype}, not {type(value)}: {value!r}")


@dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum(Validator):
    minimum: float

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass
class Maximum(Validator):
    maximum: float

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass
class Choice(Validator):
    choices: list

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value!r}")


@dataclass
class Exclude(Validator):
    excludedValues: list

    def validate(self, value):
        if value in self.excludedValues:
            raise ValueError(f"Value must be none of {self.excludedValues}, is {value!r}")


@dataclass
class RangeBounds(Validator):
    minimum: float
    maximum: float

    def validate(self, value):
        if not (self.minimum <= value.minimum and value.maximum <= self.maximum):
            raise ValueError(f"Range must lie in [{self.minimum}, {self.maximum}], is {value}")


def splitAnnotations(datatype):
    """Annotated[int, a, b] -> (int, (a, b)); int -> (int, ())."""
    plain, *annotations = typing.get_args(Annotated[datatype, None])
    return plain, tuple(annotations[:-1])


def unannotatedType(datatype):
    return splitAnnotations(datatype)[0]


def findFirstAnnotation(annotations, annotationType):
    return next((annotation for annotation in annotations if isinstance(annotation, annotationType)), None)


# How values lie in the parameter node


class Serializer:
    """Values of one type in a parameter node, as a text under the parameter's name; validators see what is written."""

    cached = True

    def __init__(self, datatype, validators=()):
        self.datatype, self.validators = datatype, list(validators)

    def default(self):
        raise NotImplementedError

    def isIn(self, node, name):
        return node.HasParameter(name)

    def write(self, node, name, value):
        for validator in self.validators:
            validator.validate(value)
        self._write(node, name, value)

    def _write(self, node, name, value):
        node.SetParameter(name, self.toText(value))

    def read(self, node, name):
        return self.fromText(node.GetParameter(name))

    def remove(self, node, name):
        node.UnsetParameter(name)

    def toText(self, value):
        return str(value)

    def fromText(self, text):
        return self.datatype(text)


class _Number(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype, [NotNone(), IsInstance((int, float) if datatype is float else int)])

    def default(self):
        return 0


class _Text(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype, [NotNone(), IsInstance(datatype)])

    def default(self):
        return self.datatype()


class _Bool(_Text):
    def fromText(self, text):
        return text == "True"


class _Enum(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype, [IsInstance(datatype)])

    def default(self):
        return next(iter(self.datatype))

    def toText(self, value):
        return value.name

    def fromText(self, text):
        return self.datatype[text]


class _Node(Serializer):
    """A reference of the parameter's name, with an empty text beside it that says it has been set, be it to None."""

    def __init__(self, datatype):
        super().__init__(datatype, [IsInstance(datatype)])

    def default(self):
        return None

    def _write(self, node, name, value):
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name):
        super().remove(node, name)
        node.RemoveNodeReferenceIDs(name)


class _None(_Bool):
    def __init__(self, datatype):
        Serializer.__init__(self, datatype)

    def default(self):
        return None

    def toText(self, value):
        return "True"

    def fromText(self, text):
        return None

    def write(self, node, name, value):
        if value is not None:
            raise ValueError("Value must be None")
        super().write(node, name, value)


class _Union(Serializer):
    """One of several types, under the name and the number of the type."""

    def __init__(self, datatype):
        super().__init__(datatype)
        self.members = [_serializer(member) for member in typing.get_args(datatype)]
        self.cached = all(member.cached for member in self.members)

    def default(self):
        optional = len(self.members) == 2 and isinstance(self.members[1], _None)
        return None if optional else self.members[0].default()

    def _held(self, node, name):
        names = [(member, f"{name}_{index}") for index, member in enumerate(self.members)]
        return next(((member, part) for member, part in names if member.isIn(node, part)), None)

    def isIn(self, node, name):
        return self._held(node, name) is not None

    def _write(self, node, name, value):
        failure = TypeError(f"Unable to write value {value!r} of type {type(value)}")
        with slicer.util.NodeModify(node):
            before = self._held(node, name)
            for index, member in enumerate(self.members):
                try:
                    member.write(node, f"{name}_{index}", value)
                except (TypeError, ValueError) as error:
                    failure = error
                    continue
                if before and before[1] != f"{name}_{index}":
                    before[0].remove(node, before[1])
                return
        raise failure

    def read(self, node, name):
        member, part = self._held(node, name)
        return member.read(node, part)

    def remove(self, node, name):
        for index, member in enumerate(self.members):
            member.remove(node, f"{name}_{index}")


class _Tuple(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype)
        self.members = [_serializer(member) for member in typing.get_args(datatype)]
        self.cached = all(member.cached for member in self.members)

    def default(self):
        return tuple(member.default() for member in self.members)

    def _parts(self, name):
        return [(member, f"{name}_{index}") for index, member in enumerate(self.members)]

    def isIn(self, node, name):
        return self.members[0].isIn(node, f"{name}_0")

    def _write(self, node, name, value):
        if len(value) != len(self.members):
            raise ValueError("Unexpected number of tuple values")
        with slicer.util.NodeModify(node):
            for (member, part), item in zip(self._parts(name), value, strict=True):
                member.write(node, part, item)

    def read(self, node, name):
        return tuple(member.read(node, part) for member, part in self._parts(name))

    def remove(self, node, name):
        for member, part in self._parts(name):
            member.remove(node, part)


class _List(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype)
        self.member = _serializer(typing.get_args(datatype)[0])
        self.cached = self.member.cached

    def default(self):
        return []

    def isIn(self, node, name):
        return node.HasParameter(f"{name}_len")

    def _length(self, node, name):
        return int(node.GetParameter(f"{name}_len")) if self.isIn(node, name) else 0

    def _write(self, node, name, value):
        with slicer.util.NodeModify(node):
            for index, item in enumerate(value):
                self.member.write(node, f"{name}_{index}", item)
            for index in range(len(value), self._length(node, name)):
                self.member.remove(node, f"{name}_{index}")
            node.SetParameter(f"{name}_len", str(len(value)))

    def read(self, node, name):
        items = [self.member.read(node, f"{name}_{index}") for index in range(self._length(node, name))]
        return ObservedList(items, lambda value: self.write(node, name, value))

    def remove(self, node, name):
        for index in range(self._length(node, name)):
            self.member.remove(node, f"{name}_{index}")
        node.UnsetParameter(f"{name}_len")


class ObservedList(list):
    """A list that is written back whenever it is changed."""

    def __init__(self, items, save):
        super().__init__(items)
        self._save = save


def _saving(name):
    def method(self, *args, **kwargs):
        result = getattr(list, name)(self, *args, **kwargs)
        self._save(self)
        return self if name == "__iadd__" else result

    return method


for _name in ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"):
    setattr(ObservedList, _name, _saving(_name))
for _name in ("__setitem__", "__delitem__", "__iadd__"):
    setattr(ObservedList, _name, _saving(_name))


class _Pack(Serializer):
    """The members of a parameterPack, under the name, a dot, and theirs."""

    cached = False

    def __init__(self, datatype):
        super().__init__(datatype, [NotNone(), IsInstance(datatype)])

    def default(self):
        return self.datatype()

    def isIn(self, node, name):
        first = next(iter(self.datatype.allParameters.values()))
        return first.serializer.isIn(node, f"{name}.{first.basename}")

    def _write(self, node, name, value):
        with slicer.util.NodeModify(node):
            for member in self.datatype.allParameters.values():
                member.serializer.write(node, f"{name}.{member.basename}", value._values[member.basename])

    def read(self, node, name):
        pack = self.datatype.__new__(self.datatype)
        pack.__dict__["_values"] = {
            member.basename: member.serializer.read(node, f"{name}.{member.basename}")
            for member in self.datatype.allParameters.values()
        }
        pack.__dict__["_save"] = lambda: self.write(node, name, pack)
        return pack

    def remove(self, node, name):
        for member in self.datatype.allParameters.values():
            member.serializer.remove(node, f"{name}.{member.basename}")


def _serializer(annotated):
    datatype, annotations = splitAnnotations(annotated)
    serializer = _plainSerializer(datatype)
    serializer.validators += [annotation for annotation in annotations if isinstance(annotation, Validator)]
    return serializer


def _plainSerializer(datatype):
    origin = typing.get_origin(datatype)
    if origin in (typing.Union, tuple, list):  # X | None is another origin, which Slicer does not know either
        return {typing.Union: _Union, tuple: _Tuple, list: _List}[origin](datatype)
    if datatype in (int, float):
        return _Number(datatype)
    if datatype is bool:
        return _Bool(datatype)
    if isParameterPack(datatype):
        return _Pack(datatype)
    if isinstance(datatype, type):
        if datatype is str or issubclass(datatype, pathlib.PurePath):
            return _Text(datatype)
        if issubclass(datatype, enum.Enum):
            return _Enum(datatype)
        if issubclass(datatype, slicer.vtkMRMLNode):
            return _Node(datatype)
        if datatype is type(None):
            return _None(datatype)
    raise Exception(f"Unable to create serializer for type: {datatype}")


# Packs


@dataclass
class ParameterInfo:
    basename: str
    serializer: Serializer
    default: Any
    unalteredType: Any


def _declared(cls):
    """The parameters that a class declares by its annotations, with their defaults as Default."""
    parameters = {}
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        annotations = splitAnnotations(annotated)[1]
        try:
            serializer = _serializer(annotated)
        except Exception as error:
            raise Exception(f"Unable to create serializer for {cls} member {name}") from error
        if hasattr(cls, name):
            default = Default(getattr(cls, name))
        else:
            default = findFirstAnnotation(annotations, Default) or Default(serializer.default())
        unused = [a for a in annotations if not isinstance(a, (Default, Validator, Decimals, SingleStep, Label))]
        if unused:
            logging.warning(f"Unused annotations: {unused}")
        parameters[name] = ParameterInfo(name, serializer, default, annotated)
    return parameters


def isParameterPack(obj):
    return getattr(obj, "_is_parameterPack", False)


def parameterPack(classtype=None):
    """Class decorator: several typed values that are one parameter."""
    if classtype is None:
        return parameterPack
    parameters = _declared(classtype)
    if not parameters:
        raise ValueError("Unable to find any members in parameterPack")
    own_init = classtype.__dict__.get("__init__")

    def __init__(self, *args, **kwargs):
        self.__dict__["_values"] = {name: info.default.value for name, info in parameters.items()}
        self.__dict__["_save"] = lambda: None
        if own_init:
            own_init(self, *args, **kwargs)
            return
        given = dict(zip(parameters, args, strict=False))
        for name in kwargs:
            if name not in parameters or name in given:
                raise TypeError(f"__init__() got an unexpected or repeated argument '{name}'")
        for name, value in {**given, **kwargs}.items():
            setattr(self, name, value)

    def member(name):
        def write(self, value):
            for validator in parameters[name].serializer.validators:
                validator.validate(value)
            self._values[name] = value
            self._save()

        return property(lambda self: self._values[name], write)

    def get(self, name):
        top, _, rest = name.partition(".")
        return getattr(self, top).getValue(rest) if rest else getattr(self, top)

    def put(self, name, value):
        top, _, rest = name.partition(".")
        if rest:
            inner = getattr(self, top)
            inner.setValue(rest, value)
            setattr(self, top, inner)
        else:
            setattr(self, top, value)

    for name in parameters:
        setattr(classtype, name, member(name))
    classtype.__init__ = __init__
    if "__eq__" not in classtype.__dict__:
        classtype.__eq__ = lambda self, other: isinstance(other, classtype) and self._values == other._values
        classtype.__hash__ = None
    if "__repr__" not in classtype.__dict__:
        classtype.__repr__ = lambda self: (
            f"{classtype.__name__}({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"
        )
    classtype.allParameters = parameters
    classtype._is_parameterPack = True
    classtype.getValue = get
    classtype.setValue = put
    classtype.dataType = staticmethod(lambda name: _dataType(parameters, name))
    return classtype


def nestedParameterNames(pack):
    names = []
    for name, info in unannotatedType(pack).allParameters.items():
        plain = unannotatedType(info.unalteredType)
        names += [f"{name}.{rest}" for rest in nestedParameterNames(plain)] if isParameterPack(plain) else [name]
    return names


def _dataType(parameters, name):
    top, _, rest = name.partition(".")
    if top not in parameters:
        raise ValueError(f"Cannot find a param with the given name: {top}; there are {', '.join(parameters)}")
    datatype = parameters[top].unalteredType
    if not rest:
        return datatype
    if not isParameterPack(unannotatedType(datatype)):
        raise ValueError(f"{top} is not a parameter pack but expects to have '{rest}'")
    return _dataType(unannotatedType(datatype).allParameters, rest)


@parameterPack
class FloatRange:
    _minimum: float
    _maximum: float

    def __init__(self, minimum=0, maximum=0):
        self.setRange(minimum, maximum)

    def setRange(self, minimum, maximum):
        if not minimum <= maximum:
            raise ValueError(f"FloatRange must have minimum <= maximum: {minimum} <= {maximum}")
        self._minimum, self._maximum = minimum, maximum

    @property
    def minimum(self):
        return self._minimum

    @minimum.setter
    def minimum(self, value):
        self.setRange(value, self.maximum)

    @property
    def maximum(self):
        return self._maximum

    @maximum.setter
    def maximum(self, value):
        self.setRange(self.minimum, value)


# Widgets


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


def _ofProperty(widget, signal, name, fromWidget=lambda value: value, toWidget=lambda value: value):
    return GuiConnector(
        widget, signal, lambda: fromWidget(getattr(widget, name)), lambda v: setattr(widget, name, toWidget(v))
    )


def _setUp(widget, annotations, lowest, highest):
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


def _ofCombo(widget, items):
    """A combo box filled with (text, value)."""
    widget.clear()
    for text, _ in items:
        widget.addItem(text)
    values = [value for _, value in items]

    def write(value):
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return GuiConnector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _nodeTypes(datatype):
    """The classes of a node type, or of a Union of node types and None; empty for anything else."""
    members = typing.get_args(datatype) if typing.get_origin(datatype) is typing.Union else (datatype,)
    members = [unannotatedType(member) for member in members if member is not type(None)]
    if all(isinstance(member, type) and issubclass(member, slicer.vtkMRMLNode) for member in members):
        return [member.__name__ for member in members]
    return []


def createGuiConnector(widget, datatype):
    """What binds a widget to a type. Raises RuntimeError where Slicer has none for the two."""
    plain, annotations = splitAnnotations(datatype)
    kind = type(widget)
    choice = findFirstAnnotation(annotations, Choice)
    if plain is bool and kind in (qt.QCheckBox, ctk.ctkCheckBox):
        return _ofProperty(widget, "stateChanged", "checked")
    if plain is bool and kind is qt.QPushButton:
        widget.checkable = True
        return _ofProperty(widget, "toggled", "checked")
    if plain is int and kind in (qt.QSlider, qt.QSpinBox):
        _setUp(widget, annotations, -(2**31), 2**31 - 1)
        return _ofProperty(widget, "valueChanged", "value")
    if plain is float and kind in (qt.QDoubleSpinBox, ctk.ctkDoubleSpinBox, ctk.ctkSliderWidget):
        _setUp(widget, annotations, float("-inf"), float("inf"))
        return _ofProperty(widget, "valueChanged", "value")
    if kind in (qt.QComboBox, ctk.ctkComboBox) and plain in (int, float, str, bool):
        if choice is None:
            raise RuntimeError(f"{widget.name} is a combo box, which needs the annotation Choice")
        return _ofCombo(widget, [(str(value), value) for value in choice.choices])
    if kind in (qt.QComboBox, ctk.ctkComboBox) and isinstance(plain, type) and issubclass(plain, enum.Enum):
        return _ofCombo(widget, [(value.label() if hasattr(plain, "label") else value.name, value) for value in plain])
    if plain is str and kind is qt.QLineEdit:
        return _ofProperty(widget, "textChanged", "text")
    if plain is str and kind is qt.QTextEdit:
        return _ofProperty(widget, "textChanged", "plainText")
    if plain is str and kind is qt.QLabel:
        return _ofProperty(widget, None, "text")
    if kind in (ctk.ctkPathLineEdit, ctk.ctkDirectoryButton):
        if isinstance(plain, type) and issubclass(plain, pathlib.PurePath):
            folder = kind is ctk.ctkDirectoryButton
            signal, name = ("directoryChanged", "directory") if folder else ("currentPathChanged", "currentPath")
            return _ofProperty(widget, signal, name, plain, str)
    if plain is FloatRange and kind in (ctk.ctkRangeWidget, ctk.ctkDoubleRangeSlider):
        bounds = findFirstAnnotation(annotations, RangeBounds)
        if bounds is None:
            raise RuntimeError(f"{widget.name} needs the annotation RangeBounds")
        _setUp(widget, [*annotations, WithinRange(bounds.minimum, bounds.maximum)], 0, 0)
        return GuiConnector(
            widget,
            "valuesChanged",
            lambda: FloatRange(widget.minimumValue, widget.maximumValue),
            lambda value: widget.setValues(value.minimum, value.maximum),
        )
    if kind is slicer.qMRMLNodeComboBox and _nodeTypes(plain):
        widget.nodeTypes = _nodeTypes(plain)
        return GuiConnector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{kind}'")


# The wrapper


def isParameterNodeWrapper(classOrObj):
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def parameterNodeWrapper(classtype=None):
    """Class decorator: objects of the class, made with a parameter node, have its annotated names as typed attributes."""
    if classtype is None:
        return parameterNodeWrapper
    parameters = _declared(classtype)
    for name in vars(_Wrapper):
        if not name.startswith("__"):
            if hasattr(classtype, name):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, vars(_Wrapper)[name])
    classtype.__init__ = _Wrapper.__init__
    classtype.__del__ = _Wrapper.__del__
    classtype.allParameters = parameters
    classtype._is_parameter_node_wrapper = True
    classtype.dataType = staticmethod(lambda name: _dataType(parameters, name))
    for name in parameters:
        setattr(classtype, name, _attribute(name))
    return classtype


def _attribute(name):
    return property(lambda self: self._read(name), lambda self, value: self._put(name, value))


class _Wrapper:
    """What parameterNodeWrapper adds to a class."""

    def __init__(self, parameterNode, prefix=None):
        assert parameterNode is not None
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._guis = {}
        self._nextTag = 0
        self._updatingGui = False
        self._cache = {}
        for name, info in self.allParameters.items():
            if not info.serializer.isIn(parameterNode, self._prefix + name):
                info.serializer.write(parameterNode, self._prefix + name, info.default.value)
        self._refresh()
        # Before all other observers, which then read the new values: of one priority, VTK calls the first added last.
        self._cacheTag = parameterNode.AddObserver(vtkCommand.ModifiedEvent, _refresher(self), 1.0)

    def __del__(self):
        if hasattr(self, "_cacheTag"):
            self.parameterNode.RemoveObserver(self._cacheTag)

    def _refresh(self):
        for name, info in self.allParameters.items():
            if info.serializer.cached:
                self._cache[name] = self._readNode(name)

    def _readNode(self, name):
        info, full = self.allParameters[name], self._prefix + name
        if not info.serializer.isIn(self.parameterNode, full):
            info.serializer.write(self.parameterNode, full, info.default.value)
        return info.serializer.read(self.parameterNode, full)

    def _read(self, name):
        return self._cache[name] if name in self._cache else self._readNode(name)

    def _put(self, name, value):
        """The new value can be read by the time that observers hear of it."""
        with slicer.util.NodeModify(self.parameterNode):
            self.allParameters[name].serializer.write(self.parameterNode, self._prefix + name, value)
            if name in self._cache:
                self._cache[name] = self._readNode(name)

    def default(self, paramName):
        self.dataType(paramName)
        return self.allParameters[paramName].default

    def isCached(self, paramName):
        self.dataType(paramName)
        return paramName in self._cache

    def getValue(self, name):
        self.dataType(name)
        top, _, rest = name.partition(".")
        return self._read(top).getValue(rest) if rest else self._read(top)

    def setValue(self, name, value):
        self.dataType(name)
        top, _, rest = name.partition(".")
        if rest:
            self._read(top).setValue(rest, value)
        else:
            self._put(top, value)

    def connectGui(self, gui):
        """Binds every widget that has the property SlicerParameterName; gives back no tag, as in Slicer up to 5.8."""
        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QObject) else gui.__dict__.values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping):
        for name in mapping:
            self.dataType(name)
        connectors = {
            name: widget if isinstance(widget, GuiConnector) else createGuiConnector(widget, self.dataType(name))
            for name, widget in mapping.items()
        }
        tag, self._nextTag = self._nextTag, self._nextTag + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(lambda name=name, connector=connector: self._fromGui(name, connector))
        self.AddObserver(vtkCommand.ModifiedEvent, lambda caller, event: self._toGui())
        return tag

    def disconnectGui(self, guiTag):
        for connector in self._guis.pop(guiTag, {}).values():
            connector.onChanged(None)

    def _fromGui(self, name, connector):
        with slicer.util.NodeModify(self):
            if not self._updatingGui:
                self.setValue(name, connector.read())

    def _toGui(self):
        if self._updatingGui:
            return
        self._updatingGui = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in self._guis.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updatingGui = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def Modified(self):
        self.parameterNode.Modified()

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)


def _refresher(wrapper):
    """An observer that keeps the wrapper's values up to date without keeping the wrapper alive."""
    weak = weakref.ref(wrapper)

    def refresh(caller, event):
        alive = weak()
        if alive is not None:
            alive._refresh()

    return refresh


def findChildWidgetForParameter(widget, parameter):
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None
