"""Act as a user in tests: wait, click, look, in a light or a dark theme."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtTest

from .event_loop import wait_for_events
from .pythonqt import qt

LONGEST_LOOK_MS = 100


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Run Qt's event loop until a condition holds.

    Python's global interpreter lock is released only while Python runs, as in Slicer (see `event_loop`): in slots, and
    when the condition is asked, which is after each event and at least every LONGEST_LOOK_MS.

    Args:
        condition: asked without arguments.
        seconds: the longest wait.

    Raises:
        AssertionError: the condition does not hold in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not so after {seconds:g} s: {condition.__qualname__}")
        wait_for_events(at_most_ms=LONGEST_LOOK_MS)


def click(widget: Any, where: Any = None) -> None:
    """Clicks with the mouse on a widget, which must be shown and enabled: at a QPoint, in its middle, or on its box."""
    top = widget.window()
    if not top.visible:
        top.show()
    slicer.app.processEvents()
    if not widget.isVisible():
        raise AssertionError(f"{widget.objectName} cannot be clicked: it is hidden")
    if not widget.enabled:
        raise AssertionError(f"{widget.objectName} cannot be clicked: it is disabled")
    middle = qt.QPoint(10, widget.height // 2) if isinstance(widget, qt.QCheckBox) else widget.rect.center()
    QtTest.QTest.mouseClick(widget, qt.Qt.LeftButton, qt.Qt.NoModifier, where or middle)
    slicer.app.processEvents()


def grab(
    widget: Any, path: str | Path | None = None, width: int | None = None, height: int | None = None, scale: float = 1.0
) -> Any:
    """Save a widget's picture as a PNG file and return it; without a height, as high as it needs.

    Each of its points is drawn as scale x scale pixels.
    """
    if not widget.isVisible():
        widget.show()
    widget.resize(width or widget.width, height or widget.height)
    slicer.app.processEvents()
    if height is None:
        wanted, least = widget.property("sizeHint").height(), widget.property("minimumSizeHint").height()
        needed = widget.heightForWidth(widget.width) if widget.hasHeightForWidth() else wanted
        widget.resize(widget.width, max(needed, least))
        slicer.app.processEvents()
    picture = qt.QPixmap(widget.size * scale)
    picture.fill(qt.Qt.white)  # a new pixmap holds whatever the memory held
    picture.setDevicePixelRatio(scale)
    widget.render(picture)
    if path is not None and not picture.save(str(path)):
        raise OSError(f"cannot write {path}")
    return picture.toImage()


def set_palette(dark: bool) -> None:
    """Set the colors of Slicer's dark or light style (qSlicerStyle) for all widgets."""
    colors = {
        "Window": ("#323232", "#f0f0f0"),
        "WindowText": ("#ffffff", "#000000"),
        "Base": ("#252525", "#ffffff"),
        "AlternateBase": ("#2c2c2c", "#f5f5f5"),
        "Text": ("#ffffff", "#000000"),
        "Button": ("#424242", "#f0f0f0"),
        "ButtonText": ("#ffffff", "#000000"),
        "BrightText": ("#ff4040", "#ff0000"),
        "Light": ("#5a5a5a", "#ffffff"),
        "Midlight": ("#4a4a4a", "#e3e3e3"),
        "Mid": ("#2a2a2a", "#a0a0a0"),
        "Dark": ("#1e1e1e", "#a0a0a0"),
        "Shadow": ("#101010", "#696969"),
        "Highlight": ("#2a82da", "#308cc6"),
        "HighlightedText": ("#ffffff", "#ffffff"),
        "Link": ("#6ab0f3", "#0000ff"),
        "ToolTipBase": ("#424242", "#ffffdc"),
        "ToolTipText": ("#ffffff", "#000000"),
        "PlaceholderText": ("#a0a0a0", "#808080"),
    }
    palette = qt.QPalette()
    for role, pair in colors.items():
        palette.setColor(getattr(qt.QPalette, role), qt.QColor(pair[0 if dark else 1]))
    for role in ("WindowText", "Text", "ButtonText"):
        palette.setColor(qt.QPalette.Disabled, getattr(qt.QPalette, role), qt.QColor("#808080"))
    qt.QApplication.setPalette(palette)
