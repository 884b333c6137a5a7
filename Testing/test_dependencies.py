"""Dependencies point one way, network <- pipeline <- scene <- panel, and importing the library loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

repository = Path(__file__).resolve().parents[1]


class Room(NamedTuple):
    """What the modules of one room may import: modules of these rooms (and their own), and these packages."""

    rooms: set[str]
    packages: set[str]


# In their order: a room may import only from rooms above it in this list. Packages are named as they are imported.
base = {"errors", "modalities", "color_maps", "resources", "settings"}
core = {*base, "geometry", "network", "head_pose", "pipeline"}
rooms = {
    "errors": Room(set(), set()),
    "modalities": Room(set(), set()),
    "color_maps": Room({"modalities"}, set()),
    "resources": Room(set(), set()),
    "settings": Room({"errors", "modalities", "color_maps"}, {"SimpleITK"}),
    "presets": Room({"settings"}, set()),
    "geometry": Room({"errors"}, {"numpy", "SimpleITK"}),
    "network": Room({*base, "geometry"}, {"torch", "einops", "numpy", "safetensors", "SimpleITK"}),
    "head_pose": Room({"errors", "resources", "geometry"}, {"torch", "numpy", "SimpleITK", "safetensors"}),
    "pipeline": Room({*base, "geometry", "network", "head_pose"}, {"numpy", "SimpleITK", "scipy"}),
    "files": Room(core, {"numpy", "SimpleITK", "pydicom", "vtkmodules"}),
    "report": Room(core, {"numpy", "SimpleITK", "matplotlib", "jinja2"}),
    "cohort": Room({*core, "files"}, {"ancpbids", "dask", "distributed", "psutil", "jinja2"}),
    "worker": Room({*core, "report"}, {"numpy", "SimpleITK"}),
    "mrml": Room(
        {*core, "files", "report", "worker"}, {"numpy", "SimpleITK", "slicer", "vtk", "vtkmodules", "trame_slicer"}
    ),
    "viewer": Room(
        {*core, "files", "report", "mrml"},
        {"numpy", "SimpleITK", "slicer", "vtkmodules", "trame", "trame_server", "trame_slicer", "aiohttp"},
    ),
    "commands": Room(
        {*core, "presets", "files", "report", "worker", "cohort", "mrml", "viewer"},
        {"numpy", "SimpleITK", "trame_slicer", "vtkmodules", "torch", "tqdm"},
    ),
    "panel": Room(
        {*core, "presets", "files", "report", "worker", "mrml"}, {"slicer", "vtkmodules", "qt", "SampleData"}
    ),
    # Research: beside the product, which knows nothing of it.
    "training": Room(
        {*base, "network"},
        {"torch", "einops", "numpy", "safetensors", "kornia", "lightning_fabric", "pytorch_optimizer", "tqdm"},
    ),
    "simulation": Room({*core, "files"}, {"numpy", "SimpleITK", "scipy"}),
    "pose": Room(
        {"errors", "geometry", "network", "head_pose", "simulation"},
        {"torch", "numpy", "SimpleITK", "pytorch_optimizer"},
    ),
    "second_opinion": Room({*core, "pose"}, {"numpy", "SimpleITK", "scipy"}),
    "parity": Room({*base, "network"}, {"torch", "numpy", "einops"}),
    "evaluation": Room(
        {*core, "files", "training"},
        {"numpy", "SimpleITK", "scipy", "torch", "torchmetrics", "kornia", "PIL", "ants", "itk"},
    ),
    "evaluation_heads": Room(
        {*core, "files", "report", "worker", "evaluation", "simulation", "second_opinion"},
        {"numpy", "SimpleITK", "scipy"},
    ),
    "wild": Room({*core, "files", "simulation", "second_opinion"}, {"numpy", "SimpleITK", "pydicom"}),
    "calibration": Room({*core, "evaluation_heads", "simulation"}, {"numpy", "SimpleITK", "scipy"}),
    "research commands": Room(
        {
            *core,
            "files",
            "mrml",
            "commands",
            "training",
            "evaluation",
            "evaluation_heads",
            "simulation",
            "calibration",
            "pose",
            "second_opinion",
            "wild",
        },
        {"numpy", "SimpleITK", "torch", "lightning_fabric", "tqdm", "vtkmodules"},
    ),
}

packages = ("BSAFusionLib", "BSAFusionResearch")
sources = [
    path
    for package in packages
    for path in sorted((repository / package).rglob("*.py"))
    if path != repository / package / "__init__.py"
]
sources += sorted((repository / "BSAFusion").rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room that a source file belongs to: its folder, or its own name beside the folders."""
    package, *rest = path.relative_to(repository).parts
    if package not in packages:
        return "panel"
    return room_of_module(package, rest[0].removesuffix(".py"))


def room_of_module(package: str, name: str) -> str:
    """Return the room of a folder or module that lies directly in a package."""
    if name in ("commands", "__main__"):
        return "commands" if package == "BSAFusionLib" else "research commands"
    return name


def imported_names(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports anywhere."""
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
        if package in packages:
            imported = room_of_module(package, rest[0])
            assert imported in rooms[room].rooms | {room}, f"{room} may not import {name}"
        else:
            assert package in rooms[room].packages | sys.stdlib_module_names, f"{room} may not import {name}"


def test_rooms_form_no_circle() -> None:
    below: set[str] = set()
    while len(below) < len(rooms):
        ready = {name for name, room in rooms.items() if room.rooms <= below} - below
        assert ready, f"{set(rooms) - below} import one another"
        below |= ready


HEAVY = {"torch", "scipy", "SimpleITK", "vtk", "vtkmodules", "slicer", "PySide6", "qt", "numpy"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("BSAFusionLib", set()),
        ("BSAFusionLib.settings", set()),
        ("BSAFusionLib.presets", set()),
        ("BSAFusionLib.__main__", set()),
        ("BSAFusionLib.pipeline.register_and_fuse", {"numpy", "SimpleITK", "scipy"}),
    ],
)
def test_importing_the_library_loads_nothing_heavy(module: str, allowed: set[str]) -> None:
    program = f"import {module}, sys; sys.exit(' '.join({HEAVY - allowed!r} & set(sys.modules)) or 0)"
    finished = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, f"{module} loads {finished.stderr}"


def test_the_public_names_are_loaded_when_they_are_asked_for() -> None:
    program = "from BSAFusionLib import *; import BSAFusionLib as b; print(all(getattr(b, n) for n in b.__all__))"
    finished = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
    assert (finished.returncode, finished.stdout) == (0, "True\n"), finished.stderr


def test_few_modules_lie_loose_in_the_library() -> None:
    assert len(list((repository / "BSAFusionLib").glob("*.py"))) <= 8
