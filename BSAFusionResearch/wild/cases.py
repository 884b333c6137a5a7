"""One wild case: how its files are made, what is known about them, and what the program should do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

if TYPE_CHECKING:
    from BSAFusionResearch.wild.sources import Sources

FOUND = "found"
"""The head is found, and the result is not called doubtful."""

UNRELATED = "unrelated"
"""The two volumes have nothing in common: the result is called doubtful, or the pair is rejected."""

SAID = "said"
"""The pair is registered or rejected, and a sentence says what is special about it."""


@dataclass(frozen=True)
class Truth:
    """The right rigid motion of a pair.

    Attributes:
        motion: Fixed point to point of the moving anatomy, mm, LPS.
        head: Where the error is measured: a mask over the fixed volume.
        placed: The moving volume's grid where the motion has it, in the order of the file's voxels; None where the
            file itself says rightly where its voxels lie.
        template: Modality of a moving template, which does not lie exactly on the MRI's; "" for a simulated patient.
    """

    motion: sitk.Transform
    head: sitk.Image
    placed: sitk.Image | None = None
    template: str = ""


@dataclass(frozen=True)
class Pair:
    """Two volumes in files or folders.

    Attributes:
        fixed: The MRI.
        moving: The other volume.
        modality: Of the moving volume.
        choices: Other fields of `Settings`.
        truth: The right motion; None where there is none.
    """

    fixed: Path
    moving: Path
    modality: str
    choices: dict[str, Any] = field(default_factory=dict)
    truth: Truth | None = None


@dataclass(frozen=True)
class CommandLine:
    """Arguments of a whole run of the program, for what only shows there.

    Attributes:
        arguments: Of run.py; bytes where a path is no text.
        kept: Files that must be the same afterwards.
        environment: Variables to set.
        expected_status: The exit status that is right.
    """

    arguments: tuple[str | bytes, ...]
    kept: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    expected_status: int = 0


@dataclass(frozen=True)
class WildCase:
    """One input of one kind.

    Attributes:
        kind: Two digits, those of the kind's folder.
        name: Unique within the kind.
        expected: `FOUND`, `UNRELATED` or `SAID`.
        make: Writes the files into an empty folder.
        words: Regular expressions; a sentence should match each of them, letters of either case.
    """

    kind: str
    name: str
    expected: str
    make: Callable[["Sources", Path], Pair | CommandLine]
    words: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Kind and name in one word, also the name of the case's row."""
        return f"{self.kind}-{self.name}"
