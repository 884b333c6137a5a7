"""The widgets of CTK behave as their headers say (https://github.com/commontk/CTK, Libs/Widgets)."""

import ctk
import pytest
import qt
import slicer

from Testing import harness

pytestmark = pytest.mark.usefixtures("slicer_app")


def test_a_collapsible_button_hides_what_is_in_it_and_shows_it_again():
    button, heard = ctk.ctkCollapsibleButton("Advanced"), []
    form = qt.QFormLayout(button)
    shown, hidden = qt.QLineEdit(), qt.QLineEdit()
    form.addRow("shown", shown)
    form.addRow(hidden)
    hidden.hide()
    button.connect("contentsCollapsed(bool)", heard.append)
    button.show()
    open_height = button.property("sizeHint").height()
    button.collapsed = True
    assert not shown.visible
    assert not button.checked
    assert button.property("sizeHint").height() < open_height
    button.collapsed = False
    assert shown.visible
    assert not hidden.visible
    assert button.property("sizeHint").height() == open_height
    assert heard == [True, False]


def test_what_is_shown_or_hidden_while_it_is_collapsed_is_so_when_it_is_opened():
    button = ctk.ctkCollapsibleButton("Advanced")
    layout = qt.QVBoxLayout(button)
    first, second = qt.QLabel("first"), qt.QLabel("second")
    second.hide()
    layout.addWidget(first)
    layout.addWidget(second)
    button.collapsed = True
    button.show()
    first.hide()
    second.show()
    assert not first.visible
    assert not second.visible
    button.collapsed = False
    assert not first.visible
    assert second.visible


def test_a_click_on_the_title_collapses_but_one_below_does_not():
    button = ctk.ctkCollapsibleButton("Inputs")
    qt.QVBoxLayout(button).addWidget(qt.QLabel("a\nb\nc\nd\ne"))
    button.resize(200, 150)
    harness.click(button)
    assert not button.collapsed
    harness.click(button, qt.QPoint(20, 5))
    assert button.collapsed


def test_a_slider_and_its_box_show_the_same_value():
    slider, heard = ctk.ctkSliderWidget(), []
    slider.connect("valueChanged(double)", heard.append)
    slider.minimum, slider.maximum, slider.singleStep, slider.decimals = -1, 1, 0.1, 1
    slider.value = 0.26
    assert slider.value == heard[-1] == 0.3
    slider.value = 5
    assert slider.value == 1
    slider.findChild(qt.QSlider).value = 0
    assert slider.value == -1


def test_a_double_slider_keeps_what_is_set_and_moves_by_steps():
    slider, heard = ctk.ctkDoubleSlider(), []
    slider.connect("valueChanged(double)", heard.append)
    slider.minimum, slider.maximum, slider.singleStep = -1, 1, 0.1
    slider.value = 0.26
    assert slider.value == 0.26
    slider.value = 5
    assert slider.value == 1
    slider.findChild(qt.QSlider).value = -3
    assert slider.value == pytest.approx(-0.3)
    assert heard == pytest.approx([0.26, 1, -0.3])


def test_the_values_of_a_range_stay_in_order_and_in_bounds():
    widget, heard = ctk.ctkRangeWidget(), []
    widget.connect("valuesChanged(double,double)", lambda low, high: heard.append((low, high)))
    widget.minimum, widget.maximum = -1000, 2000
    widget.setValues(100, 300)
    assert heard[-1] == (100, 300)
    widget.minimumValue = 500
    assert (widget.minimumValue, widget.maximumValue) == (500, 500)
    widget.maximumValue = 5000
    assert widget.maximumValue == 2000


def test_a_path_is_signaled_once_and_remembered_when_asked(tmp_path):
    file = tmp_path / "weights.safetensors"
    file.touch()
    line, paths, valid = ctk.ctkPathLineEdit(), [], []
    line.settingKey = "Weights"
    line.connect("currentPathChanged(QString)", paths.append)
    line.connect("validInputChanged(bool)", valid.append)
    line.currentPath = str(file)
    line.setCurrentPath(str(file))
    assert paths == [str(file)]
    assert valid == [True]
    line.addCurrentPathToHistory()
    again = ctk.ctkPathLineEdit()
    again.settingKey = "Weights"
    assert again.currentPath == ""
    assert again.findChild(qt.QComboBox).itemText(0) == str(file)


def test_a_path_is_signaled_only_where_a_name_filter_fits():
    line, paths, valid = ctk.ctkPathLineEdit(), [], []
    line.nameFilters = ["Weights (*.safetensors *.pkl)", "All files (*)"]
    line.showHistoryButton = False
    line.connect("currentPathChanged(QString)", paths.append)
    line.connect("validInputChanged(bool)", valid.append)
    for text in ("own.pkl", "own.pk", "own.p", "own", ""):
        line.currentPath = text
    assert paths == ["own.pkl", "own.pk"]  # a suffix's last letter may lack
    assert valid == [True, False]
    assert line.currentPath == ""
    assert line.findChild(qt.QComboBox) is None


def test_a_combo_box_shows_its_default_text_while_nothing_is_chosen():
    box = ctk.ctkComboBox()
    box.defaultText = "Select one"
    box.addItem("CT", "ct")
    assert box.currentText == "CT"  # the first item to come is chosen
    box.currentIndex = -1
    harness.grab(box, width=200)
    assert box._shown_text() == "Select one"
    box.currentUserDataAsString = "ct"
    assert box.currentText == "CT"


def test_a_stand_in_refuses_unknown_attributes_like_any_widget_of_c_plus_plus():
    with pytest.raises(AttributeError, match="not allowed"):
        ctk.ctkSliderWidget().maximumm = 3
    with pytest.raises(AttributeError):
        ctk.ctkSliderWidget().setMaximum(3)  # neither slot nor property in C++


def test_a_qmrml_widget_hands_its_scene_on():
    outer, selector = slicer.qMRMLWidget(), slicer.qMRMLNodeComboBox()
    outer.connect("mrmlSceneChanged(vtkMRMLScene*)", selector, "setMRMLScene(vtkMRMLScene*)")
    outer.setMRMLScene(slicer.mrmlScene)
    assert selector.mrmlScene() is slicer.mrmlScene
