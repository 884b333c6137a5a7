"""The extension is configured, built and installed with Slicer's macros, and all that the module needs is there."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cmake
import ninja
import pytest
from PIL import Image

from BSAFusionLib import version
from Testing import harness

repository = Path(__file__).resolve().parents[2]
stand_in = Path(__file__).parent / "slicer"
modules = Path("lib", "Slicer-5.10", "qt-scripted-modules")


def call(*command: str | Path, **options) -> str:
    finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def configuration(folder: Path) -> list[str | Path]:
    """Return the command that configures a build tree."""
    if shutil.which("c++") is None:
        pytest.skip("CMake's project() wants a C++ compiler, though nothing is compiled")
    return [
        Path(cmake.CMAKE_BIN_DIR, "cmake"),
        *("-S", repository, "-B", folder, "-G", "Ninja", f"-DSlicer_DIR={stand_in}"),
        f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR, 'ninja')}",
    ]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build tree, configured and built."""
    folder = tmp_path_factory.mktemp("build")
    call(*configuration(folder))
    call(Path(cmake.CMAKE_BIN_DIR, "cmake"), "--build", folder)
    return folder


@pytest.fixture(scope="module")
def installed(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the extension was installed, as the Extensions Manager unpacks it."""
    folder = tmp_path_factory.mktemp("installed")
    call(Path(cmake.CMAKE_BIN_DIR, "cmake"), "--install", build, "--prefix", folder)
    return folder


def files(folder: Path, *patterns: str) -> set[str]:
    found = (path for pattern in patterns for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_module_the_whole_library_and_its_resources_are_installed(installed: Path) -> None:
    patterns = ["BSAFusionLib/**/*.py", *(f"Resources/{kind}/*" for kind in ("Icons", "Models", "SampleData"))]
    wanted = files(repository, *patterns) - {"Resources/SampleData/make_sample_data.py"}
    wanted |= files(repository / "BSAFusion", "*.py", "Resources/**/*.*")
    assert files(installed / modules, "**/*.*") == wanted


def test_the_description_lies_where_the_extensions_manager_looks(installed: Path) -> None:
    description = (installed / "share" / "Slicer-5.10" / "BSAFusion.s4ext").read_text()
    assert "category Registration\n" in description
    assert "depends PyTorch\n" in description
    assert "research use only" in description


def test_slicers_test_runner_has_the_modules_own_tests(build: Path) -> None:
    tests = json.loads(call(Path(cmake.CMAKE_BIN_DIR, "ctest"), "--show-only=json-v1", cwd=build))["tests"]
    commands = {test["name"]: test["command"] for test in tests}
    assert set(commands) == {"py_BSAFusion", "py_nomainwindow_qSlicerBSAFusionModuleGenericTest"}
    assert "slicer.testing.runUnitTest" in commands["py_BSAFusion"][-1]
    assert commands["py_BSAFusion"][-1].endswith("'BSAFusion')")
    folder = commands["py_nomainwindow_qSlicerBSAFusionModuleGenericTest"]
    assert str(build / modules) in folder


loading = """
import sys
from pathlib import Path
from Testing import harness
import slicer

folder = Path(sys.argv[1])
with harness.running():
    module = harness.load_module(folder / "BSAFusion.py")
    slicer.util.selectModule("BSAFusion")
    widget = slicer.util.getModuleWidget("BSAFusion")
    assert widget.ui.applyButton is not None
    assert not module.icon.isNull()
    assert Path(widget.resourcePath("UI/BSAFusion.ui")).is_file()

    import BSAFusionLib
    assert Path(BSAFusionLib.__file__).parent == folder / "BSAFusionLib", BSAFusionLib.__file__

    import SampleData
    slicer.app.startupCompleted.emit()
    mri, pet = SampleData.SampleDataLogic().downloadSamples("BSAFusionMRIPET")
    assert pet.GetImageData().GetNumberOfPoints() > 0
    (source,) = SampleData.SampleDataLogic.sampleDataSourcesByCategory("BSAFusion")
    assert Path(source.thumbnailFileName).is_file()
    slicer.util.getModuleLogic("BSAFusion").check(mri, pet)

    from BSAFusionLib.network.weights import load_network
    from BSAFusionLib.resources import MODELS
    assert folder in MODELS.parents
    for modality in ("ct", "pet", "spect"):
        assert load_network(MODELS / f"{modality}.safetensors").metadata.modality in (modality, "all")
print("loaded")
"""


def test_the_test_bench_loads_the_installed_module_with_panel_icon_sample_data_and_weights(
    installed: Path, tmp_path: Path
) -> None:
    # The bench alone, so that nothing can come from the source tree, and another library that Slicer would find first.
    shutil.copytree(repository / "Testing" / "harness", tmp_path / "Testing" / "harness")
    (tmp_path / "Testing" / "__init__.py").touch()
    (tmp_path / "BSAFusionLib").mkdir()
    (tmp_path / "BSAFusionLib" / "__init__.py").write_text("raise ImportError('another copy')")
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert "loaded" in call(sys.executable, "-c", loading, installed / modules, cwd=tmp_path, env=elsewhere)


def test_an_older_slicer_is_told_so_when_it_builds_the_extension(tmp_path: Path) -> None:
    command = [*configuration(tmp_path), "-DSlicer_REQUIRED_PYTHON_VERSION=3.9.10"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode != 0
    assert "BSAFusion needs Slicer 5.10 or later: this one has Python 3.9.10." in " ".join(finished.stderr.split())


def test_an_older_slicer_is_told_so_when_it_loads_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = repository / "BSAFusion" / "BSAFusion.py"
    ast.parse(module.read_text(), feature_version=(3, 9))  # what Slicer 5.8 has
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setitem(sys.modules, "BSAFusion", None)  # what loading leaves there goes again
    monkeypatch.setattr(sys, "version_info", (3, 9, 10, "final", 0))
    with pytest.raises(ImportError, match=r"needs Slicer 5\.10 or later"):
        harness.load_module(module)


def test_the_catalog_entry_has_the_fields_of_its_schema() -> None:
    """The schema is slicer-extension-catalog-entry-schema-v1.0.1.json of the Extensions Index."""
    entry = json.loads((repository / "BSAFusion.json").read_text())
    required = {"$schema", "category", "scm_url"}
    optional = {"scm_revision", "scm_type", "build_dependencies", "build_subdirectory", "enabled", "tier"}
    assert required <= set(entry) <= required | optional
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["tier"] in (1, 3, 5)
    described = dict(
        line.split(" ", 1) for line in (repository / "BSAFusion.s4ext").read_text().splitlines() if " " in line
    )
    assert entry["category"] == described["category"]
    assert " ".join(entry["build_dependencies"]) == described["depends"]


def test_the_licence_and_an_icon_are_as_the_indexs_checklist_wants_them() -> None:
    assert "Apache License" in (repository / "LICENSE.txt").read_text()
    assert "Apache-2.0, see `LICENSE.txt`" in (repository / "README.md").read_text()
    with Image.open(repository / "Resources" / "Icons" / "BSAFusion.png") as icon:  # SVG is not taken
        assert (icon.format, icon.size) == ("PNG", (128, 128))


def test_version_changelog_and_citation_agree() -> None:
    changes = (repository / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changes, re.MULTILINE).group(1) == version
    citation = (repository / "CITATION.cff").read_text()
    assert f"\nversion: {version}\n" in citation
    assert "2412.08050" in citation
