"""The row at the top of the panel that says which packages are missing, and installs them on a click."""

from collections.abc import Callable
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.packages import install_packages, missing_packages


class SetupRow:
    """Hidden where nothing is missing. onMissing(names) is told what is, at first and whenever it may have changed."""

    def __init__(self, ui: SimpleNamespace, onMissing: Callable[[list[str]], None]) -> None:
        self._ui, self._onMissing = ui, onMissing
        ui.installButton.connect("clicked(bool)", self._install)
        ui.setupProgressBar.visible = False
        self.update()

    def update(self) -> None:
        """Looks for what is missing now, and says so."""
        missing = missing_packages()
        self._onMissing(missing)
        self._ui.setupFrame.visible = bool(missing)
        self._ui.setupLabel.text = _(
            "Not installed yet: {packages}. Installing them needs the network and up to 5 GB of disk."
        ).format(packages=", ".join(missing))

    def _install(self, checked: bool = False) -> None:
        ui = self._ui
        ui.installButton.enabled = False
        ui.setupProgressBar.visible = True
        problem = ""
        try:
            with slicer.util.WaitCursor():
                install_packages(self._say)
        except FusionError as error:
            problem = str(error)
        finally:
            ui.installButton.enabled = True
            ui.setupProgressBar.visible = False
        self.update()
        if problem:
            ui.setupFrame.visible = True
            ui.setupLabel.text = problem

    def _say(self, line: str) -> None:
        self._ui.setupLabel.text = line
        slicer.app.processEvents()
