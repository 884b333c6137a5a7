"""The Python packages that Slicer does not ship: which are missing, and how they are installed on the user's word."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import slicer

from BSAFusionLib.errors import FusionError

# How a package is imported, and what pip is asked for.
required = {
    "torch": "torch>=2.1",  # which brings jinja2
    "einops": "einops>=0.7",
    "safetensors": "safetensors>=0.4",
    "matplotlib": "matplotlib>=3.7",
}

# Slicer's own code is compiled against these: another version under its feet breaks it.
shipped_with_slicer = ("numpy", "SimpleITK", "vtk", "scipy", "requests")


def missing_packages() -> list[str]:
    """The required packages that are not there; nothing is imported, so that a panel may ask when it opens."""
    importlib.invalidate_caches()
    return [name for name in required if importlib.util.find_spec(name) is None]


def require_packages() -> None:
    """Imports all required packages; may run on any thread. Raises FusionError saying what is missing or broken."""
    missing = missing_packages()
    if missing:
        raise FusionError(
            f"Python packages are missing: {', '.join(missing)}; install them in the BSAFusion module's panel, or by "
            f'slicer.util.pip_install("{" ".join(missing)}").'
        )
    for name in required:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package raises whatever its broken part leads to
            raise FusionError(
                f"The Python package {name} is installed but cannot be loaded ({error}); install it anew and restart "
                "Slicer."
            ) from error


def install_packages(say: Callable[[str], None]) -> None:
    """Installs what is missing, and nothing that Slicer ships; on the main thread, where Slicer's installers belong.

    torch comes by the PyTorch extension where there is one, since it picks the build for this machine's GPU and driver;
    the rest by slicer.packaging, or slicer.util of an older Slicer, which keep the application alive meanwhile.
    say(line) is told what pip prints. Raises FusionError where it fails or something that Slicer ships has changed.
    """
    before = _versions()
    try:
        with _pinned(before), contextlib.redirect_stdout(_Lines(say, sys.stdout)):
            pytorch = _pytorch_extension()
            if "torch" in missing_packages() and pytorch is not None:
                pytorch.installTorch(torchVersionRequirement=required["torch"].removeprefix("torch"))
            others = [required[name] for name in missing_packages()]
            if others:
                _installer().pip_install(others)
    except Exception as error:  # each installer has exceptions of its own
        raise FusionError(
            f"The packages could not be installed ({error}); see the Python console for pip's own words."
        ) from error
    changed = [name for name, version in _versions().items() if version != before.get(name, version)]
    if changed:
        raise FusionError(f"Installing has changed {', '.join(changed)}, which Slicer ships; restart Slicer.")
    if missing_packages():
        raise FusionError(
            f"Still missing: {', '.join(missing_packages())}; see the Python console for what pip said, and try again."
        )


def _versions() -> dict[str, str]:
    """The versions that are there of what Slicer ships."""
    versions = {}
    for name in shipped_with_slicer:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


@contextlib.contextmanager
def _pinned(versions: dict[str, str]) -> Iterator[None]:
    """Every pip that is started within keeps these versions, whoever starts it."""
    kept = os.environ.get("PIP_CONSTRAINT")
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        # As a URL, since pip takes a space in the variable for the beginning of another file.
        os.environ["PIP_CONSTRAINT"] = constraints.as_uri()
        try:
            yield
        finally:
            del os.environ["PIP_CONSTRAINT"]
            if kept is not None:
                os.environ["PIP_CONSTRAINT"] = kept


def _pytorch_extension() -> Any:
    """The logic of the PyTorch extension's module, or None where that is not installed."""
    if not hasattr(slicer.modules, "pytorchutils"):
        return None
    return slicer.util.getModuleLogic("PyTorchUtils")


def _installer() -> ModuleType:
    """slicer.packaging, whose installer shows a dialog with pip's progress, or slicer.util where there is none."""
    with contextlib.suppress(ImportError):
        return importlib.import_module("slicer.packaging")
    return slicer.util


class _Lines(io.TextIOBase):
    """A text stream that writes to another one, and also says each whole line."""

    def __init__(self, say: Callable[[str], None], stream: TextIO) -> None:
        self._say, self._stream, self._begun = say, stream, ""

    def write(self, text: str) -> int:
        self._stream.write(text)
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self._say(line.strip())
        return len(text)
