"""A Slicer that lacks packages, or has a broken one: the panel opens, says what to do, and installs on a click."""

import importlib
import importlib.metadata
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar
from urllib.parse import unquote, urlparse

import pytest
import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml import packages
from Testing import harness
from Testing.conftest import repository


class Pip:
    """Stands for pip, at the place where Slicer starts it.

    requirements: What each call was asked to install. install: Is called then with the requirements and a function that
    prints a line as pip does; it may raise CalledProcessError. requesters: Whom Slicer's dialog named meanwhile.
    """

    def __init__(self):
        self.requirements, self.requesters = [], []
        self.install = lambda requirements, say: None

    def by_util(self, requirements):
        """Stand for slicer.util.pip_install of Slicer 5.10."""
        self.requirements.append(requirements)
        self.install(requirements, print)

    def by_packaging(self, module, arguments, blocking=True, logCallback=None, completedCallback=None):
        """Stand for slicer.util.executePythonModule, by which slicer.packaging starts pip while its dialog is shown."""
        assert (module, arguments[0], blocking) == ("pip", "install", False)
        dialog = slicer.packaging._PipProgressDialog._sharedInstance._dialog
        self.requesters.append(dialog.windowTitle.partition(" - ")[0])
        self.requirements.append(arguments[1:])
        try:
            self.install(arguments[1:], logCallback)
        except subprocess.CalledProcessError as error:
            completedCallback(error.returncode)
        else:
            completedCallback(0)


@pytest.fixture
def pip(running, monkeypatch):
    """Slicer's own slicer.packaging starts it where SLICER_BASE_PYTHON brings that, else slicer.util."""
    pip = Pip()
    monkeypatch.setattr(slicer.util, "executePythonModule", pip.by_packaging, raising=False)
    monkeypatch.setattr(slicer.util, "pip_install", pip.by_util)
    return pip


@pytest.fixture
def absent(running, monkeypatch):
    """A set of packages that this Slicer lacks; a test takes out of it what gets installed."""
    absent = set(packages.required)
    find = importlib.util.find_spec
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None if name in absent else find(name))
    return absent


@pytest.fixture
def installed_versions(running, monkeypatch):
    """Versions by package that are taken for the installed ones."""
    versions = {}
    version = importlib.metadata.version
    monkeypatch.setattr(
        packages.importlib.metadata, "version", lambda name: versions[name] if name in versions else version(name)
    )
    return versions


@pytest.fixture
def intel_mac(running, monkeypatch):
    monkeypatch.setattr(packages.sys, "platform", "darwin")
    monkeypatch.setattr(packages.platform, "machine", lambda: "x86_64")


def pinned_by_pip():
    """Return the lines of the constraints file that a pip started now would follow."""
    return open(unquote(urlparse(os.environ["PIP_CONSTRAINT"]).path), encoding="utf-8").read().split()


def test_the_panel_says_what_is_missing_and_the_button_waits_for_it(absent, ready):
    ui = ready.ui
    assert ui.setupFrame.visible
    assert "torch, einops, safetensors, matplotlib" in ui.setupLabel.text
    assert "To use a GPU, install the PyTorch extension first" in ui.setupLabel.text
    assert ui.installButton.visible
    assert not ui.applyButton.enabled
    assert "Install the missing Python packages" in ui.applyButton.toolTip


def test_the_row_is_hidden_where_nothing_is_missing(ready):
    assert not ready.ui.setupFrame.visible


def test_a_torch_that_is_too_old_is_named_with_its_version_and_replaced(installed_versions, pip, ready):
    installed_versions["torch"] = "2.2.2+cu121"
    ready.setupRow.update()
    ui = ready.ui
    assert "torch 2.2.2+cu121 is installed, but 2.5 or later is needed" in ui.setupLabel.text
    assert "Not installed yet" not in ui.setupLabel.text
    assert not ui.applyButton.enabled
    with pytest.raises(FusionError, match=r'torch 2\.2\.2\+cu121 is too old.*pip_install\("torch>=2\.5"\)'):
        packages.require_packages()
    pip.install = lambda requirements, say: installed_versions.update(torch="2.13.0")
    harness.click(ui.installButton)
    assert pip.requirements == [["torch>=2.5"]]
    # This process has torch loaded, as a Slicer may have in which another extension used the older one.
    assert "changed torch" in ui.setupLabel.text
    assert "restart Slicer" in ui.setupLabel.text


@pytest.mark.parametrize("version", ["2.5.0", "2.13.0a0+git1234", "10.0"])
def test_newer_versions_are_enough(installed_versions, ready, version):
    installed_versions["torch"] = version
    assert packages.missing_packages() == []


@pytest.mark.parametrize("old", [False, True])
def test_on_an_intel_mac_the_row_says_what_runs_it_and_installs_nothing(
    intel_mac, absent, installed_versions, ready, old
):
    if old:
        absent.clear()
        installed_versions["torch"] = "2.2.2"
    ready.setupRow.update()
    ui = ready.ui
    assert ui.setupFrame.visible
    assert "Macs with Intel processors" in ui.setupLabel.text
    assert "Use a Slicer built for Apple silicon, Linux or Windows, or the command line" in ui.setupLabel.text
    assert not ui.installButton.visible
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == ui.setupLabel.text
    with pytest.raises(FusionError, match="Intel"):
        packages.require_packages()


def test_a_torch_that_does_on_an_intel_mac_is_used(intel_mac, ready):
    ready.setupRow.update()
    assert not ready.ui.setupFrame.visible


def test_a_click_installs_what_is_missing_and_nothing_that_slicer_ships(absent, pip, ready, monkeypatch):
    monkeypatch.setenv("PIP_CONSTRAINT", "the user's own")
    seen = []

    def install(requirements, say):
        seen.extend(pinned_by_pip())
        say("Collecting torch")
        assert ready.ui.setupLabel.text == "Collecting torch"
        assert ready.ui.setupProgressBar.visible
        assert not ready.ui.installButton.enabled
        absent.clear()

    pip.install = install
    harness.click(ready.ui.installButton)
    assert pip.requirements == [list(packages.required.values())]
    for name in ("numpy", "SimpleITK"):
        assert f"{name}=={importlib.metadata.version(name)}" in seen
    assert os.environ["PIP_CONSTRAINT"] == "the user's own"
    assert not ready.ui.setupFrame.visible
    assert ready.ui.applyButton.enabled


class PyTorchUtilsLogic:
    """The part of SlicerPyTorch's logic that installs; the signature is that of its sources."""

    asked: ClassVar[list] = []
    absent: ClassVar[set] = set()

    def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
        self.asked.append((askConfirmation, forceComputationBackend, torchVersionRequirement))
        assert pinned_by_pip()
        self.absent.discard("torch")


@pytest.fixture
def pytorch_extension(absent, monkeypatch):
    """The PyTorch extension's logic; its widget would import torch and torchvision, and is not to be made."""
    monkeypatch.setattr(PyTorchUtilsLogic, "asked", [])
    monkeypatch.setattr(PyTorchUtilsLogic, "absent", absent)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    for name in ("getModuleLogic", "getModuleWidget", "getNewModuleWidget"):
        monkeypatch.setattr(slicer.util, name, None)
    return PyTorchUtilsLogic


def test_torch_comes_by_the_pytorch_extension_where_there_is_one(absent, ready, pip, pytorch_extension):
    ready.setupRow.update()
    assert "PyTorch extension" not in ready.ui.setupLabel.text
    pip.install = lambda requirements, say: absent.clear()
    harness.click(ready.ui.installButton)
    assert pytorch_extension.asked == [(False, None, ">=2.5")]
    assert pip.requirements == [[packages.required[name] for name in ("einops", "safetensors", "matplotlib")]]
    assert ready.ui.applyButton.enabled


@pytest.mark.parametrize("changed", [SimpleNamespace(), SimpleNamespace(PyTorchUtilsLogic=lambda: int)])
def test_pip_installs_torch_where_another_release_of_the_extension_asks_in_another_way(
    absent, ready, pip, pytorch_extension, monkeypatch, changed
):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", changed)
    pip.install = lambda requirements, say: absent.clear()
    harness.click(ready.ui.installButton)
    assert pip.requirements == [list(packages.required.values())]
    assert ready.ui.applyButton.enabled


def test_pip_installs_torch_where_the_extension_fails(absent, ready, pip, pytorch_extension, monkeypatch, caplog):
    def fail(*arguments, **options):  # as light-the-torch does with a pip that it does not know
        raise subprocess.CalledProcessError(1, ["light_the_torch", "install"])

    monkeypatch.setattr(pytorch_extension, "installTorch", fail)
    pip.install = lambda requirements, say: absent.clear()
    harness.click(ready.ui.installButton)
    assert pip.requirements == [list(packages.required.values())]
    assert ready.ui.applyButton.enabled
    assert "PyTorch extension could not install torch" in caplog.text
    assert "light_the_torch" in caplog.text


def test_the_pytorch_extension_is_left_alone_where_torch_is_there(absent, ready, pip, pytorch_extension):
    absent.remove("torch")
    pip.install = lambda requirements, say: absent.clear()
    harness.click(ready.ui.installButton)
    assert pytorch_extension.asked == []
    assert len(pip.requirements) == 1


def test_slicers_own_packaging_is_used_where_there_is_one_and_knows_the_requester(absent, pip, ready, monkeypatch):
    pip.install = lambda requirements, say: absent.clear()
    if importlib.util.find_spec("slicer.packaging") is None:  # without SLICER_BASE_PYTHON

        def pip_install(requirements, constraints=None, requester=None, **options):
            pip.requesters.append(requester)
            pip.by_util(requirements)

        monkeypatch.setattr(slicer.util, "pip_install", None)
        monkeypatch.setitem(sys.modules, "slicer.packaging", SimpleNamespace(pip_install=pip_install))
    harness.click(ready.ui.installButton)
    assert pip.requesters == ["BSAFusion"]
    assert pip.requirements == [list(packages.required.values())]
    assert not ready.ui.setupFrame.visible


def test_a_failed_installation_is_reported_and_can_be_tried_again(absent, pip, ready):
    def fail(requirements, say):
        raise subprocess.CalledProcessError(1, "pip")

    pip.install = fail
    harness.click(ready.ui.installButton)
    assert "could not be installed" in ready.ui.setupLabel.text
    assert ready.ui.installButton.enabled
    assert not ready.ui.applyButton.enabled


def test_what_pip_says_reaches_the_panel_and_the_console(absent, pip, ready, capsys):
    def fail(requirements, say):
        say("ERROR: no wheel for this Python")
        assert ready.ui.setupLabel.text == "ERROR: no wheel for this Python"
        raise subprocess.CalledProcessError(1, "pip")

    pip.install = fail
    harness.click(ready.ui.installButton)
    assert "ERROR: no wheel for this Python" in capsys.readouterr().out


def test_a_changed_numpy_is_noticed(absent, pip, installed_versions, ready):
    def install(requirements, say):
        absent.clear()
        installed_versions["numpy"] = "1.26.4"

    pip.install = install
    harness.click(ready.ui.installButton)
    assert "changed numpy" in ready.ui.setupLabel.text
    assert "restart Slicer" in ready.ui.setupLabel.text


def test_a_script_without_the_packages_gets_instructions(absent):
    with pytest.raises(
        FusionError, match=r'pip_install\("torch>=2\.5 einops>=0\.7 safetensors>=0\.4 matplotlib>=3\.7"\)'
    ):
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
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)} if torch == "broken" else None  # for the worker
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=environment
    )
    assert finished.returncode == 0, finished.stderr
    row, message, button = finished.stdout.splitlines()[-3:]
    if torch == "missing":
        assert row.startswith("row True Not installed yet: torch.")
        assert button == "button False"
    else:
        assert row.startswith("row False")
        assert "torch is installed but cannot be loaded (libcudart.so.12" in message
        assert "reinstall it" in message
        assert button == "button True"


@pytest.fixture
def unknown_gpu(control):
    """A GPU that PyTorch lists and cannot compute on, as one whose architecture the build does not know."""
    control.plug_in_unknown_gpu()


def test_devices_are_listed_by_name_and_memory_once_they_are_looked_for(unknown_gpu, ready):
    box = ready.ui.deviceComboBox
    assert [box.itemText(n) for n in range(box.count)] == ["Automatic", "CPU"]
    ready.ui.advancedCollapsibleButton.collapsed = False
    harness.wait_until(lambda: box.count == 3, seconds=60)
    assert box.itemText(1) == "Some GPU, 24 GB (not usable by this PyTorch)"
    box.currentIndex = 1
    assert ready.logic.getParameterNode().device == "cuda:0"


def test_devices_are_listed_once_torch_is_installed_though_the_list_was_open_before(unknown_gpu, absent, pip, ready):
    box = ready.ui.deviceComboBox
    ready.ui.advancedCollapsibleButton.collapsed = False
    pip.install = lambda requirements, say: absent.clear()
    harness.click(ready.ui.installButton)
    harness.wait_until(lambda: box.count == 3, seconds=60)


def test_a_gpu_that_cannot_be_used_is_left_for_the_cpu_and_named(unknown_gpu, ready, finish):
    ready.logic.getParameterNode().device = "auto"
    finish()
    assert "Some GPU, 24 GB cannot be used by this PyTorch, so the CPU was taken" in ready.ui.warningsLabel.text
