"""The class decorator parameterNodeWrapper: typed attributes kept in a parameter node and bound to widgets."""

import weakref

import qt
import slicer
from vtkmodules.vtkCommonCore import vtkCommand

from .connectors import GuiConnector, createGuiConnector
from .packs import data_type, declared_parameters

SlicerParameterNamePropertyName = "SlicerParameterName"


def isParameterNodeWrapper(classOrObj):
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def parameterNodeWrapper(classtype=None):
    """Class decorator: objects of the class, made with a parameter node, have the annotated names as attributes."""
    if classtype is None:
        return parameterNodeWrapper
    parameters = declared_parameters(classtype)
    for name in vars(_Wrapper):
        if not name.startswith("__"):
            if hasattr(classtype, name):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, vars(_Wrapper)[name])
    classtype.__init__ = _Wrapper.__init__
    classtype.allParameters = parameters
    classtype._is_parameter_node_wrapper = True
    classtype.dataType = staticmethod(lambda name: data_type(parameters, name))
    for name in parameters:
        setattr(classtype, name, _attribute(name))
    return classtype


def _attribute(name):
    return property(lambda self: self._read(name), lambda self, value: self._put(name, value))


class _Parameter:
    """One parameter of a node."""

    cached = False

    def __init__(self, parameterNode, info, name):
        self.parameterNode, self.info, self.name = parameterNode, info, name
        if not info.serializer.isIn(parameterNode, name):
            info.serializer.write(parameterNode, name, info.default.value)

    def read(self):
        if not self.info.serializer.isIn(self.parameterNode, self.name):
            self.info.serializer.write(self.parameterNode, self.name, self.info.default.value)
        return self.info.serializer.read(self.parameterNode, self.name)

    def write(self, value):
        self.info.serializer.write(self.parameterNode, self.name, value)


class _CachedParameter(_Parameter):
    """One whose value is read when the node changes, by an observer of its own and of the usual priority.

    Of one priority, VTK calls the observer that was added first after those that were added since, so that one of these
    may still read the former value of the first parameter.
    """

    cached = True

    def __init__(self, parameterNode, info, name):
        super().__init__(parameterNode, info, name)
        self._value, self._writing = super().read(), False
        weak = weakref.ref(self)
        self._tag = parameterNode.AddObserver(vtkCommand.ModifiedEvent, lambda caller, event: weak()._modified())

    def __del__(self):
        if hasattr(self, "_tag"):  # not where the node could not be read
            self.parameterNode.RemoveObserver(self._tag)

    def _modified(self):
        if not self._writing:
            self._value = super().read()

    def read(self):
        return self._value

    def write(self, value):
        """Store a value and read it before observers are notified, so that they read the new one."""
        self._writing = True
        try:
            with slicer.util.NodeModify(self.parameterNode):
                super().write(value)
                self._value = super().read()
        finally:
            self._writing = False


class _Wrapper:
    """Methods that parameterNodeWrapper adds to a class."""

    def __init__(self, parameterNode, prefix=None):
        assert parameterNode is not None
        self.parameterNode = parameterNode
        self._guis = {}
        self._nextTag = 0
        self._updatingGui = False
        self._parameters = {}
        for name, info in self.allParameters.items():
            kind = _CachedParameter if info.serializer.cached else _Parameter
            self._parameters[name] = kind(parameterNode, info, (prefix or "") + name)

    def _read(self, name):
        return self._parameters[name].read()

    def _put(self, name, value):
        self._parameters[name].write(value)

    def default(self, paramName):
        self.dataType(paramName)
        return self.allParameters[paramName].default

    def isCached(self, paramName):
        self.dataType(paramName)
        return self._parameters[paramName].cached

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
        """Bind every widget that has the property SlicerParameterName; return the tag for disconnectGui."""
        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QObject) else gui.__dict__.values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

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


def findChildWidgetForParameter(widget, parameter):
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None
