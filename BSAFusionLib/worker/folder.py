"""A private temporary folder that lasts as long as the process that made it, and not a start longer."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
import weakref
from pathlib import Path
from typing import IO

PREFIX = "BSAFusion-worker-"
LOCK = "lock"
SECONDS_UNTIL_LOCKED = 60.0  # the maker of a younger folder may not have come to lock it


class PrivateFolder:
    """A folder that only this user may read; made when first asked for, and made again where somebody removed it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._path: Path | None = None
        self._lock: IO[bytes] | None = None
        self._remover: weakref.finalize | None = None  # also at Python's end

    def path(self) -> Path:
        """Return the folder.

        Raises:
            OSError: it cannot be made.
        """
        if self._path is None or not self._path.is_dir():
            self.remove()
            sweep(self._parent)
            self._path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent))
            self._lock = (self._path / LOCK).open("wb")
            _try_lock(self._lock)
            self._lock.write(b"%d\n" % os.getpid())  # which says that it was locked
            self._lock.flush()
            self._remover = weakref.finalize(self, _remove, self._path, self._lock)
        return self._path

    def remove(self) -> None:
        """Remove the folder with all that is in it, if there is one."""
        if self._remover is not None:
            self._remover()
        self._path = self._lock = self._remover = None


def sweep(parent: Path) -> None:
    """Remove this user's folders whose makers were killed; a maker that lives holds a lock, which ends with it."""
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_ours(path) and _is_left(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and (os.name == "nt" or found.st_uid == os.getuid())


def _is_left(path: Path) -> bool:
    """Return whether nobody holds a folder's lock."""
    lock = path / LOCK
    if not lock.is_file() or lock.stat().st_size == 0:
        return time.time() - path.stat().st_mtime > SECONDS_UNTIL_LOCKED
    with lock.open("r+b") as file:
        return _try_lock(file)


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; False where somebody else holds the lock."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(path: Path, lock: IO[bytes]) -> None:
    lock.close()  # first: Windows removes no file that is open
    shutil.rmtree(path, ignore_errors=True)
