"""Neither Slicer's start nor the opening of the panel waits for a large package to be imported."""

import subprocess
import sys

from Testing.conftest import repository

# In a process of its own, since the tests' imports all.
program = """
import sys
sys.path.insert(0, sys.argv[1])
from Testing import harness
import slicer

def report(when):
    large = ("SimpleITK", "scipy", "torch", "matplotlib")
    print(when, *(name for name in large if name in sys.modules))

with harness.running():
    report("before")
    harness.load_module(f"{sys.argv[1]}/BSAFusion/BSAFusion.py")
    slicer.app.startupCompleted.emit()
    report("started")
    panel = [name for name in sys.modules if name.startswith("BSAFusionLib.panel")]
    print("panel", *panel)
    slicer.util.selectModule("BSAFusion")
    assert slicer.util.getModuleWidget("BSAFusion").ui.applyButton.visible
    slicer.app.processEvents()
    report("opened")
"""


def test_neither_start_nor_panel_imports_simpleitk_scipy_torch_or_matplotlib():
    command = [sys.executable, "-c", program, str(repository)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.stdout.splitlines() == ["before", "started", "panel", "opened"], finished.stderr
