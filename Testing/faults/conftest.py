"""Phantom heads that are quick to fuse, a real scene, and programs that run under limits of the operating system."""

import subprocess
import sys

import pytest

from Testing.conftest import repository
from Testing.scene.conftest import add_head, add_transform, application, process, scene, weights  # noqa: F401 (fixtures)

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of this kind")


@pytest.fixture
def run_program():
    """Run a Python program in a process of its own; its arguments are sys.argv[1:]."""

    def run_program(program: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=300)

    return run_program


def state(scene):  # noqa: F811
    """Return every node's ID, name and time of its last change."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [(node.GetID(), node.GetName(), node.GetMTime()) for node in nodes]
