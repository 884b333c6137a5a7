"""The qMRML widgets that a Slicer panel uses, over the real scene, whose events they follow as Slicer's own do.

See https://github.com/Slicer/Slicer, Libs/MRML/Widgets.
"""

from typing import Any, ClassVar

import slicer

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
from .scene_model import COMMAND_ROLE, ID_ROLE, SEPARATOR, NodeFilterModel, SceneModel


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

    Off until it has a scene. It is Qt's own combo box over the models in `scene_model`, which it looks at through the
    same signals as the C++ class does, and so it also moves to another node when those take away the row it shows.
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
    signals: ClassVar[dict[str, str]] = {
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
        self._requested_id = ""
        self._switching = False
        self._base_names: dict[str, str] = {}
        self._factory_attributes: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._actions: list[Any] = []
        self._nodes_model = SceneModel(self)
        self._model = NodeFilterModel(self._nodes_model, self)
        self._box = self._make_box()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.setFocusProxy(self)
        view = self._box.view()  # made before the model is set, so that it hears of removed rows before this does
        self._set_model(self._model)
        self._model.rowsInserted.connect(self._rows_inserted)
        self._model.rowsAboutToBeRemoved.connect(self._rows_about_to_be_removed)
        for signal in (self._model.rowsRemoved, self._model.modelReset, self._model.layoutChanged):
            signal.connect(self._unselect_what_is_gone)
        self._box.currentTextChanged.connect(self._current_changed)
        self._box.activated.connect(self._activated)
        view.clicked.connect(self._clicked)
        self._box.setSizePolicy(qt.QSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Expanding))
        self.setSizePolicy(qt.QSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Fixed, qt.QSizePolicy.ComboBox))
        self._update_default_text()
        self.enabled = False

    def _make_box(self) -> Any:
        box = ctkComboBox(self)
        box.elideMode = int(qt.Qt.ElideMiddle)
        return box

    def _set_model(self, model: Any) -> None:
        self._box.setModel(model)

    def _filter(kind: Any, name: str, after: str | None = None) -> Any:
        def write(self: Any, value: Any) -> None:
            self._model.set(name, [text for text in value if text] if kind == "QStringList" else value)
            if after:
                getattr(self, after)()

        return Property(kind, lambda self: self._model.setting(name), write)

    nodeTypes = _filter("QStringList", "node_types", "_node_types_changed")
    hideChildNodeTypes = _filter("QStringList", "hidden_types")
    showHidden = _filter(bool, "show_hidden")
    showChildNodeTypes = _filter(bool, "show_derived")
    noneEnabled = stored(bool, "noneEnabled", False, "_update_none")
    noneDisplay = stored(str, "noneDisplay", "None", "_update_none")
    addEnabled = stored(bool, "addEnabled", True, "_update_actions")
    removeEnabled = stored(bool, "removeEnabled", True, "_update_actions")
    editEnabled = stored(bool, "editEnabled", False, "_update_actions")
    renameEnabled = stored(bool, "renameEnabled", False, "_update_actions")
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "Singleton")
    sizeAdjustPolicy = Property(
        int, lambda self: int(self._box.sizeAdjustPolicy), lambda self, v: setattr(self._box, "sizeAdjustPolicy", v)
    )
    currentNodeID = Property(
        str, lambda self: self.currentNode().GetID() if self.currentNode() else "", lambda self, v: self._select_id(v)
    )

    def _set_base_name(self, name: str) -> None:  # for the classes known by then, as in C++
        self._base_names.update(dict.fromkeys(self.nodeTypes, name))

    baseName = Property(str, lambda self: self._base_names.get((self.nodeTypes or [""])[0], ""), _set_base_name)

    def _node_types_changed(self) -> None:
        self._update_default_text()
        self._update_actions()

    def _update_default_text(self) -> None:
        if isinstance(self._box, ctkComboBox):
            self._box.defaultText = f"Select a {self.nodeTypeLabel((self.nodeTypes or [''])[0])}"

    def _update_none(self) -> None:
        self._nodes_model.set_rows_before([self.noneDisplay] if self.noneEnabled else [])

    def _update_actions(self) -> None:
        index = self._box.currentIndex
        items = self._extra_items()
        self._nodes_model.set_rows_after([text for text, _ in items], [command for _, command in items])
        self._box.setCurrentIndex(index)

    # the scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self.mrmlScene():
            return
        old_id = self._box.itemData(self._box.currentIndex, ID_ROLE)
        had_nodes = self.nodeCount() > 0
        self._switching = True
        self._nodes_model.set_scene(scene)
        self._switching = False
        self._update_none()
        self._update_actions()
        self._box.setRootModelIndex(self._model.index(0, 0))
        self.setCurrentNodeID(old_id if had_nodes else self._requested_id or self.currentNodeID)
        self._requested_id = ""
        self._update_default_text()
        self.enabled = scene is not None

    def mrmlScene(self) -> Any:
        return self._nodes_model.scene

    def _rows_inserted(self, parent: Any, first: int, last: int) -> None:
        for row in range(first, last + 1):
            node = self._node_at(self._model.index(row, 0, parent))
            if node:
                self.nodeAdded.emit(node)

    def _rows_about_to_be_removed(self, parent: Any, first: int, last: int) -> None:
        for row in range(first, last + 1):
            node = self._node_at(self._model.index(row, 0, parent))
            if node:
                self.nodeAboutToBeRemoved.emit(node)

    def _unselect_what_is_gone(self, *_: Any) -> None:
        if self.currentNode() is None:
            self.setCurrentNode(None)

    # the current node

    def _node_at(self, index: Any) -> Any:
        return self._nodes_model.node_of(self._nodes_model.itemFromIndex(self._model.mapToSource(index)))

    def _node_in_row(self, row: int) -> Any:
        return self._node_at(self._model.index(row, 0, self._box.rootModelIndex())) if row >= 0 else None

    def _index_of(self, node_id: str | None) -> Any:
        """Return a node's row in the model; None where it has none."""
        found = self._model.match(
            self._model.index(0, 0), ID_ROLE, node_id or "", 1, qt.Qt.MatchRecursive | qt.Qt.MatchExactly
        )
        return found[0] if found else None

    def _current_changed(self, *_: Any) -> None:
        if self._switching:
            return
        row = self._box.currentIndex
        node = self._node_in_row(row)
        if node is None and row != (0 if self.noneEnabled else -1):
            # On one of the rows below the nodes, which cannot be current: the last node is then.
            last = self.nodeFromIndex(self.nodeCount() - 1)
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged.emit(node)
        self.currentNodeValid.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _activated(self, row: int) -> None:
        node = self._node_in_row(row)
        if node is not None or (self.noneEnabled and row == 0):
            self.nodeActivated.emit(node)

    def currentNode(self) -> Any:
        return self._node_in_row(self._box.currentIndex)

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    def setCurrentNodeID(self, node_id: str | None) -> None:
        if self.mrmlScene() is None:
            self._requested_id = node_id or ""
        self._select_id(node_id)

    def _select_id(self, node_id: str | None) -> None:
        view, index = self._box.view(), self._index_of(node_id)
        if index is None:
            scene_index = self._model.index(0, 0)
            self._box.setRootModelIndex(scene_index)
            view.setCurrentIndex(self._model.index(0, 0, scene_index) if self.noneEnabled else scene_index)
            self._box.setCurrentIndex(0 if self.noneEnabled else -1)
        elif view.currentIndex() != index:
            view.setCurrentIndex(index)
            # The combo box takes over what its list has as current when Enter is pressed there.
            enter = qt.QKeyEvent(qt.QEvent.ShortcutOverride, qt.Qt.Key_Enter, qt.Qt.NoModifier)
            qt.QApplication.sendEvent(view, enter)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._box.setCurrentIndex((index if index < self.nodeCount() else -1) + self.noneEnabled)

    def nodeCount(self) -> int:
        return self._box.count - self._nodes_model.number_of_extra_rows() if self.mrmlScene() else 0

    def nodeFromIndex(self, index: int) -> Any:
        return self._node_in_row(index + self.noneEnabled)

    def nodes(self) -> list[Any]:
        return [self.nodeFromIndex(index) for index in range(self.nodeCount())]

    # what is done with nodes

    def nodeTypeLabel(self, node_type: str) -> str:
        scene = self.mrmlScene()
        found = scene.GetTypeDisplayNameByClassName(node_type) if scene and node_type else ""
        return self._labels.get(node_type) or found or "node"

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._node_types_changed()

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        self._factory_attributes[name] = value or ""
        self._model.set_attribute(node_type, name, value)

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._factory_attributes.pop(name, None)
        self._model.remove_attribute(node_type, name)

    def addMenuAction(self, action: Any) -> None:
        self._actions.append(action)
        self._update_actions()

    def _extra_items(self) -> list[tuple[str, str]]:
        if not self.mrmlScene():
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
        return [(SEPARATOR, "SEPARATOR"), *items] if items else []

    def _clicked(self, index: Any) -> None:
        """Handle the user's click on a row of the opened list."""
        command, _, rest = (index.data(COMMAND_ROLE) or "").partition("/")
        if not command:
            return
        self._box.hidePopup()
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
        scene = self.mrmlScene()
        node = scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        base = self._base_names.get(node_type) or node.GetDefaultNodeNamePrefix()
        node.SetName(scene.GetUniqueNameByString(base))
        for name, value in self._factory_attributes.items():
            node.SetAttribute(name, value)
        node = scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self.mrmlScene().RemoveNode(self.currentNode())

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
    """A node combo box in which any number of nodes can be ticked; the ticks belong to the rows, not to the nodes."""

    checkedNodesChanged = Signal()
    signals: ClassVar[dict[str, str]] = {**qMRMLNodeComboBox.signals, "checkedNodesChanged()": "checkedNodesChanged"}

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.addEnabled = self.removeEnabled = self.editEnabled = self.renameEnabled = False
        self._box.checkedIndexesChanged.connect(self.checkedNodesChanged)

    def _make_box(self) -> Any:
        return ctkCheckableComboBox(self)

    def _set_model(self, model: Any) -> None:
        self._box.setCheckableModel(model)

    def checkedNodes(self) -> tuple:
        nodes = [self._node_at(index) for index in self._box.checkedIndexes()]
        return tuple(node for node in nodes if node is not None)

    def uncheckedNodes(self) -> tuple:
        checked = self.checkedNodes()
        return tuple(node for node in self.nodes() if node not in checked)

    def allChecked(self) -> bool:
        return self._box.allChecked()

    def noneChecked(self) -> bool:
        return self._box.noneChecked()

    def checkState(self, node: Any) -> Any:
        index = self._index_of(node.GetID()) if node else None
        return self._box.checkState(index) if index is not None else qt.Qt.Unchecked

    def setCheckState(self, node: Any, check: Any) -> None:
        index = self._index_of(node.GetID()) if node else None
        if index is not None:
            self._box.setCheckState(index, check)

    def check(self, node: Any) -> None:
        self.setCheckState(node, qt.Qt.Checked)

    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, qt.Qt.Unchecked)


def names() -> dict[str, type]:
    """Return the classes above by Slicer's names, `slicer.qMRML...`."""
    return {name: value for name, value in globals().items() if name.startswith("qMRML")}


def put_into_slicer() -> None:
    for name, value in names().items():
        setattr(slicer, name, value)
