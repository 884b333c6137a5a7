"""A window that several volumes share and that the user drags in any slice view."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import slicer
from vtkmodules.vtkCommonCore import vtkCommand

from BSAFusionLib.report.overlay import OverlayWindow

SMALLEST_WIDTH = 0.01  # of a window, as a share of its first width


class SharedWindow:
    """Keep the windows of volumes equal.

    Args:
        volumes: Their displays hold the window.
        window: The first one.
        transparent: Let the volumes be transparent below `window.shown_from`.

    Attributes:
        current: The window now.
        changed: Called after each change.
    """

    def __init__(
        self, volumes: Sequence[slicer.vtkMRMLVolumeNode], window: OverlayWindow, transparent: bool = False
    ) -> None:
        self.current = window
        self.changed: Callable[[], None] = lambda: None
        self._first = window
        self._transparent = transparent
        self._setting = False
        self._displays = [volume.GetDisplayNode() for volume in volumes]
        for display in self._displays:
            display.AddObserver(vtkCommand.ModifiedEvent, self._follow)

    def reset(self) -> None:
        """Return to the first window."""
        self._set(self._first)

    def _follow(self, display: slicer.vtkMRMLScalarVolumeDisplayNode, _event: str) -> None:
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        if not self._setting and (low, high) != (self.current.low, self.current.high):
            narrowest = SMALLEST_WIDTH * (self._first.high - self._first.low)
            self._set(replace(self.current, low=low, high=max(high, low + narrowest)))

    def _set(self, window: OverlayWindow) -> None:
        self.current = window
        self._setting = True
        for display in self._displays:
            display.AutoWindowLevelOff()
            display.SetWindowLevelMinMax(window.low, window.high)
            if self._transparent:
                display.SetThreshold(window.shown_from, max(window.high, display.GetUpperThreshold()))
        self._setting = False
        self.changed()
