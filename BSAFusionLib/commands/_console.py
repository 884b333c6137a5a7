"""Printing that never fails, whatever the console's code page, and also where it is closed or full."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TextIO


class Console:
    """A text stream that replaces characters its code page lacks, and ignores that nothing can be written to it.

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
        except OSError:  # nobody reads any more, or the disk that the output goes to is full
            # What is still buffered goes nowhere, too, so that Python does not complain when it ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def unfailing_console(stdout: TextIO | None, stderr: TextIO | None) -> Iterator[None]:
    """Print through `Console` in this context.

    Args:
        stdout: Standard output; None where it is closed, as Python has it.
        stderr: Standard error, likewise.
    """
    # What the commands print has write() and flush() and all that the stream has.
    out, err = Console(stdout or _nowhere(1)), Console(stderr or _nowhere(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # type: ignore[type-var]
        try:
            yield
        finally:
            out.flush()
            err.flush()


def _nowhere(descriptor: int) -> TextIO:
    """Return a stream whose text is dropped, in place of a closed one.

    It takes the closed one's descriptor. Otherwise the next file that is opened would, and what libraries print would
    go into that file.
    """
    with contextlib.suppress(OSError):
        os.fstat(descriptor)
        return open(os.devnull, "w", encoding="utf-8")
    opened = os.open(os.devnull, os.O_WRONLY)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    return open(descriptor, "w", encoding="utf-8", closefd=False)
