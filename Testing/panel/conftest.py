"""The module in a running Slicer: its panel of real Qt widgets, a real scene, phantom heads and a network of random weights."""

import pytest
import slicer

from Testing import harness
from Testing.conftest import repository
from Testing.scene.conftest import add_head, add_transform, lattice, rigid, weights  # noqa: F401  (fixtures)


@pytest.fixture
def running():
    with harness.running() as running:
        yield running


@pytest.fixture
def scene(running):
    return running.scene


@pytest.fixture
def widget(running):
    """The module's widget, made and shown as by Slicer."""
    harness.load_module(repository / "BSAFusion" / "BSAFusion.py")
    slicer.util.selectModule("BSAFusion")
    return slicer.util.getModuleWidget("BSAFusion")


@pytest.fixture
def ui(widget):
    return widget.ui


@pytest.fixture
def heads(add_head):  # noqa: F811
    return add_head("MRI", "mri"), add_head("PET", "pet", lattice(rigid((3, 0, 2))))


@pytest.fixture
def ready(widget, heads, weights):  # noqa: F811
    """The panel with two heads chosen, and choices that make a run quick; the user's part is the button."""
    fixed, moving = heads
    widget.ui.fixedVolumeSelector.setCurrentNode(fixed)
    widget.ui.movingVolumeSelector.setCurrentNode(moving)
    parameters = widget.logic.getParameterNode()
    parameters.start = type(parameters.start).PLACED
    parameters.device = "cpu"
    parameters.weights = str(weights)
    parameters.strength = 1.0
    return widget


@pytest.fixture
def finish(ready):
    """finish() clicks the button and waits until the run has ended."""

    def finish():
        harness.click(ready.ui.applyButton)
        harness.wait_until(lambda: not ready.run.running, seconds=60)

    return finish
