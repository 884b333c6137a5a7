"""Each rule of PythonQt that the harness lays over PySide6 (https://github.com/commontk/PythonQt, src/)."""

import gc

import pytest
import qt

pytestmark = pytest.mark.usefixtures("slicer_app")


def test_a_property_is_an_attribute_and_hides_its_getter():
    label = qt.QLabel("before")
    label.text = "after"
    assert label.text == "after"
    with pytest.raises(TypeError, match="not callable"):
        label.text()


def test_getters_of_another_name_and_setters_stay_methods():
    box = qt.QCheckBox()
    box.setChecked(True)
    assert box.checked
    assert box.isChecked()


@pytest.mark.parametrize(
    ("widget", "name", "value"),
    [
        (qt.QSpinBox, "value", 7),
        (qt.QLineEdit, "placeholderText", "here"),
        (qt.QPushButton, "enabled", False),
        (qt.QLabel, "alignment", int(qt.Qt.AlignRight | qt.Qt.AlignTop)),
        (qt.QLabel, "wordWrap", True),
        (qt.QSlider, "orientation", qt.Qt.Horizontal),
        (qt.QProgressBar, "maximum", 12),
        (qt.QTabWidget, "tabPosition", qt.QTabWidget.South),
        (qt.QWidget, "toolTip", "what it does"),
        (qt.QWidget, "minimumWidth", 30),
        (qt.QWidget, "styleSheet", "color: red"),
        (qt.QTableWidget, "rowCount", 3),
    ],
)
def test_properties_of_every_kind_are_written_and_read(widget, name, value):
    made = widget()
    setattr(made, name, value)
    assert getattr(made, name) == value


def test_a_text_property_takes_whatever_has_a_text():
    label = qt.QLabel()
    label.text = 3
    assert label.text == "3"


def test_an_invalid_value_of_a_property_is_rejected():
    with pytest.raises(AttributeError, match="does not accept"):
        qt.QSpinBox().value = "many"
    with pytest.raises(AttributeError, match="not writable"):
        qt.QComboBox().count = 3


def test_unknown_attributes_can_be_neither_read_nor_written():
    button = qt.QPushButton()
    with pytest.raises(AttributeError, match="has no attribute named 'labell'"):
        _ = button.labell
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        button.labell = "Apply"


def test_methods_and_signals_cannot_be_overwritten():
    button = qt.QPushButton()
    with pytest.raises(AttributeError, match="Slot 'setText' can not be overwritten"):
        button.setText = "Apply"
    with pytest.raises(AttributeError, match="Signal 'clicked' can not be overwritten"):
        button.clicked = print


def test_a_class_derived_in_python_has_attributes_of_its_own():
    class Counter(qt.QLabel):
        def __init__(self):
            super().__init__("0")
            self.count = 0

        def sizeHint(self):
            return qt.QSize(30, 40)

    counter = Counter()
    counter.count += 1
    counter.text = counter.count
    counter.adjustSize()
    assert (counter.text, counter.width, counter.height) == ("1", 30, 40)


def test_name_is_the_object_name_and_a_named_child_is_an_attribute():
    parent = qt.QWidget()
    child = qt.QLabel(parent)
    child.name = "status"
    assert child.objectName == "status"
    assert parent.status is child
    assert parent.findChild(qt.QLabel, "status") is child
    assert parent.children() == [child]
    assert child.className() == "QLabel"


def test_a_dynamic_property_is_an_attribute_once_it_is_there():
    widget = qt.QWidget()
    assert widget.property("SlicerParameterName") is None
    widget.setProperty("SlicerParameterName", "fixedVolume")
    assert widget.SlicerParameterName == "fixedVolume"


def test_connect_takes_a_signature_and_hands_over_as_much_as_the_function_takes():
    button, heard = qt.QPushButton(), []
    button.connect("clicked(bool)", lambda checked: heard.append(checked))
    button.connect("clicked(bool)", lambda: heard.append("no argument"))
    button.connect("clicked()", lambda *arguments: heard.append(arguments))
    button.click()
    assert heard == [False, "no argument", ()]


def test_connect_reaches_a_slot_by_its_signature():
    box, label = qt.QCheckBox(), qt.QLabel()
    box.connect("toggled(bool)", label, "setEnabled(bool)")
    box.checked = True
    box.checked = False
    assert not label.enabled


def test_disconnect_of_one_function_leaves_the_others():
    box, heard = qt.QSpinBox(), []

    class Listener:
        def first(self, value):
            heard.append(("first", value))

        def second(self, value):
            heard.append(("second", value))

    listener = Listener()
    box.connect("valueChanged(int)", listener.first)
    box.connect("valueChanged(int)", listener.second)
    box.disconnect("valueChanged(int)", listener.first)
    box.value = 2
    assert heard == [("second", 2)]


def test_what_python_has_let_go_of_is_still_disconnected():
    outer, heard = qt.QWidget(), []
    qt.QVBoxLayout(outer).addWidget(qt.QSpinBox())
    outer.findChild(qt.QSpinBox).connect("valueChanged(int)", heard.append)
    gc.collect()
    outer.findChild(qt.QSpinBox).disconnect("valueChanged(int)", heard.append)
    outer.findChild(qt.QSpinBox).value = 3
    assert heard == []


def test_a_signal_connects_and_disconnects_itself():
    box, heard = qt.QSpinBox(), []
    box.valueChanged.connect(heard.append)
    box.value = 1
    box.valueChanged.disconnect(heard.append)
    box.value = 2
    assert heard == [1]


def test_a_misspelt_signal_is_an_error():
    with pytest.raises(ValueError, match="QPushButton has no signal click"):
        qt.QPushButton().connect("click()", print)


def test_blocked_signals_are_not_heard():
    box, heard = qt.QSpinBox(), []
    box.connect("valueChanged(int)", heard.append)
    was_blocked = box.blockSignals(True)
    box.value = 3
    box.blockSignals(was_blocked)
    assert heard == []
    assert not was_blocked


def test_enumerations_are_integers_flat_and_nested():
    assert qt.Qt.Horizontal == qt.Qt.Orientation.Horizontal == 1
    assert qt.QMessageBox.Yes == 0x4000
    box, heard = qt.QCheckBox(), []
    box.connect("stateChanged(int)", heard.append)
    box.checked = True
    assert heard == [qt.Qt.Checked]


def test_a_timer_has_single_shot_as_function_and_as_property(slicer_app):
    heard = []
    qt.QTimer.singleShot(0, lambda: heard.append("now"))
    timer = qt.QTimer()
    timer.singleShot = True
    slicer_app.app.processEvents()
    assert heard == ["now"]
    assert timer.singleShot


def test_a_widget_keeps_its_natural_size():
    outer = qt.QWidget()
    layout = qt.QVBoxLayout(outer)
    for text in ("one", "two", "three"):
        layout.addWidget(qt.QPushButton(text))
    button = layout.itemAt(0).widget()
    assert outer.sizeHint.height() > 3 * button.sizeHint.height() > 30
