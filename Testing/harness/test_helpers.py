"""Waiting, clicking and looking do what a person would."""

import ctk
import pytest
import qt

from Testing import harness


@pytest.fixture
def panel(slicer_app):
    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    label = qt.QLabel("Register and fuse")
    label.name = "label"
    layout.addWidget(label)
    button = qt.QPushButton("Apply")
    button.name = "button"
    layout.addWidget(button)
    layout.addWidget(ctk.ctkCollapsibleButton("Advanced"))
    yield panel
    harness.set_palette(dark=False)


def brightness(image):
    return [[qt.qGray(image.pixel(x, y)) for x in range(image.width())] for y in range(image.height())]


def test_wait_until_lets_events_run_and_ends_with_the_condition(slicer_app):
    done = []
    qt.QTimer.singleShot(20, lambda: done.append(True))
    harness.wait_until(lambda: done, seconds=5)
    with pytest.raises(AssertionError, match=r"not so after 0\.05 s"):
        harness.wait_until(lambda: False, seconds=0.05)


def test_a_disabled_or_hidden_button_cannot_be_clicked(panel):
    panel.button.enabled = False
    with pytest.raises(AssertionError, match="button cannot be clicked: it is disabled"):
        harness.click(panel.button)
    panel.button.hide()
    with pytest.raises(AssertionError, match="button cannot be clicked: it is hidden"):
        harness.click(panel.button)


def test_a_click_is_that_of_a_mouse(panel):
    heard = []
    panel.button.connect("pressed()", lambda: heard.append("pressed"))
    panel.button.connect("clicked()", lambda: heard.append("clicked"))
    harness.click(panel.button)
    assert heard == ["pressed", "clicked"]


def test_text_is_drawn_with_real_letters(panel):
    assert qt.QFontInfo(panel.font).family() == "DejaVu Sans"
    alone = qt.QLabel("Register and fuse")  # in a layout, it would be resized while it is drawn
    picture = harness.grab(alone, width=200)
    inked = sum(gray < 100 for row in brightness(picture) for gray in row)
    assert 150 < inked < 1500  # boxes or blanks instead of 17 letters would be outside


def test_a_picture_has_the_wanted_size(panel, tmp_path):
    picture = harness.grab(panel, tmp_path / "panel.png", width=350, scale=2)
    assert picture.width() == 700
    assert picture.height() == 2 * panel.height
    assert qt.QImage(str(tmp_path / "panel.png")).size() == picture.size()


def test_the_dark_theme_is_dark(panel):
    harness.set_palette(dark=True)
    dark = brightness(harness.grab(panel, width=350))
    harness.set_palette(dark=False)
    light = brightness(harness.grab(panel, width=350))
    assert dark[2][2] < 80 < 200 < light[2][2]
