"""The panel's layout: nothing is cut off, every widget has a tooltip, Tab goes from top to bottom."""

import ast
import re
import xml.etree.ElementTree as ElementTree

import pytest
import qt

from Testing import harness
from Testing.conftest import repository
from Testing.panel.conftest import rigid

narrow = 350


ui_file = repository / "BSAFusion" / "Resources" / "UI" / "BSAFusion.ui"


def widgets_of():
    return [(node.get("class"), node.get("name")) for node in ElementTree.parse(ui_file).iter("widget")]


@pytest.fixture
def opened(ready, finish, add_transform):
    """The panel with all that it can show: a result, every section open, and the longest words in it."""
    finish()
    ui = ready.ui
    ui.advancedCollapsibleButton.collapsed = ui.expertCollapsibleButton.collapsed = False
    ui.startComboBox.currentIndex = 2
    ui.startTransformSelector.setCurrentNode(add_transform(rigid()))
    ui.setupFrame.visible = True
    ui.setupLabel.text = (
        "Not installed yet: torch, einops, safetensors. Installing them needs the network and 5 GB of disk."
    )
    for part in (ui.cancelButton, ui.progressBar, ui.stageLabel, ui.setupProgressBar):
        part.visible = True
    ui.stageLabel.text = "Making one deformation of all slices, 100 %; about 100 min left"
    ready.run.say(
        "There is no weights file C:/Users/somebody/Documents/weights.safetensors; choose another.", warn=True
    )
    ready.parent.resize(narrow, ready.parent.sizeHint.height())
    harness.wait_until(lambda: True)
    ready.parent.resize(narrow, ready.parent.heightForWidth(narrow))
    harness.wait_until(lambda: True)
    return ready


def visible(widget):
    return [child for child in widget.parent.findChildren(qt.QWidget) if child.isVisible()]


def test_the_words_are_slicers_in_us_spelling():
    strings = ElementTree.parse(ui_file).iter("string")
    texts = {node.text for node in strings if node.text and node.get("notr") != "true"}  # the others are nobody's words
    words = ("Fixed volume:", "Moving volume:", "Initialization:", "Output transform:", "Apply transform to:")
    assert "Display" in texts
    assert [word for word in words if word not in texts] == []
    british = re.compile(r"colour|centre|grey|isation|behaviour", re.IGNORECASE)
    assert [text for text in texts if british.search(text)] == []


def test_the_preset_comes_first_and_what_few_need_lies_under_expert(ui):
    fields = [name for kind, name in widgets_of() if kind.endswith(("ComboBox", "Selector", "CheckBox", "SpinBox"))]
    assert fields[0] == "presetComboBox"
    rare = ("precision", "sliceAxis", "threeAxes", "refine", "doNoHarm", "foldFree", "batchSize")
    under_expert = {child.objectName for child in ui.expertCollapsibleButton.findChildren(qt.QWidget)}
    for name in rare:
        assert {f"{name}ComboBox", f"{name}CheckBox", f"{name}SpinBox"} & under_expert, name


def test_every_widget_says_what_it_is_for(ui):
    containers = ("qMRMLWidget", "QFrame")
    silent = [name for kind, name in widgets_of() if kind not in containers and not getattr(ui, name).toolTip]
    assert silent == []


def test_every_field_has_a_name_that_is_read_out(ui):
    """A screen reader takes it from the text of a button or box, or from the label whose buddy the field is."""
    named = {child.buddy() for child in ui.BSAFusion.findChildren(qt.QLabel)}
    kinds = ("ComboBox", "SpinBox", "Slider", "CheckBox", "LineEdit", "SliderWidget")
    fields = [getattr(ui, name) for kind, name in widgets_of() if kind.endswith(kinds)]
    assert len(fields) > 20
    silent = [field for field in fields if field not in named and not field.accessibleName]
    assert [field.objectName for field in silent if not (isinstance(field, qt.QCheckBox) and field.text)] == []


def test_nothing_sticks_out_at_a_width_of_350_pixels(opened):
    assert opened.parent.width == narrow
    out = []
    for child in visible(opened):
        corner = child.mapTo(opened.parent, qt.QPoint(0, 0))
        if corner.x() < 0 or corner.x() + child.width > narrow or corner.y() + child.height > opened.parent.height:
            out.append(child.objectName)
    assert out == []


def test_no_text_is_cut_off_at_a_width_of_350_pixels(opened):
    texts = [name for kind, name in widgets_of() if kind.endswith(("QLabel", "Button", "CheckBox", "SpinBox"))]
    cut = []
    for child in (getattr(opened.ui, name) for name in texts if not name.endswith("CollapsibleButton")):
        if not child.isVisible():
            continue
        wraps = isinstance(child, qt.QLabel) and child.wordWrap
        needed = child.minimumSizeHint
        height = child.heightForWidth(child.width) if wraps else needed.height()
        if child.height < height or (not wraps and child.width < needed.width()):
            cut.append(f"{child.objectName}: {child.width} x {child.height} of {needed.width()} x {height}")
    assert cut == []


def test_the_choices_in_lists_can_be_read_at_a_width_of_350_pixels(opened):
    cut = []
    for name in ("preset", "modality", "start", "sliceAxis", "view", "colorMap"):
        box = getattr(opened.ui, f"{name}ComboBox")
        room = (
            box.style().subControlRect(qt.QStyle.CC_ComboBox, _option(box), qt.QStyle.SC_ComboBoxEditField, box).width()
        )
        longest = max(box.fontMetrics().horizontalAdvance(box.itemText(n)) for n in range(box.count))
        if longest > room:
            cut.append(name)
    assert cut == []


def _option(box):
    option = qt.QStyleOptionComboBox()
    option.initFrom(box)
    return option


def test_the_tabulator_goes_through_the_panel_from_top_to_bottom(opened):
    own = {getattr(opened.ui, name) for _kind, name in widgets_of()}
    order, widget = [], opened.ui.BSAFusion.nextInFocusChain()
    while widget is not opened.ui.BSAFusion:
        if widget in own and widget.isVisible() and widget.focusPolicy & qt.Qt.TabFocus and widget.enabled:
            order.append(widget)
        widget = widget.nextInFocusChain()
    assert len(order) > 20
    tops = [widget.mapTo(opened.parent, qt.QPoint(0, 0)).y() for widget in order]
    within_a_row = 10  # pixels that the tops of neighbours may differ by
    backwards = [order[n].objectName for n in range(1, len(order)) if tops[n] < tops[n - 1] - within_a_row]
    assert backwards == []


def test_it_says_that_it_is_for_research_only(ui):
    assert ui.noticeLabel.visible
    assert ui.noticeLabel.text == "For research use only. Not for clinical use."


@pytest.mark.parametrize(
    "path", sorted((repository / "BSAFusionLib" / "panel").glob("*.py")), ids=lambda path: path.name
)
def test_every_sentence_that_the_panel_shows_can_be_translated(path):
    """Every text with a space in it goes through slicer.i18n, but for docstrings and what only the log shows."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    through = {"_", "logging.error"}
    told = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in through]
    exempt = {id(part) for node in told for part in ast.walk(node)}
    exempt |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in exempt]
    assert [text for text in texts if isinstance(text, str) and " " in text.strip()] == []


def test_no_two_things_share_a_place_in_a_form():
    forms = [form for form in ElementTree.parse(ui_file).iter("layout") if form.get("class") == "QFormLayout"]
    assert len(forms) > 3
    for form in forms:
        places = [
            (item.get("row"), column)
            for item in form.findall("item")
            for column in range(int(item.get("column")), int(item.get("column")) + int(item.get("colspan", 1)))
        ]
        assert len(places) == len(set(places)), form.get("name")
