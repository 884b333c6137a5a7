"""Relative paths, and paths that ITK can open: it takes UTF-8 only, while a file system allows names of any bytes."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import TWO_FILE_SUFFIXES, files_of


def path_from(folder: Path, path: Path) -> str:
    """Return a file's path relative to a folder, or its full path where that is on another drive.

    A symbolic link keeps its own name: a volume's modality and sidecar go by it, as in a DataLad dataset.
    """
    named = path.parent.resolve() / path.name
    try:
        return Path(os.path.relpath(named, folder.resolve())).as_posix()
    except ValueError:
        return named.as_posix()


def require_file(path: Path) -> None:
    """Raise FusionError where a path does not lead to a file that may be opened."""
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise FusionError(f"There is no file {path}; check the path.")
    try:
        path.open("rb").close()
    except OSError as error:
        raise FusionError(f"The file {path} cannot be read ({error.strerror}); see that you may open it.") from error


def itk_can_open(path: Path) -> bool:
    """Tell whether a path is the same for ITK, which takes it as UTF-8, and for the file system."""
    try:
        return os.fsencode(path) == str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new folder that only this user can open; it is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bsafusion-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def readable_by_itk(path: Path) -> Iterator[str]:
    """Yield a name by which ITK can open a volume: its own, or that of a link or copy in a private folder."""
    if itk_can_open(path):
        yield str(path)
        return
    with private_folder() as folder:
        for file in files_of(path):
            if file != path and file.suffix.lower() == ".json":
                continue  # ITK reads none, and two of other folders may share a name
            paired = file == path or file.suffix.lower() in TWO_FILE_SUFFIXES
            link_or_copy(file, folder / (f"volume{file.suffix}" if paired else file.name))
        named = folder / f"volume{_ending(path)}"
        if named.name != f"volume{path.suffix}":
            link_or_copy(path, named)
        yield str(named)


@contextlib.contextmanager
def readable_by_gdcm(paths: list[Path]) -> Iterator[list[str]]:
    """Yield names by which ITK can open DICOM files, in the same order."""
    if all(map(itk_can_open, paths)):
        yield list(map(str, paths))
        return
    with private_folder() as folder:
        links = [folder / f"{number}.dcm" for number in range(len(paths))]
        for path, link in zip(paths, links, strict=True):
            link_or_copy(path, link)
        yield list(map(str, links))


@contextlib.contextmanager
def writable_by_itk(path: Path) -> Iterator[str]:
    """Yield a name that ITK can write to; all files that it wrote there end up in the folder of `path`.

    Raises:
        FusionError: The name itself is not UTF-8, and the format has a header that names the file of the voxels.
    """
    if itk_can_open(path):
        yield str(path)
        return
    with private_folder() as folder:
        own_name = itk_can_open(Path(path.name))
        written = folder / (path.name if own_name else f"written{_ending(path)}")
        yield str(written)
        if not own_name and len(list(folder.iterdir())) > 1:
            raise FusionError(
                f"The name of {path} is not UTF-8, which a format of two files cannot hold; choose .nrrd."
            )
        for file in folder.iterdir():
            shutil.copyfile(file, path if file == written else path.with_name(file.name))


def _ending(path: Path) -> str:
    """Return the ending by which ITK recognizes the format."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix


def link_or_copy(file: Path, name: Path) -> None:
    """Make a file available under another name; copied where the system allows no links."""
    try:
        name.symlink_to(file.absolute())
    except OSError:
        shutil.copyfile(file, name)
