"""Keep VTK's messages off the console."""

from collections.abc import Iterator
from contextlib import contextmanager

from vtkmodules.vtkCommonCore import vtkObject, vtkOutputWindow


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress VTK's messages on the console within a `with` block, where our own message is enough."""
    window, warn = vtkOutputWindow.GetInstance(), vtkObject.GetGlobalWarningDisplay()
    mode = window.GetDisplayMode()
    window.SetDisplayModeToNever()
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(warn)
        window.SetDisplayMode(mode)
