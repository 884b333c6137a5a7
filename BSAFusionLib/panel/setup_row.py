"""The row at the top of the panel that names missing packages and installs them on a click."""

from collections.abc import Callable
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.packages import (
    has_pytorch_extension,
    install_packages,
    missing_packages,
    oldest_version,
    outdated_packages,
    why_not_installable,
)


class SetupRow:
    """Names missing packages and installs them; hidden where none is missing.

    Args:
        ui: The panel's widgets.
        onMissing: Called with the names of missing packages, at first and whenever they may have changed.
    """

    def __init__(self, ui: SimpleNamespace, onMissing: Callable[[list[str]], None]) -> None:
        self._ui, self._onMissing = ui, onMissing
        ui.installButton.connect("clicked(bool)", self._install)
        ui.setupProgressBar.visible = False
        self.update()

    def update(self) -> None:
        """Check for missing packages and update the row."""
        missing = missing_packages()
        problem = why_not_installable(missing)
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
    """Return a message about absent and outdated packages and what installing them takes."""
    outdated = outdated_packages(missing)
    absent = [name for name in missing if name not in outdated]
    sentences = [_("Not installed yet: {packages}.").format(packages=", ".join(absent))] if absent else []
    sentences += [
        _("{package} {version} is installed, but {oldest} or later is needed; installing replaces it.").format(
            package=name, version=version, oldest=oldest_version(name)
        )
        for name, version in outdated.items()
    ]
    sentences.append(_("Installing needs an internet connection and up to 5 GB on the disk."))
    if "torch" in missing and not has_pytorch_extension():  # an extension installed from a file brings no other
        sentences.append(_("To use a GPU, install the PyTorch extension first: it picks the build of torch for it."))
    return " ".join(sentences)
