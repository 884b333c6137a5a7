"""A file that may not be opened is named in a sentence by every command, and stops no other case of a cohort."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from BSAFusionLib import __main__ as command_line
from BSAFusionLib.commands import apply
from BSAFusionLib.files.dicom.recognize import is_dicom_path
from Testing.ground.nifti_files import example

LOCKED = "locked"  # how the names of files begin that nobody may open
REFUSED = "Permission denied"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume beside others that nobody may open, not even the administrator, who runs tests in a container."""
    for name in ("mri.nii.gz", "ct.nii.gz", "locked.nii.gz"):
        sitk.WriteImage(example(), str(tmp_path / name))
    sitk.WriteTransform(sitk.TranslationTransform(3), str(tmp_path / "shift.tfm"))
    opened, accessible = Path.open, os.access

    def open_(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.stem.startswith(LOCKED):
            raise PermissionError(errno.EACCES, REFUSED, str(self))
        return opened(self, *arguments, **options)

    def access(tried: Any, *arguments: Any, **options: Any) -> bool:
        return not Path(tried).stem.startswith(LOCKED) and accessible(tried, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(os, "access", access)
    return tmp_path / "locked.nii.gz"


def run(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str]:
    """Return the exit status of a command and all that it says of errors."""
    status = command_line.main(list(map(str, words)))
    return status, capsys.readouterr().err.rstrip("\n")


def test_what_may_not_be_opened_is_not_taken_for_dicom(locked: Path) -> None:
    assert not is_dicom_path(locked)
    assert is_dicom_path(locked.parent)


@pytest.mark.parametrize("fixed", ["mri.nii.gz", "locked.nii.gz"])
def test_fuse_says_which_volume_may_not_be_opened(locked: Path, fixed: str, capsys: pytest.CaptureFixture) -> None:
    moving = "ct.nii.gz" if fixed == locked.name else locked.name
    folder = locked.parent
    words = ["fuse", folder / fixed, folder / moving, "--modality", "ct", "--out", folder / "out"]
    assert run(capsys, *words) == (2, f"The file {locked} cannot be read ({REFUSED}); see that you may open it.")


def test_apply_says_which_volume_may_not_be_opened(locked: Path, capsys: pytest.CaptureFixture) -> None:
    folder = locked.parent
    for volume, reference in ((locked, folder / "mri.nii.gz"), (folder / "ct.nii.gz", locked)):
        words = ["apply", folder / "shift.tfm", volume, "--reference", reference, "--out", folder / "out"]
        assert run(capsys, *words) == (2, f"The file {locked} cannot be read ({REFUSED}); see that you may open it.")


@pytest.mark.parametrize("name", ["locked.mrk.json", "locked.fcsv", "locked.vtp", "locked.tfm"])
def test_apply_says_that_points_models_and_transforms_may_not_be_opened(
    locked: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    path = locked.with_name(name)
    path.touch()
    words = (path, locked.with_name("ct.nii.gz")) if path.suffix == ".tfm" else (locked.with_name("shift.tfm"), path)
    said = f"The file {path} cannot be read ({REFUSED}); see that you may open it."
    assert run(capsys, "apply", *words, "--out", locked.with_name("out")) == (2, said)


@pytest.mark.skipif(sys.platform == "win32", reason="a longer name is no file there")
@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_fuse_names_the_volume_that_cannot_be_reached_and_not_the_results(
    locked: Path, role: str, capsys: pytest.CaptureFixture
) -> None:
    folder = locked.parent
    volumes = {"fixed": folder / "mri.nii.gz", "moving": folder / "ct.nii.gz", role: folder / f"{'a' * 300}.nii.gz"}
    words = ["fuse", volumes["fixed"], volumes["moving"], "--modality", "ct", "--out", folder / "out"]
    said = f"The {role} volume cannot be read (File name too long); see that you may open it."
    assert run(capsys, *words) == (2, said)


def test_batch_says_which_case_has_it_and_runs_the_others(locked: Path, capsys: pytest.CaptureFixture) -> None:
    table = locked.with_name("cohort.csv")
    table.write_text("case,fixed,moving,modality\na,mri.nii.gz,ct.nii.gz,ct\nb,mri.nii.gz,locked.nii.gz,ct\n")
    words = ["batch", table, "--out", locked.with_name("out"), "--dry-run"]
    status, said = run(capsys, *words)
    assert status == 2
    assert said.startswith("1 of the cohort's volumes cannot be read, so nothing was computed: sub-b_ct, moving")
    assert run(capsys, *words, "--participant-label", "a")[0] == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(errno.EACCES, REFUSED, "notes.txt"),
            f"The file notes.txt cannot be read or written ({REFUSED}); see that it is there and that you may open it.",
        ),
        (
            ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
            "The system refused to read, write or connect (Connection reset by peer); check the disk and the network.",
        ),
        (OSError("no such stream"), "The system refused to read, write or connect (no such stream); check the"),
    ],
)
def test_whatever_the_system_refuses_ends_a_command_in_a_sentence(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(_: object) -> int:
        raise error

    monkeypatch.setattr(apply, "run", refuse)
    status, line = run(capsys, "apply", "shift.tfm", "ct.nrrd")
    assert status == 2
    assert line.startswith(said)
