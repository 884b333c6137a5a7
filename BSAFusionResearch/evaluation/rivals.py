"""ANTs and elastix on the same volumes, run in an environment of their own."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError

titles = {"ants_syn": "ANTs SyN", "elastix_bspline": "elastix B-spline"}
program = Path(__file__).with_name("rival_program.py")
environment = Path(__file__).resolve().parents[2] / ".venv-rivals"
default_python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@dataclass(frozen=True)
class RivalResult:
    """What a rival found: fixed point -> moving point, mm, LPS, after its rigid part and after all, and its seconds, on
    the clock and of the CPU."""

    rigid: sitk.Transform
    whole: sitk.Transform
    seconds: float
    cpu_seconds: float


def check_rivals(python: Path) -> None:
    """FusionError where that Python does not have ANTs and elastix."""
    look = "import importlib.util as u, sys; sys.exit(not (u.find_spec('ants') and u.find_spec('itk')))"
    if not python.is_file() or subprocess.run([python, "-I", "-c", look]).returncode:
        raise FusionError(
            f"ANTs and elastix are not installed for {python}; run `python3 -m venv .venv-rivals` and then "
            "`.venv-rivals/bin/pip install -r requirements-benchmark.txt` in the program's folder."
        )


def register(method: str, fixed: sitk.Image, moving: sitk.Image, python: Path, threads: int) -> RivalResult:
    """What `method`, one of `titles`, makes of two volumes, taken as they are; FusionError where it gave up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sitk.WriteImage(fixed, str(folder / "fixed.nrrd"))
        sitk.WriteImage(moving, str(folder / "moving.nrrd"))
        count = str(threads)
        limits = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": count, "OMP_NUM_THREADS": count}
        finished = subprocess.run(
            [python.absolute(), "-I", program, method, folder],
            cwd=folder,  # where elastix leaves files that nobody asked for
            env={**os.environ, **limits},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if finished.returncode:
            said = finished.stderr.strip().splitlines() or ["nothing"]
            raise FusionError(f"{titles[method]} gave up (exit code {finished.returncode}); it said: {said[-1]}")
        fields = (sitk.ReadImage(str(folder / f"{part}.nrrd"), sitk.sitkVectorFloat64) for part in ("rigid", "whole"))
        rigid, whole = (sitk.DisplacementFieldTransform(field) for field in fields)
        return RivalResult(rigid, whole, *json.loads((folder / "seconds.json").read_text()))
