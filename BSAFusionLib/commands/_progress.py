"""Progress on stderr: a bar on a terminal, plain lines in a log, nothing where it is not wanted."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from BSAFusionLib.pipeline.progress import Progress, Slices

LOG_STEPS = 10  # lines of a run in a log, beside one a stage


def say(sentence: str, quiet: bool = False) -> None:
    """Print a remark on stderr."""
    if not quiet:
        print(sentence, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator["Progress | None"]:
    """Show how far a run is; yield the function that updates it, None where nothing is shown."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield _progress_log()
    else:
        from tqdm import tqdm

        with tqdm(total=1.0, bar_format="{desc:<24} {percentage:3.0f} %|{bar:30}| {elapsed}") as bar:

            def progress(stage: str, fraction: float, slices: "Slices") -> None:
                bar.set_description_str(stage + _count(slices), refresh=False)
                bar.update(fraction - bar.n)

            yield progress


@contextmanager
def case_counter(total: int, done: int, quiet: bool = False) -> Iterator[Callable[[str, bool], None]]:
    """Count cases; yield a function that takes a sentence about the next one, and whether it failed.

    Args:
        total: Number of all cases.
        done: Number of those that were done before.
        quiet: Show failures only.
    """
    if quiet or not sys.stderr.isatty():
        count = done

        def log(sentence: str, failed: bool) -> None:
            nonlocal count
            count += 1
            say(f"{count} of {total}: {sentence}", quiet and not failed)

        yield log
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="case") as bar:

        def advance(sentence: str, failed: bool) -> None:
            if failed:
                bar.write(sentence, file=sys.stderr)
            bar.update()

        yield advance


def _progress_log() -> "Progress":
    """Return a function that prints a line when a stage begins and at every tenth of the run."""
    begin, last = time.monotonic(), ("", -1)

    def progress(stage: str, fraction: float, slices: "Slices") -> None:
        nonlocal last
        if (stage, int(fraction * LOG_STEPS)) != last:
            last = stage, int(fraction * LOG_STEPS)
            say(f"{fraction:4.0%}  {time.monotonic() - begin:5.0f} s  {stage}{_count(slices)}")

    return progress


def _count(slices: "Slices") -> str:
    return "" if slices is None else f", slice {slices[0]} of {slices[1]}"
