"""The row at the top of the panel that says which packages are missing, and installs them on a click."""

from collections.abc import Callable
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.packages import (
    install_packages,
    missing_packages,
    oldest_version,
    outdated_packages,
    why_not_installable,
)


class SetupRow:
    """Hidden where nothing is missing; otherwise says what is, and installs it.

    Args:
        ui: The panel's widgets.
        onMissing: Is given the names of what is missing, at first and whenever they may have changed.
    """

    def __init__(self, ui: SimpleNamespace, onMissing: Callable[[list[str]], None]) -> None:
        self._ui, self._onMissing = ui, onMissing
        ui.installButton.connect("clicked(bool)", self._install)
        ui.setupProgressBar.visible = False
        self.update()

    def update(self) -> None:
        """Look for what is missing now, and say so."""
        missing, problem = missing_packages(), why_not_installable()
        self._onMissing(missing)
        self._ui.setupFrame.visible = bool(missing)
        self._ui.setupLabel.text = problem or _sentences(missing)
        self._ui.installButton.visible = not problem

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


def _sentences(missing: list[str]) -> str:
    """Return what is absent, what is too old, and what installing takes."""
    outdated = outdated_packages()
    absent = [name for name in missing if name not in outdated]
    said = [_("Not installed yet: {packages}.").format(packages=", ".join(absent))] if absent else []
    said += [
        _("{package} {version} is installed, but {oldest} or later is needed; installing replaces it.").format(
            package=name, version=version, oldest=oldest_version(name)
        )
        for name, version in outdated.items()
    ]
    return " ".join([*said, _("Installing needs the network and up to 5 GB of disk.")])
