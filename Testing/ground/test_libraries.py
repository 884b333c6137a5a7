"""Large libraries are imported without a look for garbage, and those that a run does not need are not."""

import subprocess
import sys

import pytest

from BSAFusionLib.resources import SAMPLE_DATA


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


def test_a_batch_lists_its_cases_without_the_libraries_that_compute_them(tmp_path):
    table = tmp_path / "cohort.csv"
    row = f"1,{SAMPLE_DATA / 'mri_t1.nii.gz'},{SAMPLE_DATA / 'pet_fdg.nii.gz'},pet"
    table.write_text(f"case,fixed,moving,modality\n{row}")
    words = ["batch", str(table), "--out", str(tmp_path / "out"), "--dry-run"]
    run(
        "import sys\n"
        "from BSAFusionLib.__main__ import main\n"
        f"assert main({words!r}) == 0\n"
        "assert not {'torch', 'matplotlib', 'distributed'} & sys.modules.keys()"
    )
