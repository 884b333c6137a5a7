"""The module in a running Slicer: real Qt widgets, a real scene, phantom heads, a network of random weights."""

import pytest
import slicer

from Testing import harness  # first, since it makes the module qt
from Testing.conftest import repository
from Testing.scene.conftest import add_head, add_transform, lattice, rigid, weights  # noqa: F401  (fixtures)
from Testing.worker.control import Control

from BSAFusionLib.panel import background  # isort: skip


class KeptWorker(background.Worker):
    """A worker that one panel hands on to the next, so that torch is imported once for all tests."""

    def close(self):
        if self._tasks:
            self._tasks.clear()
            self.stop()


@pytest.fixture(scope="session")
def kept_worker(tmp_path_factory):
    control = Control(tmp_path_factory.mktemp("control"))
    worker = KeptWorker(control.command("real"))
    yield worker, control
    background.Worker.close(worker)


@pytest.fixture
def worker(kept_worker, monkeypatch):
    """Return the worker's command: the real jobs, in a process that lasts."""
    worker, control = kept_worker
    monkeypatch.setattr(background, "Worker", lambda: worker)
    yield worker
    control.reset()


@pytest.fixture
def control(kept_worker):
    """Tells the worker what to do."""
    return kept_worker[1]


@pytest.fixture
def running():
    with harness.running() as running:
        yield running


@pytest.fixture
def scene(running):
    return running.scene


@pytest.fixture
def widget(running, worker):
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
    """Return a function that clicks the button and waits until the run has ended."""

    def finish():
        harness.click(ready.ui.applyButton)
        harness.wait_until(lambda: not ready.run.running, seconds=60)

    return finish


@pytest.fixture
def begin(ready, control):
    """Return a function that clicks the button and waits for a job, which then waits for control.let_go()."""

    def begin():
        control.hold("begun")
        harness.click(ready.ui.applyButton)
        harness.wait_until(lambda: ready.ui.progressBar.value == 50, seconds=60)

    return begin


def state(scene):
    """Return all nodes but the panel's own parameters, with ID, name and time of the last change."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [
        (node.GetID(), node.GetName(), node.GetMTime())
        for node in nodes
        if node.GetClassName() != "vtkMRMLScriptedModuleNode"
    ]
