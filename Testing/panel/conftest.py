"""The module in a running Slicer: real Qt widgets, a real scene, phantom heads, a network of random weights."""

import threading
from types import SimpleNamespace

import pytest
import slicer

from BSAFusionLib.errors import Cancelled
from Testing import harness
from Testing.conftest import repository
from Testing.harness import event_loop
from Testing.scene.conftest import add_head, add_transform, lattice, rigid, weights  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def lock_released():
    """Slicer's loop keeps Python's lock; until runs leave this process, that would make each test take a minute."""
    event_loop.keep_lock(False)
    yield
    event_loop.keep_lock(True)


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
    parameters.doNoHarm = False  # random weights help nobody, but something is to be seen
    return widget


@pytest.fixture
def finish(ready):
    """finish() clicks the button and waits until the run has ended."""

    def finish():
        harness.click(ready.ui.applyButton)
        harness.wait_until(lambda: not ready.run.running, seconds=60)

    return finish


@pytest.fixture
def held(ready, monkeypatch):
    """A run whose computing, once it has begun, waits: for Cancel, or for held.go(), which lets it compute after all.

    held.raises: what it raises then instead, where a test sets it.
    """
    held = SimpleNamespace(go=threading.Event(), begun=threading.Event(), raises=None)
    compute = ready.logic.compute

    def wait(job, progress, cancelled):
        progress("registration", 0.5, (12, 91))
        held.begun.set()
        while not held.go.wait(0.01):
            if cancelled():
                raise Cancelled
        if held.raises is not None:
            raise held.raises
        return compute(job, progress, cancelled)

    monkeypatch.setattr(ready.logic, "compute", wait)
    yield held
    held.go.set()


@pytest.fixture
def begin(ready, held):
    """begin() clicks the button and waits until the computing, then held, has begun."""

    def begin():
        harness.click(ready.ui.applyButton)
        harness.wait_until(held.begun.is_set, seconds=60)

    return begin


def state(scene):
    """Every node of the scene, but for the panel's own parameters, with its place and the time when it last changed."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [
        (node.GetID(), node.GetName(), node.GetMTime())
        for node in nodes
        if node.GetClassName() != "vtkMRMLScriptedModuleNode"
    ]
