"""Run ANTs and elastix on the same volumes, in an environment of their own."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError

TITLES = {"ants_syn": "ANTs SyN", "elastix_bspline": "elastix B-spline"}
HEAD_TITLES = {"ants_rigid_syn": "ANTs rigid, SyN", "elastix_bending": "elastix B-spline with a penalty on bending"}
HEAD_SETTINGS: dict[str, dict[str, dict[str, float]]] = {
    "ants_rigid_syn": {
        "ct": {"flow_variance": 3.0, "total_variance": 3.0, "gradient_step": 0.1},
        "pet": {"flow_variance": 3.0, "total_variance": 1.0, "gradient_step": 0.1},
        "spect": {"flow_variance": 3.0, "total_variance": 3.0, "gradient_step": 0.1},
    },
    "elastix_bending": {
        "ct": {"bending_weight": 10000.0, "grid_mm": 64.0},
        "pet": {"bending_weight": 100.0, "grid_mm": 16.0},
        "spect": {"bending_weight": 100.0, "grid_mm": 32.0},
    },
}
"""Keywords of the methods, by method and modality.

`Testing/benchmarks/tune_baselines.py` chose them on head 12, SyN with 8 mm alone.
"""
RIGID_TITLES = {"ants_search": "ANTs' affine initializer, ANTs rigid", "elastix_rigid": "elastix rigid"}
PROGRAM = Path(__file__).with_name("baseline_program.py")
ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-baselines"
DEFAULT_PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
FIND_BOTH = "import importlib.util as u, sys; sys.exit(not (u.find_spec('ants') and u.find_spec('itk')))"


@dataclass(frozen=True)
class BaselineResult:
    """Transforms that a baseline estimated, and its time.

    Attributes:
        rigid: After its rigid part, fixed point -> moving point, mm, LPS.
        whole: After all of it, likewise.
        seconds: Wall clock seconds.
        cpu_seconds: CPU seconds.
    """

    rigid: sitk.Transform
    whole: sitk.Transform
    seconds: float
    cpu_seconds: float


def check_baselines(python: Path) -> None:
    """Check that a Python has ANTs and elastix.

    Raises:
        FusionError: It is no Python, or lacks one of them.
    """
    if not python.is_file() or subprocess.run([python, "-I", "-c", FIND_BOTH]).returncode:
        raise FusionError(
            f"ANTs and elastix are not installed for {python}; run `python3 -m venv .venv-baselines` and then "
            "`.venv-baselines/bin/pip install -r requirements-benchmark.txt` in the program's folder."
        )


def register(
    method: str, fixed: sitk.Image, moving: sitk.Image, python: Path, threads: int, **settings: float
) -> BaselineResult:
    """Register two volumes, unchanged, by a baseline.

    Args:
        method: A key of `TITLES`, `HEAD_TITLES` or `RIGID_TITLES`.
        fixed: The fixed volume.
        moving: The moving volume.
        python: A Python with ANTs and elastix.
        threads: How many the method may use.
        **settings: Keywords of the method in `baseline_program.py`.

    Raises:
        FusionError: The method failed; the message ends with the last line that it printed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sitk.WriteImage(fixed, str(folder / "fixed.nrrd"))
        sitk.WriteImage(moving, str(folder / "moving.nrrd"))
        count = str(threads)
        limits = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": count, "OMP_NUM_THREADS": count, "ANTS_RANDOM_SEED": "1"}
        finished = subprocess.run(
            [python.absolute(), "-I", PROGRAM, method, folder, json.dumps(settings)],
            cwd=folder,  # elastix leaves files in the working folder
            env={**os.environ, **limits},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if finished.returncode:
            printed = finished.stderr.strip().splitlines() or ["nothing"]
            title = (TITLES | HEAD_TITLES | RIGID_TITLES)[method]
            raise FusionError(f"{title} failed with exit code {finished.returncode}; it printed: {printed[-1]}")
        fields = (sitk.ReadImage(str(folder / f"{part}.nrrd"), sitk.sitkVectorFloat64) for part in ("rigid", "whole"))
        rigid, whole = (sitk.DisplacementFieldTransform(field) for field in fields)
        return BaselineResult(rigid, whole, *json.loads((folder / "seconds.json").read_text()))
