"""Results that replace older ones all together or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from BSAFusionLib.errors import FusionError

UNFINISHED = ".unfinished-"
STALE_SECONDS = 24 * 3600  # after which the folder of an unfinished run is taken for one that was killed


@contextlib.contextmanager
def written_whole(folder: Path | str, replaced: Iterable[str] = ()) -> Iterator[Path]:
    """Yield a new folder to write results in; they move into `folder`, over what is there, once all are complete.

    An error on the way leaves `folder` as it was, also where one of the files there cannot be replaced. What a run must
    not replace is checked before, by `refuse_overwriting`.

    Args:
        folder: Where the results go; made if it is not there.
        replaced: Names of files that belong to an earlier result: those that were not written again are removed.

    Raises:
        FusionError: The folder cannot be written to, one of the files in it cannot be replaced, or the system refused
            a file elsewhere while the folder was open.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as unfinished:
            yield Path(unfinished)
            _move_all(sorted(Path(unfinished).iterdir()), folder, replaced)
    except OSError as error:
        if _lies_elsewhere(error.filename, folder):
            raise FusionError(
                f"The file {error.filename} cannot be read or written ({error.strerror}); see that you may open it and "
                "that its disk has room."
            ) from error
        raise unwritable(folder, error) from error


def remove_stale(folder: Path) -> None:
    """Remove the folders that killed runs left in a folder for results, which need not exist."""
    for left in folder.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):  # the folder of another job, which may remove it at any time
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _lies_elsewhere(name: object, folder: Path) -> bool:
    """Tell whether an error names a file that is neither in a folder nor one of the folders above it."""
    if not isinstance(name, str):
        return False
    file, folder = Path(os.path.abspath(name)), Path(os.path.abspath(folder))
    return folder not in (file, *file.parents) and file not in folder.parents


def unwritable(folder: Path, error: OSError) -> FusionError:
    """Return the error that says why no results can be written to a folder."""
    # Path.is_file raises where a name is too long.
    blocking = next((path for path in (folder, *folder.parents) if os.path.isfile(path)), None)
    if blocking is not None:
        return FusionError(f"{blocking} is a file; choose another folder for the results.")
    return FusionError(f"The results cannot be written to {folder} ({error.strerror}); choose another folder.")


def check_writable(path: Path) -> None:
    """Check that a file can be written, before a long computation; leave no trace.

    Args:
        path: Need not exist, and neither need its folder.

    Raises:
        FusionError: It is a folder, or nothing can be written to the nearest folder above it that exists.
    """
    above = next((folder for folder in path.absolute().parents if os.path.lexists(folder)), path.parent)
    try:
        if os.path.isdir(path):
            raise IsADirectoryError
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise not_written(path) from error


def not_written(path: Path) -> FusionError:
    """Return the error that says that a file cannot be written."""
    return FusionError(f"The file {path} cannot be written; choose another place for it.")


def _move_all(files: list[Path], folder: Path, replaced: Iterable[str]) -> None:
    """Move files of a folder below `folder` into it, over files of their names; all of them, or none and an error.

    Files of the names in `replaced` are removed.

    A file cannot be replaced where another program keeps it open on Windows, or where a folder has its name.
    """
    if not files:
        return
    older = Path(tempfile.mkdtemp(dir=files[0].parent))
    try:
        for name in {*replaced} - {path.name for path in files}:
            with contextlib.suppress(FileNotFoundError):
                os.replace(folder / name, older / name)
        for path in files:
            target = folder / path.name
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
            with contextlib.suppress(FileNotFoundError):
                os.replace(target, older / path.name)
            os.replace(path, target)
    except BaseException:  # also where the user stops the command meanwhile
        for path in files:
            if not os.path.lexists(path):  # it was moved
                (folder / path.name).unlink(missing_ok=True)
        for path in older.iterdir():
            os.replace(path, folder / path.name)
        raise
