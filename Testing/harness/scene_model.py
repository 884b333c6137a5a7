"""The item models behind Slicer's node selectors: a row for each node, and rows such as "None" around them.

They add and remove rows when qMRMLSceneModel and qMRMLSortFilterProxyModel do (Slicer, Libs/MRML/Widgets), so that Qt's
own combo box answers as in Slicer. What surprises there, surprises here:

- A changed "None" text removes that row and inserts it again, and the combo box moves on meanwhile.
- While a scene is imported no node is added; once it has been, the rows of all nodes are removed and made again, also
  those of nodes that were there before. What a row carried, such as a tick, is lost.
- A node's row follows its name, but not a later change of HideFromEditors.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shiboken6 import isValid
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonCore import vtkCommand

from .pythonqt import qt

ID_ROLE = qt.Qt.UserRole + 1
COMMAND_ROLE = qt.Qt.UserRole + 3
# The ID_ROLE of rows that are no nodes.
SCENE, BEFORE, AFTER = "scene", "preItem", "postItem"
SEPARATOR = "separator"


class SceneModel(qt.QStandardItemModel):
    """One top-level row, the scene, with the nodes as its children in the scene's own order."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.scene = None
        self._extra: dict[str, list[str]] = {BEFORE: [], AFTER: []}
        self._scene_observers: list[tuple[Any, int]] = []
        self._node_observers: dict[Any, int] = {}
        observers = self._scene_observers, self._node_observers
        self.destroyed.connect(lambda *_: _stop_observing(*observers))

    def set_scene(self, scene: Any) -> None:
        if scene is self.scene:
            return
        _stop_observing(self._scene_observers, {})
        self.scene = scene
        self.update_rows()
        if scene is None:
            return
        for event, function, priority in (
            (scene.NodeAddedEvent, _on_node(self._added), 10.0),
            (scene.NodeAboutToBeRemovedEvent, _on_node(self._about_to_be_removed), -10.0),
            (scene.EndCloseEvent, lambda *_: self.update_rows(), 0.0),
            (scene.EndImportEvent, lambda *_: self.update_rows(), 0.0),
        ):
            self._scene_observers.append((scene, scene.AddObserver(event, function, priority)))

    def scene_item(self) -> Any:
        return self.item(0) if self.rowCount() else None

    def update_rows(self) -> None:
        """Remove the rows of all nodes and insert them again; extra rows stay."""
        _stop_observing([], self._node_observers)
        if self.scene is None:
            self.removeRows(0, self.rowCount())
            self._extra = {BEFORE: [], AFTER: []}
            return
        if self.scene_item() is None:
            item = qt.QStandardItem("Scene")
            item.setData(SCENE, ID_ROLE)
            item.setFlags(qt.Qt.ItemIsDropEnabled | qt.Qt.ItemIsEnabled)
            self.insertRow(0, [item])
        item = self.scene_item()
        first = len(self._extra[BEFORE])
        item.removeRows(first, item.rowCount() - first - len(self._extra[AFTER]))
        for number, node in enumerate(self.scene.GetNodes()):
            self._insert(node, number)

    def set_rows_before(self, texts: list[str]) -> None:
        """Replace the rows above the nodes."""
        flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        self._set_extra(BEFORE, texts, [""] * len(texts), flags)

    def set_rows_after(self, texts: list[str], commands: list[str]) -> None:
        """Replace the rows below the nodes; a text SEPARATOR is a line."""
        self._set_extra(AFTER, texts, commands, qt.Qt.ItemIsEnabled)

    def number_of_extra_rows(self) -> int:
        return sum(map(len, self._extra.values()))

    def node_of(self, item: Any) -> Any:
        """Return a row's node, or None where the row has none or it has left the scene."""
        node_id = item.data(ID_ROLE) if item is not None else None
        if self.scene is None or node_id in (None, SCENE, BEFORE, AFTER):
            return None
        return self.scene.GetNodeByID(node_id)

    def observe(self, node: Any) -> None:
        """Follow a node's name from now on."""
        if node not in self._node_observers:
            tag = node.AddObserver(vtkCommand.ModifiedEvent, lambda caller, _: self._modified(caller))
            self._node_observers[node] = tag

    def _set_extra(self, kind: str, texts: list[str], commands: list[str], flags: Any) -> None:
        parent = self.scene_item()
        if parent is None or self._extra[kind] == texts:
            return
        for row in reversed(range(parent.rowCount())):
            if parent.child(row).data(ID_ROLE) == kind:
                self.removeRow(row, parent.index())
        self._extra[kind] = list(texts)
        for number, (text, command) in enumerate(zip(texts, commands, strict=True)):
            item = qt.QStandardItem()
            item.setData(kind, ID_ROLE)
            if text == SEPARATOR:
                item.setData(SEPARATOR, qt.Qt.AccessibleDescriptionRole)
            else:
                item.setText(text)
                item.setData(command, COMMAND_ROLE)
            item.setFlags(flags)
            parent.insertRow(number if kind == BEFORE else parent.rowCount(), [item])

    def _insert(self, node: Any, number: int) -> None:
        parent = self.scene_item()
        item = qt.QStandardItem(node.GetName() or "")
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEditable)
        item.setData(node.GetID(), ID_ROLE)
        last = parent.rowCount() - len(self._extra[AFTER])
        parent.insertRow(min(len(self._extra[BEFORE]) + number, last), [item])

    def _row_of(self, node: Any) -> int:
        parent = self.scene_item()
        found = self.match(self.index(0, 0, parent.index()), ID_ROLE, node.GetID(), 1, qt.Qt.MatchExactly)
        return found[0].row() if found else -1

    def _added(self, node: Any) -> None:
        if not self.scene.IsImporting():
            number = next(n for n in reversed(range(self.scene.GetNumberOfNodes())) if self.scene.GetNthNode(n) is node)
            self._insert(node, number)

    def _about_to_be_removed(self, node: Any) -> None:
        if self.scene.IsClosing():
            return
        _stop_observing([], {node: self._node_observers.pop(node)} if node in self._node_observers else {})
        row = self._row_of(node)
        if row >= 0:
            self.removeRow(row, self.scene_item().index())

    def _modified(self, node: Any) -> None:
        if self.scene is None or self.scene.IsClosing() or self.scene.IsImporting() or node.GetScene() is None:
            return
        row = self._row_of(node)
        if row >= 0:
            self.scene_item().child(row).setText(node.GetName() or "")


class NodeFilterModel(qt.QSortFilterProxyModel):
    """Those rows of a SceneModel whose node is of a wanted class, is not hidden, and has the wanted attribute."""

    def __init__(self, source: SceneModel, parent: Any = None) -> None:
        super().__init__(parent)
        self._source = source
        self._attributes: dict[str, tuple[str, str | None]] = {}
        self._attribute_observers: dict[Any, int] = {}
        self._settings = {"node_types": [], "hidden_types": [], "show_hidden": False, "show_derived": True}
        self.destroyed.connect(lambda *_, tags=self._attribute_observers: _stop_observing([], tags))
        self.setDynamicSortFilter(True)
        self.setSourceModel(source)

    def setting(self, name: str) -> Any:
        return self._settings[name]

    def set(self, name: str, value: Any) -> None:
        if self._settings[name] != value:
            self._settings[name] = value
            self._refilter()

    def set_attribute(self, node_type: str, name: str, value: str | None) -> None:
        """Show nodes of a class only if they have an attribute, of any value where None is given; one for a class."""
        if node_type in self._settings["node_types"]:
            self._attributes[node_type] = name, value
            self._refilter()

    def remove_attribute(self, node_type: str, name: str) -> None:
        if self._attributes.get(node_type, (None,))[0] == name:
            del self._attributes[node_type]
            self._refilter()

    def filterAcceptsRow(self, row: int, parent: Any) -> bool:
        parent_item = self._source.itemFromIndex(parent) or self._source.invisibleRootItem()
        node = self._source.node_of(parent_item.child(row))
        if node is None:
            return True  # the scene, and the extra rows
        if node.GetHideFromEditors() and not self._settings["show_hidden"]:
            return False
        node_type = self._wanted_type(node)
        if node_type is None:
            return False
        self._source.observe(node)
        return self._has_attribute(node, node_type)

    def _refilter(self) -> None:
        self.beginFilterChange()
        self.endFilterChange(qt.QSortFilterProxyModel.Direction.Rows)

    def _wanted_type(self, node: Any) -> str | None:
        settings = self._settings
        if not settings["node_types"]:
            return ""
        for name in settings["node_types"]:
            if settings["show_derived"] and node.IsA(name):
                return None if any(node.IsA(hidden) for hidden in settings["hidden_types"]) else name
            if node.GetClassName() == name:
                return name
        return None

    def _has_attribute(self, node: Any, node_type: str) -> bool:
        if node_type not in self._attributes:
            return True
        if node not in self._attribute_observers:
            tag = node.AddObserver(vtkCommand.ModifiedEvent, lambda *_: self.invalidate())
            self._attribute_observers[node] = tag
        name, value = self._attributes[node_type]
        found = node.GetAttribute(name)
        return found is not None and value in (None, found)


def _on_node(function: Callable[[Any], None]) -> Callable:
    """Make an observer that receives the node of a scene's event, as long as the model that the method is of lives.

    In Slicer the destructor of a model stops observing; here a model may be gone before Python notices.
    """

    @calldata_type(VTK_OBJECT)
    def observer(caller: Any, event: str, node: Any) -> None:
        with _collecting_nothing():
            if isValid(function.__self__):
                function(node)

    return observer


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Keep Python from collecting a widget that a test has left, and a model with it while it makes a row."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _stop_observing(of_scene: list[tuple[Any, int]], of_nodes: dict[Any, int]) -> None:
    for caller, tag in [*of_scene, *of_nodes.items()]:
        caller.RemoveObserver(tag)
    of_scene.clear()
    of_nodes.clear()
