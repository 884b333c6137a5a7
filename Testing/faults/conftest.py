"""Phantom heads that are quick to fuse, a real scene, and programs that run under limits of the operating system."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.conftest import repository
from Testing.pipeline.conftest import make_head
from Testing.scene.conftest import add_head, add_transform, application, process, scene, weights  # noqa: F401 (fixtures)

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of this kind")


@pytest.fixture
def run_program():
    """Run a Python program in a process of its own; its arguments are sys.argv[1:]."""

    def run_program(program: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=300)

    return run_program


def head(modality="mri", size=(24, 26, 20), spacing=(8.0, 8.0, 10.0), directions=None) -> sitk.Image:
    """Make a phantom head about the point (12, -20, 30) mm."""
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing(spacing)
    if directions is not None:
        grid.SetDirection(np.ravel(directions).tolist())
    middle = grid.TransformContinuousIndexToPhysicalPoint([(count - 1) / 2 for count in size])
    grid.SetOrigin(np.subtract((12.0, -20.0, 30.0), middle).tolist())
    return make_head(grid, modality)


def state(scene):  # noqa: F811
    """Every node with its name and the time when it last changed."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [(node.GetID(), node.GetName(), node.GetMTime()) for node in nodes]
