"""An event loop that keeps Python's global interpreter lock while it waits, as Slicer's own does.

Slicer never calls PythonQt::setEnableThreadSupport, so neither `app.exec()` nor a Qt call from Python releases the lock
(PythonQt, src/PythonQtThreadSupport.cpp and PythonQtMethodInfo.cpp). A Python thread only runs while the main thread
executes Python: in a slot, an observer or a timer's function. PySide6 releases the lock in processEvents, so here Qt's
function is called through ctypes.PyDLL, which does not.

More lenient than Slicer: PySide6's other calls release the lock for as long as they take, and so do its own loops, such
as QDialog.exec().
"""

import ctypes
import sys
from pathlib import Path
from typing import Any

import PySide6

from .pythonqt import QtCore

_package = Path(PySide6.__file__).parent
_library = {
    "linux": _package / "Qt" / "lib" / "libQt6Core.so.6",
    "darwin": _package / "Qt" / "lib" / "QtCore.framework" / "Versions" / "A" / "QtCore",
    "win32": _package / "Qt6Core.dll",
}[sys.platform]
# static void QCoreApplication::processEvents(QEventLoop::ProcessEventsFlags), as each compiler names it.
_symbol = {
    "linux": "_ZN16QCoreApplication13processEventsE6QFlagsIN10QEventLoop17ProcessEventsFlagEE",
    "darwin": "_ZN16QCoreApplication13processEventsE6QFlagsIN10QEventLoop17ProcessEventsFlagEE",
    "win32": "?processEvents@QCoreApplication@@SAXV?$QFlags@W4ProcessEventsFlag@QEventLoop@@@@@Z",
}[sys.platform]


_process_events = ctypes.PyDLL(str(_library))[_symbol]
_process_events.argtypes, _process_events.restype = [ctypes.c_int], None


def process_events(flags: Any = QtCore.QEventLoop.AllEvents) -> None:
    """Handle the events that are due; no Python thread runs meanwhile, except during slots written in Python.

    Args:
        flags: QEventLoop's flags; with WaitForMoreEvents, wait for one event first.
    """
    _process_events(int(flags))


def wait_for_events(at_most_ms: int) -> None:
    """Wait for events and handle them; no Python thread runs meanwhile, except during slots written in Python.

    Args:
        at_most_ms: the longest wait, in milliseconds.
    """
    alarm = QtCore.QTimer()  # connected to nothing: it ends the wait, and runs no Python
    alarm.start(at_most_ms)
    process_events(QtCore.QEventLoop.AllEvents | QtCore.QEventLoop.WaitForMoreEvents)
    alarm.stop()


QtCore.QCoreApplication.processEvents = staticmethod(process_events)
