"""slicer.util.loadUI makes the widgets that a .ui file names, with their properties and connections."""

import ctk
import pytest
import qt
import slicer

panel = """<ui version="4.0">
 <class>Panel</class>
 <widget class="qMRMLWidget" name="Panel">
  <layout class="QFormLayout" name="form">
   <item row="0" column="0"><widget class="QLabel" name="label"><property name="text"><string>Fixed:</string></property>
   </widget></item>
   <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="fixedSelector">
    <property name="toolTip"><string>The volume that stays.</string></property>
    <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
    <property name="noneEnabled"><bool>true</bool></property>
    <property name="addEnabled"><bool>false</bool></property>
    <property name="SlicerParameterName" stdset="0"><string>fixedVolume</string></property>
   </widget></item>
   <item row="1" column="1"><widget class="ctkCollapsibleButton" name="advanced">
    <property name="text"><string>Advanced</string></property>
    <property name="collapsed"><bool>true</bool></property>
    <layout class="QVBoxLayout" name="inner">
     <item><widget class="ctkSliderWidget" name="smoothing">
      <property name="maximum"><double>20.0</double></property>
      <property name="value"><double>8.0</double></property>
      <property name="suffix"><string> mm</string></property>
     </widget></item>
     <item><widget class="ctkPathLineEdit" name="weights">
      <property name="filters"><set>ctkPathLineEdit::Files|ctkPathLineEdit::Readable</set></property>
      <property name="nameFilters"><stringlist><string>*.safetensors</string></stringlist></property>
     </widget></item>
     <item><widget class="QCheckBox" name="refine"><property name="checked"><bool>true</bool></property></widget></item>
    </layout>
   </widget></item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends></customwidget>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends></customwidget>
  <customwidget><class>ctkPathLineEdit</class><extends>QWidget</extends></customwidget>
 </customwidgets>
 <connections>
  <connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>fixedSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>
  <connection><sender>refine</sender><signal>toggled(bool)</signal>
   <receiver>weights</receiver><slot>setEnabled(bool)</slot></connection>
 </connections>
</ui>"""


@pytest.fixture
def load(slicer_app, tmp_path):
    def load(text):
        path = tmp_path / "Panel.ui"
        path.write_text(text, encoding="utf-8")
        return slicer.util.loadUI(str(path))

    return load


def test_widgets_are_of_the_named_classes_and_reached_by_their_names(load):
    ui = slicer.util.childWidgetVariables(load(panel))
    assert type(ui.fixedSelector) is slicer.qMRMLNodeComboBox
    assert type(ui.smoothing) is ctk.ctkSliderWidget
    assert type(ui.refine) is qt.QCheckBox
    assert ui.fixedSelector.property("SlicerParameterName") == "fixedVolume"


def test_properties_are_those_of_the_file(load):
    ui = slicer.util.childWidgetVariables(load(panel))
    assert ui.fixedSelector.toolTip == "The volume that stays."
    assert ui.fixedSelector.nodeTypes == ["vtkMRMLScalarVolumeNode"]
    assert ui.fixedSelector.noneEnabled
    assert not ui.fixedSelector.addEnabled
    assert (ui.smoothing.maximum, ui.smoothing.value, ui.smoothing.suffix) == (20, 8, " mm")
    assert ui.weights.filters == ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Readable
    assert ui.weights.nameFilters == ["*.safetensors"]
    assert ui.refine.checked


def test_what_is_collapsed_in_the_file_is_hidden_until_it_is_opened(load):
    widget = load(panel)
    ui = slicer.util.childWidgetVariables(widget)
    widget.show()
    assert ui.advanced.collapsed
    assert not ui.smoothing.visible
    ui.advanced.collapsed = False
    assert ui.smoothing.visible


def test_connections_of_the_file_are_made(load):
    widget = load(panel)
    ui = slicer.util.childWidgetVariables(widget)
    widget.setMRMLScene(slicer.mrmlScene)
    assert ui.fixedSelector.mrmlScene() is slicer.mrmlScene
    ui.refine.checked = False
    assert not ui.weights.enabled


def test_an_unknown_widget_is_named(load):
    with pytest.raises(RuntimeError, match=r"no widget qMRMLNodeComboBoxx, which the \.ui file names as fixedSelector"):
        load(panel.replace('class="qMRMLNodeComboBox"', 'class="qMRMLNodeComboBoxx"'))


def test_a_property_that_a_widget_lacks_is_named(load):
    with pytest.raises(RuntimeError, match=r"fixedSelector .*nodeType"):
        load(panel.replace('name="nodeTypes"', 'name="nodeType"'))


def test_a_missing_file_is_an_error(slicer_app):
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("nowhere.ui")
