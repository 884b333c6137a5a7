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
    classtype.__del__ = _Wrapper.__del__
    classtype.allParameters = parameters
    classtype._is_parameter_node_wrapper = True
    classtype.dataType = staticmethod(lambda name: data_type(parameters, name))
    for name in parameters:
        setattr(classtype, name, _attribute(name))
    return classtype


def _attribute(name):
    return property(lambda self: self._read(name), lambda self, value: self._put(name, value))


class _Wrapper:
    """Methods that parameterNodeWrapper adds to a class."""

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
        """Store a value before observers are notified, so that they read the new one."""
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


def _refresher(wrapper):
    """Make an observer that updates the wrapper's values without keeping the wrapper alive."""
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
