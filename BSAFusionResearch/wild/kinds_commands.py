"""Kinds 14 and 15: whole runs, for paths and consoles that are no UTF-8, and results that would replace an input."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.files.outputs import Names
from BSAFusionLib.geometry.grids import downsample
from BSAFusionResearch.wild import dicom
from BSAFusionResearch.wild.cases import SAID, CommandLine, WildCase
from BSAFusionResearch.wild.sources import Sources

QUICK = ("--prealignment", "none", "--one-axis", "--no-check", "--device", "cpu", "--modality", "pet")
COARSE_MM = 6.0  # of the volumes: fusion must not take long here
NO_TEXT = b"TMP\xe9"
REJECTED_STATUS = 2


def command_cases() -> list[WildCase]:
    """Return the cases of the kinds 14 and 15."""
    runs: dict[str, Callable[[Sources, Path], CommandLine]] = {
        "input-no-utf8": partial(_no_utf8, what="input"),
        "out-no-utf8": partial(_no_utf8, what="out"),
        "dicom-no-utf8": partial(_no_utf8, what="dicom"),
        "console-cp1252": partial(_console, environment={"PYTHONIOENCODING": "cp1252"}),
        "console-ascii": partial(_console, environment={"PYTHONIOENCODING": "ascii"}),
        "locale-c": partial(_console, environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    }
    cases = [WildCase("14", name, SAID, make) for name, make in runs.items()]
    links: dict[str, Callable[[Path, Path], object]] = {
        "moved-there": shutil.copyfile,
        "hard-link": lambda source, target: os.link(source, target),
        "symbolic-link": lambda source, target: os.symlink(source, target),
    }
    for name, link in links.items():
        cases.append(WildCase("15", name, SAID, partial(_overwriting, result="registered", link=link), ("overwrit",)))
    for result in ("fused", "report"):
        make = partial(_overwriting, result=result, link=shutil.copyfile)
        cases.append(WildCase("15", f"is-the-{result}", SAID, make, ("overwrit",)))
    return cases


def _no_utf8(sources: Sources, folder: Path, what: str) -> CommandLine:
    """Put the input, the output or a DICOM folder at a path whose bytes are no UTF-8."""
    fixed, moving = _coarse_pair(sources, folder)
    odd = os.path.join(os.fsencode(folder), NO_TEXT)
    os.mkdir(odd)
    if what == "dicom":
        dicom.write_series(sitk.ReadImage(str(moving)) * 1000, Path(os.fsdecode(odd)) / "series", "PT")
        return _fuse(fixed, os.path.join(odd, b"series"), folder / "out")
    if what == "input":
        copied = os.path.join(odd, b"pet.nrrd")
        shutil.copyfile(moving, copied)
        return _fuse(fixed, copied, folder / "out")
    return _fuse(fixed, moving, os.path.join(odd, b"out"))


def _console(sources: Sources, folder: Path, environment: dict[str, str]) -> CommandLine:
    fixed, moving = _coarse_pair(sources, folder)
    return _fuse(fixed, moving, folder / "患者", environment=environment)


def _overwriting(sources: Sources, folder: Path, result: str, link: Callable[[Path, Path], object]) -> CommandLine:
    """Let one of the inputs lie, under its own or another name, where a result goes."""
    fixed, moving = _coarse_pair(sources, folder)
    out = folder / "out"
    out.mkdir()
    target = out / getattr(Names(), result)
    given = target
    if link is shutil.copyfile:
        shutil.copyfile(moving, target)
    else:
        link(moving, target)
        given = moving
    return _fuse(fixed, given, out, kept=(moving, target), expected_status=REJECTED_STATUS)


def _fuse(
    fixed: Path,
    moving: Path | bytes,
    out: Path | bytes,
    kept: tuple[Path, ...] = (),
    environment: dict[str, str] | None = None,
    expected_status: int = 0,
) -> CommandLine:
    arguments = ("fuse", os.fsencode(fixed), os.fsencode(moving), *QUICK, "--out", os.fsencode(out))
    return CommandLine(arguments, (fixed, *kept), environment or {}, expected_status)


def _coarse_pair(sources: Sources, folder: Path) -> tuple[Path, Path]:
    paths = folder / "mri.nrrd", folder / "pet.nrrd"
    for name, path in zip(("mri_t1", "pet"), paths, strict=True):
        sitk.WriteImage(downsample(sources.template(name), COARSE_MM), str(path))
    return paths
