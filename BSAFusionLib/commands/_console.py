"""Printing that never fails, whatever the console's code page and whoever stopped reading."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TextIO


class Console:
    """A text stream that replaces characters its code page lacks, and ignores that nobody reads it any more.

    Args:
        stream: Standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; characters that the code page lacks as their numbers."""
        with self._unfailing():
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        with self._unfailing():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _unfailing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # What is still buffered goes nowhere, too, so that Python does not complain when it ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def unfailing_console(stdout: TextIO, stderr: TextIO) -> Iterator[None]:
    """Print through `Console` in this context."""
    # What the commands print has write() and flush() and all that the stream has.
    out, err = Console(stdout), Console(stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # type: ignore[type-var]
        try:
            yield
        finally:
            out.flush()
            err.flush()
