"""Tells a worker of `program.py` what to do."""

import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")


class Control:
    """The folder through which a test speaks to a worker; each method holds until `reset`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def command(self, jobs: str) -> list[str]:
        """Return what starts the worker, with the product's jobs ("real") or with quick ones ("quick")."""
        return [sys.executable, str(PROGRAM), str(self._folder), jobs]

    def hold(self, stage: str) -> None:
        """Let jobs wait when they tell this stage; "begun": at their begin, after they told half of the slices."""
        self._write("hold", stage)

    def let_go(self) -> None:
        """Let jobs go on."""
        (self._folder / "hold").unlink(missing_ok=True)

    def fail(self, error: Exception) -> None:
        """Let jobs raise an error, one of Python's own, after they waited at their begin."""
        self._write("error", f"{type(error).__name__} {error}".rstrip())

    def deafen(self) -> None:
        """Let jobs not hear that they should stop."""
        self._write("deaf", "")

    def leave_memory(self, megabytes: int) -> None:
        """Let jobs have so much memory besides what the process holds when they begin."""
        self._write("megabytes", str(megabytes))

    def start_slowly(self, seconds: float) -> None:
        """Let the process take its time before it is ready."""
        self._write("seconds_to_start", str(seconds))

    def end_when_idle(self, minutes: float) -> None:
        """Let the process end when it had nothing to do for so long; asked when it starts."""
        self._write("idle_minutes", str(minutes))

    def plug_in_unknown_gpu(self) -> None:
        """Let PyTorch list "Some GPU, 24 GB", on which it cannot compute."""
        self._write("gpu", "")

    def make_unfit(self) -> None:
        """Let the process end after its next job."""
        self._write("unfit", "")

    def reset(self) -> None:
        """Take everything back."""
        for path in self._folder.iterdir():
            path.unlink()

    def _write(self, name: str, text: str) -> None:
        unfinished = self._folder / f"{name}.new"
        unfinished.write_text(text)
        unfinished.rename(self._folder / name)  # at once, so that nobody reads half of it
