"""Large libraries are imported without a look for garbage, and those that a run does not need are not."""

import subprocess
import sys

import pytest


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def test_libraries_are_imported_and_their_objects_left_alone():
    run(
        "import gc, sys\n"
        "from BSAFusionLib.worker.libraries import import_without_collection\n"
        "import_without_collection(['wave'])\n"
        "assert 'wave' in sys.modules and gc.isenabled() and gc.get_freeze_count() > 0"
    )


def test_garbage_is_looked_for_again_after_an_import_that_failed():
    run(
        "import gc\n"
        "from BSAFusionLib.worker.libraries import import_without_collection\n"
        "try:\n"
        "    import_without_collection(['no_such_library'])\n"
        "except ImportError:\n"
        "    assert gc.isenabled()\n"
        "else:\n"
        "    raise AssertionError"
    )


@pytest.mark.parametrize("library", ["pydicom", "torch", "matplotlib"])
def test_files_are_read_without_what_only_other_inputs_need(library):
    run(f"import sys, BSAFusionLib.files.inputs\nassert {library!r} not in sys.modules")
