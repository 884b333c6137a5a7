"""Dependencies point one way, network <- pipeline <- scene <- panel, and importing the library loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

repository = Path(__file__).resolve().parents[1]
library = repository / "BSAFusionLib"


class Room(NamedTuple):
    """What the modules of one room may import: modules of these rooms (and their own), and these packages."""

    rooms: set[str]
    packages: set[str]


# The packages are named as they are imported.
rooms = {
    "errors": Room(set(), set()),
    "network": Room({"errors"}, {"torch", "einops", "numpy", "safetensors"}),
    "training": Room(
        {"errors", "network"},
        {"torch", "einops", "numpy", "safetensors", "kornia", "lightning_fabric", "pytorch_optimizer", "tqdm"},
    ),
    "pipeline": Room({"errors", "network"}, {"numpy", "SimpleITK", "scipy"}),
    "dicom": Room({"errors"}, {"numpy", "SimpleITK", "pydicom"}),
    "inputs": Room({"errors", "network", "pipeline", "dicom"}, {"SimpleITK"}),
    "cohort": Room(
        {"errors", "network", "pipeline", "dicom", "inputs"}, {"ancpbids", "dask", "distributed", "psutil", "jinja2"}
    ),
    "report_page": Room({"errors", "network", "pipeline"}, {"numpy", "SimpleITK", "matplotlib", "jinja2"}),
    "evaluation": Room(
        {"errors", "network", "training", "pipeline"},
        {"numpy", "SimpleITK", "torch", "torchmetrics", "kornia", "PIL", "ants", "itk"},
    ),
    "scene": Room(
        {"errors", "network", "pipeline", "report_page"},
        {"numpy", "SimpleITK", "slicer", "vtk", "vtkmodules", "trame_slicer"},
    ),
    "viewer": Room(
        {"errors", "network", "pipeline", "inputs", "scene"},
        {"numpy", "SimpleITK", "slicer", "trame", "trame_server", "trame_slicer", "aiohttp"},
    ),
    "commands": Room(
        {"errors", "network", "training", "pipeline", "inputs", "cohort", "evaluation", "scene", "viewer"},
        {"numpy", "SimpleITK", "trame_slicer", "vtkmodules", "torch", "lightning_fabric", "tqdm"},
    ),
    "panel": Room({"errors", "network", "pipeline", "scene"}, {"slicer", "vtkmodules", "qt", "SampleData"}),
}
room_of_module = {
    **dict.fromkeys(["settings", "checks", "pipeline", "prealignment", "intensities", "slices"], "pipeline"),
    **dict.fromkeys(["border", "deformation", "files", "outputs", "report", "result", "topology"], "pipeline"),
    **dict.fromkeys(["posterior", "verdict", "through_network", "memory"], "pipeline"),
    **dict.fromkeys(["scene", "display", "packages", "landmarks", "logic", "rendering"], "scene"),
    "__main__": "commands",
}

sources = [path for path in sorted(library.rglob("*.py")) if path != library / "__init__.py"]
sources += sorted((repository / "BSAFusion").rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a source file belongs to: its folder, or what room_of_module says of a file beside the folders."""
    if library not in path.parents:
        return "panel"
    name = path.relative_to(library).parts[0].removesuffix(".py")
    return room_of_module.get(name, name)


def imported_names(path: Path) -> set[str]:
    """Every module a file imports anywhere in it, in full."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relative to itself; write the module's full name"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", sources, ids=lambda path: str(path.relative_to(repository)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    assert room in rooms, f"{path.name} belongs to no room: put it in one here"
    for name in imported_names(path) - {"BSAFusionLib", "BSAFusionLib.version"}:
        package, *rest = name.split(".")
        if package == "BSAFusionLib":
            imported = room_of_module.get(rest[0], rest[0])
            assert imported in rooms[room].rooms | {room}, f"{room} may not import {name}"
        else:
            assert package in rooms[room].packages | sys.stdlib_module_names, f"{room} may not import {name}"


def test_rooms_form_no_circle() -> None:
    below: set[str] = set()
    while len(below) < len(rooms):
        ready = {name for name, room in rooms.items() if room.rooms <= below} - below
        assert ready, f"{set(rooms) - below} import one another"
        below |= ready


@pytest.mark.parametrize("module", ["BSAFusionLib", "BSAFusionLib.settings", "BSAFusionLib.pipeline"])
def test_importing_the_library_loads_neither_torch_nor_slicer(module: str) -> None:
    program = f"import {module}, sys; sys.exit(' '.join({{'torch', 'slicer', 'vtk'}} & set(sys.modules)) or 0)"
    finished = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, f"{module} loads {finished.stderr}"
