"""The widgets of CTK that a Slicer panel uses, as the module `ctk`.

Each class has the properties, slots and signals of the C++ class of its name, as far as panels use them
(https://github.com/commontk/CTK, Libs/Widgets). What is neither a slot nor a property there (most setters) cannot be
called through PythonQt, and so is not here either.
"""

import math
import re
from typing import Any, ClassVar

from .pythonqt import qt, stands_for_cpp

Property, Signal = qt.Property, qt.Signal


def stored(kind: Any, name: str, default: Any, after: str | None = None) -> Any:
    """Make a property that keeps what is written; `after` names a method called after a change."""

    def write(self: Any, value: Any) -> None:
        if self.__dict__.get("_" + name, default) != value:
            self.__dict__["_" + name] = value
            if after:
                getattr(self, after)()

    return Property(kind, lambda self: self.__dict__.get("_" + name, default), write)


def forwarded(kind: Any, widget: str, name: str) -> Any:
    """Make a property that is an inner widget's."""
    return Property(
        kind, lambda self: getattr(getattr(self, widget), name), lambda self, v: setattr(getattr(self, widget), name, v)
    )


@stands_for_cpp
class ctkCollapsibleButton(qt.QAbstractButton):
    """A title that shows and hides what lies under it; open when made."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(next((a for a in arguments if isinstance(a, qt.QWidget)), None))
        self._collapsed = self._forcing = False
        self.text = text
        self.checkable = True
        self.checked = True
        self.setSizePolicy(qt.QSizePolicy(qt.QSizePolicy.Minimum, qt.QSizePolicy.Preferred))
        self.setContentsMargins(0, self._title_size().height(), 0, 0)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)
    collapsedHeight = stored(int, "collapsedHeight", 10, "updateGeometry")
    contentsFrameShape = stored(int, "contentsFrameShape", 0, "update")
    contentsFrameShadow = stored(int, "contentsFrameShadow", 16, "update")
    contentsLineWidth = stored(int, "contentsLineWidth", 1, "update")
    contentsMidLineWidth = stored(int, "contentsMidLineWidth", 0, "update")

    def _collapse(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        self._force_children()
        self.maximumHeight = self.sizeHint().height() if collapsed else 16777215
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def _force_children(self) -> None:
        """Hides the children, or gives them back the visibility that they were meant to have."""
        self._forcing = True
        for child in filter(qt.QObject.isWidgetType, self.children()):
            if child.property("visibilityToParent") is None:
                hidden = child.isHidden() and child.testAttribute(qt.Qt.WA_WState_ExplicitShowHide)
                child.setProperty("visibilityToParent", not hidden)
                child.installEventFilter(self)
            if child.property("visibilityToParent"):
                child.setVisible(not self._collapsed)
                child.setAttribute(qt.Qt.WA_WState_ExplicitShowHide, False)  # else Qt tells nobody of the next hide()
        self._forcing = False

    def eventFilter(self, child: Any, event: Any) -> bool:
        if event.type() in (qt.QEvent.ShowToParent, qt.QEvent.HideToParent) and not self._forcing:
            child.setProperty("visibilityToParent", event.type() == qt.QEvent.ShowToParent)
            if self._collapsed:
                self._force_children()
        return False

    def showEvent(self, event: Any) -> None:
        if self._collapsed:  # children may have come since, and Qt has just shown them all
            self._force_children()

    def _title_option(self) -> Any:
        option = qt.QStyleOptionButton()
        option.initFrom(self)
        option.text = self.text
        option.state |= qt.QStyle.State_Sunken if self.down else qt.QStyle.State_Raised
        return option

    def _title_size(self) -> Any:
        text = self.fontMetrics().size(qt.Qt.TextShowMnemonic, self.text or "XXXX")
        size = qt.QSize(text.width() + 24, max(text.height(), 16))
        return self.style().sizeFromContents(qt.QStyle.CT_PushButton, self._title_option(), size, self)

    def sizeHint(self) -> Any:
        size = self._title_size()
        if not self._collapsed and self.layout():
            size = size.expandedTo(self.layout().totalSizeHint())
        return size + qt.QSize(0, self.collapsedHeight) if self._collapsed else size

    def minimumSizeHint(self) -> Any:
        size = self._title_size()
        if not self._collapsed and self.layout():
            size = size.expandedTo(self.layout().totalMinimumSize())
        return size

    def hitButton(self, position: Any) -> bool:
        return position.y() < self._title_size().height()

    def paintEvent(self, event: Any) -> None:
        painter = qt.QStylePainter(self)
        option = self._title_option()
        height = self._title_size().height()
        option.rect = qt.QRect(0, 0, self.width, height)
        option.text = ""
        painter.drawControl(qt.QStyle.CE_PushButtonBevel, option)
        arrow = qt.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = qt.QRect(8, (height - 10) // 2, 10, 10)
        indicator = qt.QStyle.PE_IndicatorArrowRight if self._collapsed else qt.QStyle.PE_IndicatorArrowDown
        painter.drawPrimitive(indicator, arrow)
        painter.drawItemText(
            qt.QRect(26, 0, self.width - 26, height),
            qt.Qt.AlignVCenter | qt.Qt.AlignLeft | qt.Qt.TextHideMnemonic,
            self.palette,
            self.isEnabled(),
            self.text,
            qt.QPalette.ButtonText,
        )


@stands_for_cpp
class ctkCollapsibleGroupBox(qt.QGroupBox):
    """A group box whose title hides what is in it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.checkable = True
        self._hidden = []
        self.toggled.connect(self._expand)

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, lambda self: not self.checked, _set_collapsed)
    collapsedHeight = stored(int, "collapsedHeight", 14, "updateGeometry")

    def _expand(self, expanded: bool) -> None:
        if not expanded:
            self._hidden = [w for w in self.children() if w.isWidgetType() and not w.isHidden()]
        for widget in self._hidden:
            widget.setVisible(expanded)


@stands_for_cpp
class ctkDoubleSlider(qt.QWidget):
    """A slider of doubles: what is set is kept as it is, and the user moves it by whole single steps."""

    valueChanged = Signal(float)
    sliderMoved = Signal(float)
    sliderPressed = Signal()
    sliderReleased = Signal()
    rangeChanged = Signal(float, float)
    signals: ClassVar[dict[str, str]] = {
        "valueChanged(double)": "valueChanged",
        "sliderMoved(double)": "sliderMoved",
        "rangeChanged(double,double)": "rangeChanged",
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((a for a in arguments if isinstance(a, qt.QWidget)), None))
        self._slider = qt.QSlider(next((a for a in arguments if not isinstance(a, qt.QWidget)), qt.Qt.Vertical), self)
        self._minimum, self._maximum, self._value, self._step = 0.0, 99.0, 0.0, 1.0
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        self._slider.valueChanged.connect(self._moved)
        self._slider.sliderMoved.connect(lambda position: self.sliderMoved.emit(self._bounded(position * self._step)))
        self._slider.sliderPressed.connect(self.sliderPressed)
        self._slider.sliderReleased.connect(self.sliderReleased)

    def _bounded(self, value: float) -> float:
        return min(max(value, self._minimum), self._maximum)

    def _moved(self, position: int) -> None:
        if position != round(self._value / self._step):
            self._keep(self._bounded(position * self._step))

    def _keep(self, value: float) -> None:
        changed = value != self._value
        self._value = value
        self._slider.setValue(round(value / self._step))
        if changed:
            self.valueChanged.emit(value)

    def _set_step(self, step: float) -> None:
        self._step = step
        self.setRange(self._minimum, self._maximum)

    def setValue(self, value: float) -> None:
        self._keep(self._bounded(value))

    def setRange(self, minimum: float, maximum: float) -> None:
        changed = (minimum, maximum) != (self._minimum, self._maximum)
        self._minimum, self._maximum = minimum, maximum
        blocked = self._slider.blockSignals(True)
        self._slider.setRange(math.floor(minimum / self._step), math.ceil(maximum / self._step))
        self._slider.blockSignals(blocked)
        if changed:
            self.rangeChanged.emit(minimum, maximum)
        self.setValue(self._value)

    value = Property(float, lambda self: self._value, setValue)
    minimum = Property(float, lambda self: self._minimum, lambda self, v: self.setRange(v, max(v, self._maximum)))
    maximum = Property(float, lambda self: self._maximum, lambda self, v: self.setRange(min(v, self._minimum), v))
    singleStep = Property(float, lambda self: self._step, _set_step)
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 0.0)
    tickPosition = stored(int, "tickPosition", 0)
    handleToolTip = stored(str, "handleToolTip", "")
    tracking = forwarded(bool, "_slider", "tracking")
    invertedAppearance = forwarded(bool, "_slider", "invertedAppearance")
    invertedControls = forwarded(bool, "_slider", "invertedControls")
    orientation = Property(
        int, lambda self: int(self._slider.orientation), lambda self, v: setattr(self._slider, "orientation", v)
    )


@stands_for_cpp
class ctkSliderWidget(qt.QWidget):
    """A slider beside a spin box of the same value, a double; from 0 to 99 by 1 when made."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    signals: ClassVar[dict[str, str]] = {
        "valueChanged(double)": "valueChanged",
        "valueIsChanging(double)": "valueIsChanging",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider, self._box = qt.QSlider(qt.Qt.Horizontal, self), qt.QDoubleSpinBox(self)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._box.maximum = 99.0
        self._slider.maximum = 99
        self._slider.valueChanged.connect(self._slid)
        self._box.valueChanged.connect(self._typed)
        self.setFocusProxy(self._slider)

    def _fit(self) -> None:
        step = self._box.singleStep or 1.0
        blocked = self._slider.blockSignals(True)
        self._slider.maximum = min(round((self._box.maximum - self._box.minimum) / step), 2**31 - 1)
        self._slider.value = round((self._box.value - self._box.minimum) / step)
        self._slider.blockSignals(blocked)

    def _slid(self, position: int) -> None:
        self._box.value = self._box.minimum + position * self._box.singleStep

    def _typed(self, value: float) -> None:
        self._fit()
        self.valueChanged.emit(value)

    def _set(name: str) -> Any:
        def write(self: Any, value: float) -> None:
            setattr(self._box, name, value)
            self._fit()

        return Property(float, lambda self: getattr(self._box, name), write)

    minimum, maximum, singleStep = _set("minimum"), _set("maximum"), _set("singleStep")
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 0.0)
    tickPosition = stored(int, "tickPosition", 0)
    tracking = stored(bool, "tracking", True)
    autoSpinBoxWidth = stored(bool, "autoSpinBoxWidth", True)
    popupSlider = stored(bool, "popupSlider", False)
    decimals = forwarded(int, "_box", "decimals")
    prefix, suffix = forwarded(str, "_box", "prefix"), forwarded(str, "_box", "suffix")
    spinBoxVisible = Property(bool, lambda self: not self._box.isHidden(), lambda self, v: self._box.setVisible(v))
    value = Property(float, lambda self: self._box.value, lambda self, v: setattr(self._box, "value", v))

    def setValue(self, value: float) -> None:
        self._box.value = value

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._box.setVisible(visible)

    def reset(self) -> None:
        self._box.value = 0.0


@stands_for_cpp
class ctkRangeWidget(qt.QWidget):
    """Two values, the smaller and the larger, in spin boxes with a bar between them."""

    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    rangeChanged = Signal(float, float)
    signals: ClassVar[dict[str, str]] = {
        "valuesChanged(double,double)": "valuesChanged",
        "minimumValueChanged(double)": "minimumValueChanged",
        "maximumValueChanged(double)": "maximumValueChanged",
        "rangeChanged(double,double)": "rangeChanged",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._low, self._high, self._bar = qt.QDoubleSpinBox(self), qt.QDoubleSpinBox(self), _RangeBar(self)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget, stretch in [(self._low, 0), (self._bar, 1), (self._high, 0)]:
            layout.addWidget(widget, stretch)
        for box in self._low, self._high:
            box.maximum = 99.0
        self._high.value = 99.0
        self._low.valueChanged.connect(self._low_typed)
        self._high.valueChanged.connect(self._high_typed)

    def _low_typed(self, value: float) -> None:
        if value > self._high.value:
            self._high.value = value
        self.minimumValueChanged.emit(value)
        self.valuesChanged.emit(value, self._high.value)
        self._bar.update()

    def _high_typed(self, value: float) -> None:
        if value < self._low.value:
            self._low.value = value
        self.maximumValueChanged.emit(value)
        self.valuesChanged.emit(self._low.value, value)
        self._bar.update()

    def _set(name: str, kind: Any = float) -> Any:
        def write(self: Any, value: Any) -> None:
            for box in self._low, self._high:
                setattr(box, name, value)
            if name in ("minimum", "maximum"):
                self.rangeChanged.emit(self._low.minimum, self._low.maximum)
            self._bar.update()

        return Property(kind, lambda self: getattr(self._low, name), write)

    minimum, maximum, singleStep = _set("minimum"), _set("maximum"), _set("singleStep")
    decimals, prefix, suffix = _set("decimals", int), _set("prefix", str), _set("suffix", str)
    minimumValue, maximumValue = forwarded(float, "_low", "value"), forwarded(float, "_high", "value")
    tracking = stored(bool, "tracking", True)
    symmetricMoves = stored(bool, "symmetricMoves", False)
    autoSpinBoxWidth = stored(bool, "autoSpinBoxWidth", True)
    tickInterval = stored(float, "tickInterval", 0.0)

    def setRange(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def setMinimumValue(self, value: float) -> None:
        self._low.value = value

    def setMaximumValue(self, value: float) -> None:
        self._high.value = value

    def setValues(self, low: float, high: float) -> None:
        if low > self._high.value:
            self._high.value = high
        self._low.value = low
        self._high.value = high

    def reset(self) -> None:
        self.setValues(0.0, 0.0)


class _RangeBar(qt.QWidget):
    """The drawing of a range between its two spin boxes."""

    def sizeHint(self) -> Any:
        return qt.QSize(60, 20)

    def paintEvent(self, event: Any) -> None:
        owner, painter = self.parent(), qt.QPainter(self)
        whole = max(owner.maximum - owner.minimum, 1e-9)
        low, high = [
            6 + (self.width - 12) * (value - owner.minimum) / whole
            for value in (owner.minimumValue, owner.maximumValue)
        ]
        middle = self.height // 2
        painter.fillRect(qt.QRectF(4, middle - 2, self.width - 8, 4), self.palette.mid())
        painter.fillRect(qt.QRectF(low, middle - 2, high - low, 4), self.palette.highlight())
        painter.setBrush(self.palette.button())
        painter.setPen(self.palette.buttonText().color())
        for x in (low, high):
            painter.drawRect(qt.QRectF(x - 4, middle - 7, 8, 14))


@stands_for_cpp
class ctkDoubleRangeSlider(ctkRangeWidget):
    """The bar of a ctkRangeWidget alone."""

    positionsChanged = Signal(float, float)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((a for a in arguments if isinstance(a, qt.QWidget)), None))
        self._low.hide()
        self._high.hide()


@stands_for_cpp
class ctkPathLineEdit(qt.QWidget):
    """A path to a file or folder, typed or chosen in a dialog."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    Dirs, Files, Drives, NoSymLinks = 1, 2, 4, 8
    AllEntries = Dirs | Files | Drives
    Readable, Writable, Executable, Modified, Hidden, System = 0x10, 0x20, 0x40, 0x80, 0x100, 0x200
    AllDirs, CaseSensitive, NoDotAndDotDot, NoDot, NoDotDot, NoFilter = 0x400, 0x800, 0x1000, 0x2000, 0x4000, -1

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((a for a in arguments if isinstance(a, qt.QWidget)), None))
        self._button = qt.QToolButton(self)
        self._button.text = "..."
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.spacing = 0
        layout.addWidget(self._button)
        self._validator = qt.QRegularExpressionValidator(self)
        self._valid, self._box, self._line = False, None, None
        self._makeEditor(True)
        self._button.clicked.connect(self.browse)
        self.setFocusProxy(self._line)

    def _makeEditor(self, withHistory: bool) -> None:
        path, former = "" if self._line is None else self._line.text, self._box or self._line
        if former is not None:
            former.setParent(None)
            former.deleteLater()
        self._box = qt.QComboBox(self) if withHistory else None
        if withHistory:
            self._box.editable = True
            self._box.setSizePolicy(qt.QSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed))
            self._box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
        self._line = self._box.lineEdit() if withHistory else qt.QLineEdit(self)
        self._line.setValidator(self._validator)
        self.layout().insertWidget(0, self._box or self._line)
        self._updateFilter()
        self.retrieveHistory()
        self.setCurrentPath(path)
        self._line.textChanged.connect(self._edited)

    def _updateFilter(self) -> None:
        """Accept the suffixes of all filters as CTK does, which does not know "*"; without any, all but no text."""
        suffixes = re.findall(r"\*\.(\w+)", " ".join(self.nameFilters))
        pattern = "|".join(rf".*\.{suffix}?$" for suffix in suffixes)
        self._validator.setRegularExpression(qt.QRegularExpression(f"({pattern})" if suffixes else ".+"))

    def _edited(self, text: str) -> None:
        before, self._valid = self._valid, self._line.hasAcceptableInput()
        if self._valid:
            self.currentPathChanged.emit(text)
        if self._valid != before:
            self.validInputChanged.emit(self._valid)

    def setCurrentPath(self, path: str) -> None:
        self._line.text = path

    currentPath = Property(str, lambda self: self._line.text, setCurrentPath)
    label = stored(str, "label", "")
    filters = stored(int, "filters", AllEntries | NoDotAndDotDot | Readable)
    options = stored(int, "options", 0)
    nameFilters = stored("QStringList", "nameFilters", [], "_updateFilter")
    settingKey = stored(str, "settingKey", "", "retrieveHistory")
    showHistoryButton = Property(bool, lambda self: self._box is not None, _makeEditor)
    showBrowseButton = Property(
        bool, lambda self: not self._button.isHidden(), lambda self, v: self._button.setVisible(v)
    )
    sizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 1)
    minimumContentsLength = stored(int, "minimumContentsLength", 0)

    def browse(self) -> None:
        if self.filters & self.Files:
            chosen, _ = qt.QFileDialog.getOpenFileName(self, self.label, self.currentPath, ";;".join(self.nameFilters))
        else:
            chosen = qt.QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        if chosen:
            self.setCurrentPath(chosen)

    def retrieveHistory(self) -> None:
        if self._box is None:
            return
        current = self.currentPath
        self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems(qt.QSettings().value(f"PathLineEdit/{self.settingKey}") or [])
        self._box.setEditText(current)
        self._box.blockSignals(False)

    def addCurrentPathToHistory(self) -> None:
        key = f"PathLineEdit/{self.settingKey}"
        history = [path for path in qt.QSettings().value(key) or [] if path != self.currentPath]
        qt.QSettings().setValue(key, [self.currentPath, *history][:10])
        self.retrieveHistory()


@stands_for_cpp
class ctkDirectoryButton(qt.QWidget):
    """A button that shows a folder and lets another be chosen."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((a for a in arguments if isinstance(a, qt.QWidget)), None))
        self._button = qt.QPushButton(self)
        self._directory = ""
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(self.browse)

    def setDirectory(self, path: str) -> None:
        self._button.text = path
        if path != self._directory:
            self._directory = path
            self.directoryChanged.emit(path)

    directory = Property(str, lambda self: self._directory, setDirectory)
    caption = stored(str, "caption", "")

    def browse(self) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(self, self.caption, self._directory)
        if chosen:
            self.setDirectory(chosen)
            self.directorySelected.emit(chosen)


@stands_for_cpp
class ctkComboBox(qt.QComboBox):
    """A combo box that draws a text while nothing is chosen; it is not Qt's placeholder, which changes what is chosen.

    Like every QComboBox without a placeholder, it chooses the first item that comes into it.
    """

    NeverScroll, AlwaysScroll, ScrollWithFocus, ScrollWithNoVScrollBar = range(4)

    def _set_user_data(self, text: str) -> None:
        self.currentIndex = self.findData(text)

    defaultText = stored(str, "defaultText", "", "update")
    currentUserDataAsString = Property(str, lambda self: str(self.currentData or ""), _set_user_data)
    forceDefault = stored(bool, "forceDefault", False, "update")
    elideMode = stored(int, "elideMode", int(qt.Qt.ElideNone), "update")
    scrollWheelEffect = stored(int, "scrollWheelEffect", AlwaysScroll)

    def _shown_text(self) -> str:
        return self.defaultText if self.currentIndex < 0 or self.forceDefault else self.currentText

    def paintEvent(self, event: Any) -> None:
        option, painter = qt.QStyleOptionComboBox(), qt.QStylePainter(self)
        self.initStyleOption(option)
        room = self.style().subControlRect(qt.QStyle.CC_ComboBox, option, qt.QStyle.SC_ComboBoxEditField, self)
        mode = qt.Qt.TextElideMode(self.elideMode)
        option.currentText = option.fontMetrics.elidedText(self._shown_text(), mode, room.width())
        painter.drawComplexControl(qt.QStyle.CC_ComboBox, option)
        painter.drawControl(qt.QStyle.CE_ComboBoxLabel, option)
        painter.end()


@stands_for_cpp
class ctkCheckableComboBox(qt.QComboBox):
    """A combo box whose items can be ticked; it shows the names of those that are, None or All.

    Ticks are data of the model's rows, by Qt's CheckStateRole: each row that comes in is made tickable and unticked,
    and a row that goes takes its tick with it, without a signal until other data changes. A parent's tick follows from
    its children's. Left out is the tick of the model's header.
    """

    checkedIndexesChanged = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._checked: list[Any] = []
        self._pressed = self._updating = False
        self.setCheckableModel(self.model())
        for watched in (self.view(), self.view().viewport()):
            watched.installEventFilter(self)

    def setCheckableModel(self, model: Any) -> None:
        if self.__dict__.get("_connected") is not None:
            self._connected.dataChanged.disconnect(self._data_changed)
            self._connected.rowsInserted.disconnect(self._rows_inserted)
        if model is not self.model():
            self.setModel(model)
        self._connected = model
        model.dataChanged.connect(self._data_changed)
        model.rowsInserted.connect(self._rows_inserted)
        self._update_checked()

    def _indexes_with(self, state: Any) -> list[Any]:
        first = self.model().index(0, 0, self.rootModelIndex())
        return self.model().match(first, qt.Qt.CheckStateRole, int(state.value), -1, qt.Qt.MatchRecursive)

    def _update_checked(self) -> None:
        checked = [qt.QPersistentModelIndex(index) for index in self._indexes_with(qt.Qt.Checked)]
        if checked != self._checked:
            self._checked = checked
            self.checkedIndexesChanged.emit()

    def _rows_inserted(self, parent: Any, first: int, last: int) -> None:
        for row in range(first, last + 1):
            self.setCheckState(self.model().index(row, 0, parent), qt.Qt.Unchecked)

    def _data_changed(self, first: Any, last: Any, roles: Any = ()) -> None:
        if not self._updating and first.data(qt.Qt.CheckStateRole) is not None:
            self._updating = True
            self._tick_children(first)
            self._follow_children(first.parent())
            self._updating = False
        self._update_checked()

    def _tick_children(self, parent: Any) -> None:
        state = self.checkState(parent)
        if state != qt.Qt.PartiallyChecked:
            for row in range(self.model().rowCount(parent)):
                child = self.model().index(row, 0, parent)
                self.setCheckState(child, state)
                self._tick_children(child)

    def _follow_children(self, parent: Any) -> None:
        if not parent.isValid() or parent.data(qt.Qt.CheckStateRole) is None:
            return
        children = [self.model().index(row, 0, parent) for row in range(self.model().rowCount(parent))]
        states = {self.checkState(child) for child in children if child.data(qt.Qt.CheckStateRole) is not None}
        state = states.pop() if len(states) == 1 else qt.Qt.PartiallyChecked
        if state != self.checkState(parent):
            self.setCheckState(parent, state)
            self._follow_children(parent.parent())

    def checkedIndexes(self) -> list[Any]:
        return [qt.QModelIndex(index) for index in self._checked if index.isValid()]

    def allChecked(self) -> bool:
        return len(self._indexes_with(qt.Qt.Checked)) == self.count

    def noneChecked(self) -> bool:
        return len(self._indexes_with(qt.Qt.Unchecked)) == self.count

    def checkState(self, index: Any) -> Any:
        return qt.Qt.CheckState(index.data(qt.Qt.CheckStateRole) or 0)

    def setCheckState(self, index: Any, state: Any) -> None:
        self.model().setData(index, int(qt.Qt.CheckState(state).value), qt.Qt.CheckStateRole)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Check an item at a click into the opened list, and keep the list open."""
        view = self.view()
        if event.type() == qt.QEvent.MouseButtonPress and view.isVisible():
            self._pressed = True
        elif event.type() == qt.QEvent.MouseButtonRelease:
            index, pressed = view.currentIndex(), self._pressed
            self._pressed = False
            wanted = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
            inside = view.rect.contains(event.position().toPoint())
            if view.isVisible() and inside and index.isValid() and (index.flags() & wanted) == wanted:
                if pressed:
                    self.setCurrentIndex(index.row())
                    ticked = self.checkState(index) == qt.Qt.Checked
                    self.setCheckState(index, qt.Qt.Unchecked if ticked else qt.Qt.Checked)
                return True
        return super().eventFilter(watched, event)

    def paintEvent(self, event: Any) -> None:
        option, painter = qt.QStyleOptionComboBox(), qt.QStylePainter(self)
        self.initStyleOption(option)
        partly = len(self._indexes_with(qt.Qt.PartiallyChecked))
        if len(self._indexes_with(qt.Qt.Unchecked)) + partly == self.count:
            option.currentText = "None"
        elif len(self._indexes_with(qt.Qt.Checked)) + partly == self.count:
            option.currentText = "All"
        else:
            option.currentText = ", ".join(str(index.data()) for index in self.checkedIndexes())
        painter.drawComplexControl(qt.QStyle.CC_ComboBox, option)
        painter.drawControl(qt.QStyle.CE_ComboBoxLabel, option)
        painter.end()


@stands_for_cpp
class ctkCheckBox(qt.QCheckBox):
    pass


@stands_for_cpp
class ctkPushButton(qt.QPushButton):
    elideMode = stored(int, "elideMode", 3)


@stands_for_cpp
class ctkCheckablePushButton(ctkPushButton):
    checkBoxControlsButton = stored(bool, "checkBoxControlsButton", True)


@stands_for_cpp
class ctkMenuButton(qt.QPushButton):
    pass


@stands_for_cpp
class ctkSpinBox(qt.QSpinBox):
    pass


@stands_for_cpp
class ctkDoubleSpinBox(qt.QDoubleSpinBox):
    invertedControls = stored(bool, "invertedControls", False)


@stands_for_cpp
class ctkFittedTextBrowser(qt.QTextBrowser):
    """A text as high as it needs to be."""

    collapsed = stored(bool, "collapsed", False, "updateGeometry")
    collapsible = stored(bool, "collapsible", False)

    def sizeHint(self) -> Any:
        document = self.document
        document.setTextWidth(self.viewport().width)
        return qt.QSize(200, int(document.size.height()) + 2 * self.frameWidth)


@stands_for_cpp
class ctkColorPickerButton(qt.QPushButton):
    colorChanged = Signal(qt.QColor)

    def setColor(self, color: Any) -> None:
        if color != self.color:
            self.__dict__["_color"] = qt.QColor(color)
            self.update()
            self.colorChanged.emit(color)

    color = Property(qt.QColor, lambda self: self.__dict__.get("_color", qt.QColor(0, 0, 0)), setColor)
    displayColorName = stored(bool, "displayColorName", True)

    def paintEvent(self, event: Any) -> None:
        super().paintEvent(event)
        qt.QPainter(self).fillRect(self.rect.adjusted(6, 6, -6, -6), self.color)


@stands_for_cpp
class ctkMessageBox(qt.QMessageBox):
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")


@stands_for_cpp
class ctkExpandableWidget(qt.QFrame):
    pass


@stands_for_cpp
class ctkDynamicSpacer(qt.QWidget):
    pass
