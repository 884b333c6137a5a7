"""A Slicer that lacks packages, or has a broken one: the panel opens, says what to do, and installs on a click."""

import importlib
import importlib.metadata
import os
import subprocess
import sys
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import pytest
import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml import packages
from Testing import harness
from Testing.conftest import repository


@pytest.fixture
def absent(running, monkeypatch):
    """A set of packages that this Slicer lacks; a test takes out of it what gets installed."""
    absent = set(packages.required)
    find = importlib.util.find_spec
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None if name in absent else find(name))
    return absent


def pinned_by_pip():
    """The lines of the constraints file that a pip started now would obey."""
    return open(unquote(urlparse(os.environ["PIP_CONSTRAINT"]).path), encoding="utf-8").read().split()


def test_the_panel_says_what_is_missing_and_the_button_waits_for_it(absent, ready):
    ui = ready.ui
    assert ui.setupFrame.visible
    assert "torch, einops, safetensors, matplotlib" in ui.setupLabel.text
    assert not ui.applyButton.enabled
    assert "Install the missing Python packages" in ui.applyButton.toolTip


def test_the_row_is_hidden_where_nothing_is_missing(ready):
    assert not ready.ui.setupFrame.visible


def test_a_click_installs_what_is_missing_and_nothing_that_slicer_ships(absent, running, ready, monkeypatch):
    monkeypatch.setenv("PIP_CONSTRAINT", "the user's own")
    seen = []

    def install(requirements):
        seen.extend(pinned_by_pip())
        print("Collecting torch")
        assert ready.ui.setupLabel.text == "Collecting torch"
        assert ready.ui.setupProgressBar.visible
        assert not ready.ui.installButton.enabled
        absent.clear()

    running.install = install
    harness.click(ready.ui.installButton)
    assert running.installed == [list(packages.required.values())]
    for name in ("numpy", "SimpleITK"):
        assert f"{name}=={importlib.metadata.version(name)}" in seen
    assert os.environ["PIP_CONSTRAINT"] == "the user's own"
    assert not ready.ui.setupFrame.visible
    assert ready.ui.applyButton.enabled


def test_torch_comes_by_the_pytorch_extension_where_there_is_one(absent, running, ready, monkeypatch):
    asked = []

    def install_torch(**options):
        asked.append(options)
        assert pinned_by_pip()
        absent.remove("torch")

    extension = SimpleNamespace(installTorch=install_torch)
    slicer.modules.pytorchutils = object()
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: {"PyTorchUtils": extension}[name])
    running.install = lambda requirements: absent.clear()
    try:
        harness.click(ready.ui.installButton)
    finally:
        del slicer.modules.pytorchutils
    assert asked == [{"torchVersionRequirement": ">=2.1"}]
    assert running.installed == [[packages.required[name] for name in ("einops", "safetensors", "matplotlib")]]
    assert ready.ui.applyButton.enabled


def test_slicers_own_packaging_is_used_where_there_is_one(absent, ready, monkeypatch):
    installed = []

    def pip_install(requirements):
        installed.append(requirements)
        absent.clear()

    monkeypatch.setitem(sys.modules, "slicer.packaging", SimpleNamespace(pip_install=pip_install))
    harness.click(ready.ui.installButton)
    assert installed == [list(packages.required.values())]


def test_a_failure_to_install_is_told_and_may_be_tried_again(absent, running, ready):
    def fail(requirements):
        raise subprocess.CalledProcessError(1, "pip")

    running.install = fail
    harness.click(ready.ui.installButton)
    assert "could not be installed" in ready.ui.setupLabel.text
    assert ready.ui.installButton.enabled
    assert not ready.ui.applyButton.enabled


def test_what_pip_says_reaches_the_panel_and_the_console(absent, running, ready, capsys):
    def fail(requirements):
        print("ERROR: no wheel for this Python")
        raise subprocess.CalledProcessError(1, "pip")

    running.install = fail
    harness.click(ready.ui.installButton)
    assert "ERROR: no wheel for this Python" in capsys.readouterr().out


def test_a_changed_numpy_is_noticed(absent, running, ready, monkeypatch):
    version = importlib.metadata.version

    def install(requirements):
        absent.clear()
        monkeypatch.setattr(packages.importlib.metadata, "version", lambda name: version(name) + ".post1")

    running.install = install
    harness.click(ready.ui.installButton)
    assert "changed numpy" in ready.ui.setupLabel.text
    assert "restart Slicer" in ready.ui.setupLabel.text


def test_a_script_without_the_packages_is_told_what_to_do(absent):
    with pytest.raises(FusionError, match=r'pip_install\("torch einops safetensors matplotlib"\)'):
        packages.require_packages()


@pytest.mark.parametrize("torch", ["missing", "broken"])
def test_the_panel_opens_and_a_click_explains_without_a_torch_that_works(torch, tmp_path):
    """In a process of its own, since this one has imported torch."""
    program = f"""
import importlib.util, sys
sys.path.insert(0, {str(repository)!r})
if {torch == "missing"}:
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, package=None: None if name == "torch" else find(name, package)
else:
    sys.path.insert(0, {str(tmp_path)!r})
from Testing import harness
import numpy as np, slicer
with harness.running() as running:
    harness.load_module({str(repository / "BSAFusion" / "BSAFusion.py")!r})
    slicer.util.selectModule("BSAFusion")
    widget = slicer.util.getModuleWidget("BSAFusion")
    for name in ("fixedVolume", "movingVolume"):
        volume = slicer.util.addVolumeFromArray(np.random.default_rng(0).random((20, 20, 20), np.float32), name=name)
        getattr(widget.ui, name + "Selector").setCurrentNode(volume)
    widget.ui.advancedCollapsibleButton.collapsed = False
    assert "torch" not in sys.modules or {torch == "broken"}
    print("row", widget.ui.setupFrame.visible, widget.ui.setupLabel.text)
    if widget.ui.applyButton.enabled:
        harness.click(widget.ui.applyButton)
        harness.wait_until(lambda: not widget.run.running, seconds=60)
    print("message", widget.ui.messageLabel.text)
    print("button", widget.ui.applyButton.enabled)
"""
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    row, message, button = finished.stdout.splitlines()[-3:]
    if torch == "missing":
        assert row.startswith("row True Not installed yet: torch.")
        assert button == "button False"
    else:
        assert row.startswith("row False")
        assert "torch is installed but cannot be loaded (libcudart.so.12" in message
        assert "install it anew" in message
        assert button == "button True"


@pytest.fixture
def unknown_gpu(monkeypatch):
    """A GPU that PyTorch lists and cannot compute on, as one whose architecture the build does not know."""
    import torch

    properties = SimpleNamespace(name="Some GPU", total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)


def test_devices_are_listed_by_name_and_memory_once_they_are_looked_for(unknown_gpu, ready):
    box = ready.ui.deviceComboBox
    assert [box.itemText(n) for n in range(box.count)] == ["Automatic", "CPU"]
    ready.ui.advancedCollapsibleButton.collapsed = False
    harness.wait_until(lambda: box.count == 3, seconds=60)
    assert box.itemText(1) == "Some GPU, 24 GB (not usable by this PyTorch)"
    box.currentIndex = 1
    assert ready.logic.getParameterNode().device == "cuda:0"


def test_devices_are_listed_once_torch_is_installed_though_the_list_was_open_before(
    unknown_gpu, absent, running, ready
):
    box = ready.ui.deviceComboBox
    ready.ui.advancedCollapsibleButton.collapsed = False
    running.install = lambda requirements: absent.clear()
    harness.click(ready.ui.installButton)
    harness.wait_until(lambda: box.count == 3, seconds=60)


def test_a_gpu_that_cannot_be_used_is_left_for_the_cpu_and_named(unknown_gpu, ready, finish):
    ready.logic.getParameterNode().device = "auto"
    finish()
    assert "Some GPU, 24 GB cannot be used by this PyTorch, so the CPU was taken" in ready.ui.warningsLabel.text


def test_the_panel_opens_without_importing_torch():
    program = f"""import sys
sys.path.insert(0, {str(repository)!r})
from Testing import harness
import slicer
with harness.running():
    harness.load_module({str(repository / "BSAFusion" / "BSAFusion.py")!r})
    slicer.util.selectModule("BSAFusion")
    assert slicer.util.getModuleWidget("BSAFusion").ui.applyButton.visible
    print("torch" in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert finished.stdout.splitlines()[-1:] == ["False"], finished.stderr
