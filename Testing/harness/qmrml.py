"""The qMRML widgets that a Slicer panel uses, over the real scene; they follow its events as Slicer's own do
(https://github.com/Slicer/Slicer, Libs/MRML/Widgets)."""

from typing import Any

import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonCore import vtkCommand

from .ctk import (
    Property,
    Signal,
    ctkCheckableComboBox,
    ctkCollapsibleButton,
    ctkComboBox,
    ctkRangeWidget,
    ctkSliderWidget,
    stored,
)
from .pythonqt import qt, stands_for_cpp

_command_role = qt.Qt.UserRole + 1


class _SceneHolder:
    """Holds the scene for the widgets derived from it, and says so when it changes."""

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self.mrmlScene():
            self.__dict__["_scene"] = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self.__dict__.get("_scene")


_scene_signal = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}


@stands_for_cpp
class qMRMLWidget(_SceneHolder, qt.QWidget):
    mrmlSceneChanged = Signal(object)
    signals = _scene_signal


@stands_for_cpp
class qMRMLCollapsibleButton(_SceneHolder, ctkCollapsibleButton):
    mrmlSceneChanged = Signal(object)
    signals = _scene_signal


@stands_for_cpp
class qMRMLSliderWidget(ctkSliderWidget):
    """A ctkSliderWidget that may show the unit of a quantity, such as "length"."""

    quantity = stored(str, "quantity", "")
    unitAwareProperties = stored(int, "unitAwareProperties", 0)

    def setMRMLScene(self, scene: Any) -> None:
        self.__dict__["_scene"] = scene

    def mrmlScene(self) -> Any:
        return self.__dict__.get("_scene")


@stands_for_cpp
class qMRMLSpinBox(qt.QDoubleSpinBox):
    quantity = stored(str, "quantity", "")
    unitAwareProperties = stored(int, "unitAwareProperties", 0)

    def setMRMLScene(self, scene: Any) -> None:
        self.__dict__["_scene"] = scene

    def mrmlScene(self) -> Any:
        return self.__dict__.get("_scene")


@stands_for_cpp
class qMRMLRangeWidget(ctkRangeWidget):
    quantity = stored(str, "quantity", "")

    def setMRMLScene(self, scene: Any) -> None:
        self.__dict__["_scene"] = scene


@stands_for_cpp
class qMRMLNodeComboBox(qt.QWidget):
    """A combo box of the scene's nodes of some classes, with None where allowed, and below, what can be done with them.

    Off until it has a scene.
    """

    currentNodeChanged = Signal(object)
    currentNodeValid = Signal(bool)  # in C++ another currentNodeChanged
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    currentNodeRenamed = Signal(str)
    signals = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeValid",
        "currentNodeIDChanged(QString)": "currentNodeIDChanged",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAddedByUserAction(vtkMRMLNode*)": "nodeAddedByUserAction",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
        "currentNodeRenamed(QString)": "currentNodeRenamed",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene = None
        self._nodes: list[Any] = []
        self._current_id = ""
        self._requested_id = ""
        self._attributes: list[tuple] = []
        self._base_names: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._actions: list[Any] = []
        self._tags: list[tuple[Any, int]] = []
        self._node_tags: dict[str, tuple[Any, int]] = {}
        self._box = self._make_box()
        self._box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
        self._box.setSizePolicy(qt.QSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Expanding))
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setSizePolicy(qt.QSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Fixed, qt.QSizePolicy.ComboBox))
        self._box.setFocusProxy(self)
        self._box.activated.connect(self._chosen)
        self.destroyed.connect(lambda *_, tags=self._tags, more=self._node_tags: _forget(tags, more))
        self.enabled = False

    def _make_box(self) -> Any:
        return ctkComboBox(self)

    nodeTypes = Property(
        "QStringList",
        lambda self: list(self.__dict__.get("_node_types", [])),
        lambda self, v: self._write("_node_types", [name for name in v if name]),
    )
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], "_rebuild")
    showHidden = stored(bool, "showHidden", False, "_rebuild")
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, "_rebuild")
    noneEnabled = stored(bool, "noneEnabled", False, "_rebuild")
    noneDisplay = stored(str, "noneDisplay", "None", "_rebuild")
    addEnabled = stored(bool, "addEnabled", True, "_rebuild")
    removeEnabled = stored(bool, "removeEnabled", True, "_rebuild")
    editEnabled = stored(bool, "editEnabled", False, "_rebuild")
    renameEnabled = stored(bool, "renameEnabled", False, "_rebuild")
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "Singleton")
    sizeAdjustPolicy = Property(
        int, lambda self: int(self._box.sizeAdjustPolicy), lambda self, v: setattr(self._box, "sizeAdjustPolicy", v)
    )
    currentNodeID = Property(
        str, lambda self: self._current_id if self._scene else "", lambda self, v: self.setCurrentNodeID(v)
    )

    def _set_base_name(self, name: str) -> None:  # for the classes known by then, as in C++
        self._base_names.update(dict.fromkeys(self.nodeTypes, name))

    baseName = Property(str, lambda self: self._base_names.get((self.nodeTypes or [""])[0], ""), _set_base_name)

    def _write(self, name: str, value: Any) -> None:
        self.__dict__[name] = value
        self._rebuild()

    # the scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        _forget(self._tags, self._node_tags)
        had_nodes = bool(self._nodes)
        self._scene = scene
        self.enabled = scene is not None
        if scene:
            added = scene.AddObserver(scene.NodeAddedEvent, lambda *_: self._rebuild())
            removing = scene.AddObserver(scene.NodeAboutToBeRemovedEvent, _on_node(self._removing))
            self._tags += [(scene, added), (scene, removing)]
        wanted, self._requested_id = self._requested_id or (self._current_id if had_nodes else ""), ""
        self._rebuild(wanted=wanted)
        if not wanted and self._nodes and not self.noneEnabled:
            self.setCurrentNodeIndex(0)

    def mrmlScene(self) -> Any:
        return self._scene

    def _removing(self, node: Any) -> None:
        if node in self._nodes:
            self.nodeAboutToBeRemoved.emit(node)
            self._rebuild(without=node)

    def _shown(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        for name in self.nodeTypes:
            if node.IsA(name) if self.showChildNodeTypes else node.GetClassName() == name:
                if any(node.IsA(hidden) for hidden in self.hideChildNodeTypes):
                    return False
                wanted = [(key, value) for kind, key, value in self._attributes if kind == name]
                return all(
                    node.GetAttribute(key) is not None and (value is None or node.GetAttribute(key) == value)
                    for key, value in wanted
                )
        return False

    def _rebuild(self, wanted: str | None = None, without: Any = None) -> None:
        """Fills the box anew, keeps the current node where it is still there, and tells what has changed."""
        if not self.__dict__.get("_box"):
            return
        old, old_row = self._nodes, self._box.currentIndex
        every = [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())] if self._scene else []
        self._nodes = [node for node in every if node is not without and self._shown(node)]
        self._follow_nodes(every)
        self._box.blockSignals(True)
        self._box.clear()
        if self.noneEnabled and self._scene:
            self._box.addItem(self.noneDisplay, "")
        for node in self._nodes:
            self._box.addItem(node.GetName() or "", node.GetID())
        for text, data in self._extra_items():
            if text:
                self._box.addItem(text)
                self._box.setItemData(self._box.count - 1, data, _command_role)
            else:
                self._box.insertSeparator(self._box.count)
        self._box.blockSignals(False)
        label = self.nodeTypeLabel((self.nodeTypes or [""])[0])
        self._box.defaultText = f"Select a {label}"
        self._select(self._current_id if wanted is None else wanted, old_row)
        for node in self._nodes:
            if node not in old:
                self.nodeAdded.emit(node)

    def _follow_nodes(self, nodes: list[Any]) -> None:
        """A node that is renamed, hidden or given an attribute may change what is shown."""
        if not self.nodeTypes:
            return
        followed = {n.GetID(): n for n in nodes if any(n.IsA(name) for name in self.nodeTypes)}
        for gone in set(self._node_tags) - set(followed):
            node, tag = self._node_tags.pop(gone)
            node.RemoveObserver(tag)
        for node_id in set(followed) - set(self._node_tags):
            node = followed[node_id]
            tag = node.AddObserver(vtkCommand.ModifiedEvent, lambda caller, _: self._node_modified(caller))
            self._node_tags[node_id] = (node, tag)

    def _node_modified(self, node: Any) -> None:
        row = self._box.findData(node.GetID())
        if (row >= 0) != self._shown(node):
            self._rebuild()
        elif row >= 0 and self._box.itemText(row) != (node.GetName() or ""):
            self._box.setItemText(row, node.GetName() or "")

    # the current node

    def _select(self, node_id: str, old_row: int) -> None:
        """Selects a node; where it has gone, the one after it, or the last: as QComboBox and the C++ class together."""
        row = self._box.findData(node_id) if node_id else -1
        if row < 0 and node_id and self._nodes:
            row = min(old_row, self._box.count - 1)
            if not self._box.itemData(row):
                row = self._box.findData(self._nodes[-1].GetID())
        elif row < 0 and self._box.count == 1 and self._nodes:
            row = 0  # the first and only item is selected by QComboBox itself
        elif row < 0 and self.noneEnabled and self._scene:
            row = 0
        self._box.currentIndex = row
        self._tell()

    def _tell(self) -> None:
        node = self.currentNode()
        node_id = node.GetID() if node else ""
        if node_id != self._current_id:
            self._current_id = node_id
            self.currentNodeChanged.emit(node)
            self.currentNodeValid.emit(node is not None)
            self.currentNodeIDChanged.emit(node_id)

    def currentNode(self) -> Any:
        data = self._box.itemData(self._box.currentIndex)
        return self._scene.GetNodeByID(data) if self._scene and data else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    def setCurrentNodeID(self, node_id: str | None) -> None:
        if not self._scene:
            self._requested_id = node_id or ""
            return
        row = self._box.findData(node_id) if node_id else -1
        self._box.currentIndex = row if row >= 0 else 0 if self.noneEnabled else -1
        self._tell()

    def setCurrentNodeIndex(self, index: int) -> None:
        index = index if index < self.nodeCount() else -1
        self._box.currentIndex = index + self.noneEnabled
        self._tell()

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    # what is done with nodes

    def nodeTypeLabel(self, node_type: str) -> str:
        found = self._scene.GetTypeDisplayNameByClassName(node_type) if self._scene and node_type else ""
        return self._labels.get(node_type) or found or "node"

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._rebuild()

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        self._attributes.append((node_type, name, value))
        self._rebuild()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [entry for entry in self._attributes if entry[:2] != (node_type, name)]
        self._rebuild()

    def addMenuAction(self, action: Any) -> None:
        self._actions.append(action)
        self._rebuild()

    def _extra_items(self) -> list[tuple[str, str]]:
        if not self._scene:
            return []
        types = self.nodeTypes
        label = self.nodeTypeLabel(types[0] if len(types) == 1 else "")
        items = []
        if self.renameEnabled:
            items.append((f"Rename current {label}", "RENAME"))
        if self.editEnabled:
            items.append((f"Edit current {label}", "EDIT"))
        if self.addEnabled:
            for name in types:
                items.append((f"Create new {self.nodeTypeLabel(name)}", f"CREATE/{name}"))
                if self.renameEnabled:
                    items.append((f"Create new {self.nodeTypeLabel(name)} as...", f"CREATE_AS/{name}"))
        if self.removeEnabled:
            items.append((f"Delete current {label}", "DELETE"))
        items += [(action.text, f"ACTION/{index}") for index, action in enumerate(self._actions)]
        return [("", ""), *items] if items else []

    def _chosen(self, row: int) -> None:
        """The user has clicked on an item."""
        command, _, rest = (self._box.itemData(row, _command_role) or "").partition("/")
        if not command:
            self._tell()
            self.nodeActivated.emit(self.currentNode())
            return
        blocked = self._box.blockSignals(True)
        self._box.currentIndex = self._box.findData(self._current_id)
        self._box.blockSignals(blocked)
        if command == "ACTION":
            self._actions[int(rest)].trigger()
        elif command.startswith("CREATE"):
            given, accepted = self._ask_name("") if command == "CREATE_AS" else ("", True)
            if accepted:
                node = self.addNode(rest)
                if given:
                    node.SetName(given)
                self.setCurrentNode(node)
                self.nodeAddedByUserAction.emit(node)
        else:
            {"RENAME": self.renameCurrentNode, "EDIT": self.editCurrentNode, "DELETE": self.removeCurrentNode}[
                command
            ]()

    def _ask_name(self, name: str) -> tuple[str, bool]:
        return qt.QInputDialog.getText(self, "Name", "New name:", qt.QLineEdit.Normal, name)

    def addNode(self, node_type: str | None = None) -> Any:
        node_type = node_type or (self.nodeTypes or [None])[0]
        if node_type not in self.nodeTypes:
            return None
        node = self._scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        base = self._base_names.get(node_type) or self._scene.GetTagByClassName(node_type)
        node.SetName(self._scene.GetUniqueNameByString(base))
        for _, name, value in self._attributes:
            node.SetAttribute(name, value or "")
        node = self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node:
            name, accepted = self._ask_name(node.GetName())
            if accepted and name:
                node.SetName(name)
                self.currentNodeRenamed.emit(name)


@stands_for_cpp
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """A node combo box in which any number of nodes can be ticked; which are, only the widget knows."""

    checkedNodesChanged = Signal()
    signals = {"checkedNodesChanged()": "checkedNodesChanged"}

    def __init__(self, parent: Any = None) -> None:
        self.__dict__["_checked"] = set()
        super().__init__(parent)
        self.addEnabled = self.removeEnabled = self.editEnabled = self.renameEnabled = False
        self._box.checkedIndexesChanged.connect(self._ticked)

    def _make_box(self) -> Any:
        return ctkCheckableComboBox(self)

    def _rebuild(self, wanted: str | None = None, without: Any = None) -> None:
        """The ticks belong to the nodes, not to the rows of the box."""
        super()._rebuild(wanted, without)
        box = self.__dict__.get("_box")
        if not box:
            return
        blocked = box.blockSignals(True)
        self._checked &= {node.GetID() for node in self._nodes}
        for row in range(box.count):
            state = qt.Qt.Checked if box.itemData(row) in self._checked else qt.Qt.Unchecked
            box.setItemData(row, int(state.value), qt.Qt.CheckStateRole)
        box.blockSignals(blocked)

    def _ticked(self) -> None:
        self.__dict__["_checked"] = {self._box.itemData(row) for row in self._box.checkedRows()}
        self.checkedNodesChanged.emit()

    def checkedNodes(self) -> tuple:
        return tuple(node for node in self._nodes if node.GetID() in self._checked)

    def uncheckedNodes(self) -> tuple:
        return tuple(node for node in self._nodes if node.GetID() not in self._checked)

    def allChecked(self) -> bool:
        return not self.uncheckedNodes()

    def noneChecked(self) -> bool:
        return not self.checkedNodes()

    def checkState(self, node: Any) -> Any:
        return qt.Qt.Checked if node in self.checkedNodes() else qt.Qt.Unchecked

    def setCheckState(self, node: Any, check: Any) -> None:
        row = self._box.findData(node.GetID()) if node else -1
        if row >= 0:
            self._box.setRowChecked(row, check == qt.Qt.Checked)

    def check(self, node: Any) -> None:
        self.setCheckState(node, qt.Qt.Checked)

    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, qt.Qt.Unchecked)


def _on_node(function: Any) -> Any:
    """An observer that is handed the node of a scene's event."""

    @calldata_type(VTK_OBJECT)
    def observer(caller: Any, event: str, node: Any) -> None:
        function(node)

    return observer


def _forget(tags: list, node_tags: dict) -> None:
    for caller, tag in [*tags, *node_tags.values()]:
        caller.RemoveObserver(tag)
    tags.clear()
    node_tags.clear()


def names() -> dict[str, type]:
    """The classes above as Slicer has them, `slicer.qMRML...`."""
    return {name: value for name, value in globals().items() if name.startswith("qMRML")}


def put_into_slicer() -> None:
    for name, value in names().items():
        setattr(slicer, name, value)
