"""Provide the parts of Slicer that slicer-core lacks, to test a scripted module with real Qt (PySide6) and scene.

    from Testing import harness

    @pytest.fixture
    def slicer_app():
        with harness.running() as running:          # an empty scene, nothing loaded; see application.Slicer
            yield running

    def test_the_button_waits_for_two_volumes(slicer_app):
        harness.load_module("BSAFusion/BSAFusion.py")
        widget = slicer.util.getModuleWidget("BSAFusion")   # made and set up now, as in Slicer
        assert not widget.ui.applyButton.enabled
        ...
        harness.click(widget.ui.applyButton)
        harness.wait_until(lambda: not widget.running, seconds=30)
        harness.grab(widget.parent, "panel.png", width=350)

Importing this package makes the modules `qt`, `ctk`, `SampleData`, `slicer.ScriptedLoadableModule`,
`slicer.parameterNodeWrapper` and `slicer.i18n` importable, and `slicer.app`, `slicer.modules`,
`slicer.qMRMLNodeComboBox`... exist. Real are Qt, the scene, its logics, and slicer.util but for its message boxes, pip
and module selector. What stands in for the rest, and by which rules, say `pythonqt`, `event_loop`, `ctk`, `qmrml`,
`ui_files`, `application`, `modules`, `files` and `SampleData`.

Where the environment variable SLICER_BASE_PYTHON names a folder laid out like Base/Python of Slicer's sources,
ScriptedLoadableModule, parameterNodeWrapper and i18n are taken from there instead of from `base_python`.

A process that ends with a segmentation fault when a node is modified: VTK calls an observer that Python's garbage
collector has emptied, because only the observer itself still held the node. It would happen in Slicer, too. Whoever
observes a node, and a parameterNodeWrapper bound to widgets does, must be outlived by another reference to it.

Qt draws without a display (QT_QPA_PLATFORM=offscreen, unless it is set) and needs of Debian what .ci/run installs.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from .pythonqt import qt

sys.modules["qt"] = qt

from . import ctk  # noqa: E402

sys.modules["ctk"] = ctk

import slicer  # noqa: E402

from . import application, event_loop, modules, qmrml, ui_files  # noqa: E402, F401

base_python = Path(os.environ.get("SLICER_BASE_PYTHON", Path(__file__).parent / "base_python"))
slicer.__path__.append(str(base_python / "slicer"))
qmrml.put_into_slicer()
application.make_application()
modules.put_into_slicer()

from . import SampleData  # noqa: E402

sys.modules["SampleData"] = SampleData

from .application import Message, Slicer, make_application, running  # noqa: E402
from .helpers import click, grab, set_palette, wait_until  # noqa: E402
from .modules import load_module  # noqa: E402

__all__ = [
    "Message",
    "Slicer",
    "click",
    "grab",
    "load_module",
    "make_application",
    "running",
    "set_palette",
    "wait_until",
]
