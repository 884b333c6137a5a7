"""Find and install the Python packages that Slicer does not ship."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.worker.loading import load

# Import names, and what pip installs. Each has a lowest version.
required = {
    "torch": "torch>=2.5",  # the oldest one that is tested; it brings jinja2
    "einops": "einops>=0.7",
    "safetensors": "safetensors>=0.4",
    "matplotlib": "matplotlib>=3.7",
}

# Slicer's own code is compiled against these; another version of them breaks it.
SHIPPED_WITH_SLICER = ("numpy", "SimpleITK", "vtk", "scipy", "requests")

# pip finds torch 2.2.2 there, which cannot exchange arrays with Slicer's NumPy 2.
INTEL_MAC = (
    "This Slicer is built for Macs with Intel processors. PyTorch for those ended with 2.2, and BSAFusion needs "
    "{oldest} or later. Use a Slicer built for Apple silicon, Linux or Windows, or the command line on such a computer."
)


def missing_packages() -> list[str]:
    """Return the required packages that are absent or too old, without importing any."""
    importlib.invalidate_caches()
    return [name for name in required if importlib.util.find_spec(name) is None or _is_too_old(name)]


def outdated_packages(missing: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of those of the missing packages that are too old, by name."""
    return {name: importlib.metadata.version(name) for name in missing if importlib.util.find_spec(name)}


def oldest_version(name: str) -> str:
    """Return the lowest supported version of a required package."""
    return required[name].partition(">=")[2]


def why_not_installable(missing: Sequence[str]) -> str:
    """Return a message that missing packages cannot be installed in this Slicer; "" where they can."""
    on_intel_mac = sys.platform == "darwin" and platform.machine() == "x86_64"
    return INTEL_MAC.format(oldest=oldest_version("torch")) if on_intel_mac and "torch" in missing else ""


def require_packages() -> None:
    """Import all required packages; may run on any thread.

    Raises:
        FusionError: A package is missing, too old or broken.
    """
    missing = missing_packages()
    if problem := why_not_installable(missing):
        raise FusionError(problem)
    if missing:
        wanted = " ".join(required[name] for name in missing)
        old = "".join(f" {name} {version} is too old." for name, version in outdated_packages(missing).items())
        raise FusionError(
            f"Python packages are missing: {', '.join(missing)}.{old} Install them in the BSAFusion module's panel or "
            f'with slicer.util.pip_install("{wanted}").'
        )
    load(required)


def install_packages(say: Callable[[str], None]) -> None:
    """Install the missing packages without changing those that Slicer ships, on the main thread.

    The PyTorch extension, where it is present, installs torch, since it selects the build for the machine's GPU and
    driver. slicer.packaging installs the others, and torch where the extension fails; in Slicer 5.11 and before,
    slicer.util does.

    Args:
        say: Called with each line that pip prints.

    Raises:
        FusionError: The installation failed, or changed a package that is in use.
    """
    before, used = _versions(SHIPPED_WITH_SLICER), _versions([name for name in required if name in sys.modules])
    try:
        with _pinned(before), contextlib.redirect_stdout(_Lines(say, sys.stdout)):
            if "torch" in missing_packages() and (pytorch := _pytorch_extension()) is not None:
                _install_torch_by(pytorch)
            if others := [required[name] for name in missing_packages()]:
                _pip_install(others)
    except Exception as error:  # each installer raises exceptions of its own
        raise FusionError(
            f"The packages could not be installed ({error}); see pip's output in the Python console."
        ) from error
    if changed := _changed(before):
        raise FusionError(f"The installation changed {', '.join(changed)}, which Slicer ships; restart Slicer.")
    if missing := missing_packages():
        raise FusionError(f"Still missing: {', '.join(missing)}; see pip's output in the Python console and try again.")
    if changed := _changed(used):
        raise FusionError(f"The installation changed {', '.join(changed)}, which was in use; restart Slicer.")


def _is_too_old(name: str) -> bool:
    """Return True for an installed version below the lowest supported one; an unknown version passes."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return _numbers(version) < _numbers(oldest_version(name))


def _numbers(version: str) -> tuple[int, ...]:
    """Return major and minor version: (2, 5) for "2.5.1+cu124"."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _changed(before: dict[str, str]) -> list[str]:
    """Return the packages whose installed versions differ from these."""
    return [name for name, version in _versions(list(before)).items() if version != before[name]]


def _versions(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


@contextlib.contextmanager
def _pinned(versions: dict[str, str]) -> Iterator[None]:
    """Make every pip that starts within a `with` block keep these versions."""
    kept = os.environ.get("PIP_CONSTRAINT")
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        # As a URL, since pip splits the variable at spaces.
        os.environ["PIP_CONSTRAINT"] = constraints.as_uri()
        try:
            yield
        finally:
            del os.environ["PIP_CONSTRAINT"]
            if kept is not None:
                os.environ["PIP_CONSTRAINT"] = kept


def has_pytorch_extension() -> bool:
    """Return True where the PyTorch extension is installed, which picks the build of torch for the machine's GPU."""
    return _pytorch_extension() is not None


def _pytorch_extension() -> Any:
    """Return the module of the PyTorch extension, or None where that is not installed."""
    try:
        return importlib.import_module("PyTorchUtils")
    except ImportError:
        return None


def _install_torch_by(pytorch: Any) -> None:
    """Let the PyTorch extension install torch; where it cannot, the log says so and torch stays missing."""
    try:
        # The logic of that module's widget would import torch and torchvision at once.
        logic = pytorch.PyTorchUtilsLogic()
        logic.installTorch(torchVersionRequirement=required["torch"].removeprefix("torch"))
    except Exception as error:  # another release may ask in another way, and its light-the-torch fails with some pips
        logging.warning(
            f"The PyTorch extension could not install torch ({error}). pip installs it, maybe a build that cannot use "
            "the GPU."
        )


def _pip_install(requirements: list[str]) -> None:
    """Install with slicer.packaging, whose dialog names the extension, or with slicer.util in older Slicers."""
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        slicer.util.pip_install(requirements)
    else:
        packaging.pip_install(requirements, requester="BSAFusion")


class _Lines(io.TextIOBase):
    """A text stream that writes to another one and reports each complete line."""

    def __init__(self, say: Callable[[str], None], stream: TextIO) -> None:
        self._say, self._stream, self._begun = say, stream, ""

    def write(self, text: str) -> int:
        self._stream.write(text)
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self._say(line.strip())
        return len(text)
