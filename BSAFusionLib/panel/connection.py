"""Synchronize widgets and a parameter node, with an end."""

from collections.abc import Mapping
from functools import partial

import qt
import slicer
from slicer.parameterNodeWrapper import createGuiConnector
from vtkmodules.vtkCommonCore import vtkCommand

from BSAFusionLib.panel.parameters import Parameters

# Priorities of observers: the wrapper's own, of 0.0, read new values first, and the panel's parts follow the widgets.
AFTER_WRAPPER, AFTER_WIDGETS = -1.0, -2.0


class Connection:
    """Connects widgets and a parameter node as the wrapper's connectGui does, until `close`.

    connectGui never removes its observer from the node. Python's garbage collector later frees the observer's
    function, which the node still calls: Slicer then crashes some time after a module's reload.
    """

    def __init__(self, parameters: Parameters, widgets: Mapping[str, qt.QWidget]) -> None:
        self._parameters, self._writing = parameters, False
        self._connectors = {
            name: createGuiConnector(widget, parameters.dataType(name)) for name, widget in widgets.items()
        }
        self._toWidgets()
        for name, connector in self._connectors.items():
            connector.onChanged(partial(self._toParameter, name))
        self._tag = parameters.AddObserver(vtkCommand.ModifiedEvent, self._toWidgets, AFTER_WRAPPER)

    def close(self) -> None:
        """End the connection; widgets and node keep their values."""
        for connector in self._connectors.values():
            connector.onChanged(None)
        self._parameters.RemoveObserver(self._tag)

    def forget(self, node: slicer.vtkMRMLNode) -> None:
        """Choose a node no longer wherever it is chosen by itself, before it is removed from the scene."""
        with slicer.util.NodeModify(self._parameters.parameterNode):
            for name in self._connectors:
                if self._parameters.getValue(name) is node:
                    self._parameters.setValue(name, None)

    def _toParameter(self, name: str) -> None:
        if not self._writing:
            self._parameters.setValue(name, self._connectors[name].read())

    def _toWidgets(self, caller: object = None, event: object = None) -> None:
        if self._writing:
            return
        self._writing = True
        try:
            with slicer.util.NodeModify(self._parameters.parameterNode):
                for name, connector in self._connectors.items():
                    connector.write(self._parameters.getValue(name))
        finally:
            self._writing = False
