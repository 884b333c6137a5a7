"""How the program was started, for the commands that it shows."""

import sys
from pathlib import Path

from BSAFusionLib.files.paths import path_from

RUN = Path(__file__).resolve().parents[2] / "run.py"  # in the source tree only


def program_name() -> str:
    """Return "bsafusion" where the script that pip installs was started, else "run.py"."""
    return "bsafusion" if Path(sys.argv[0]).stem == "bsafusion" else "run.py"


def program_words(folder: Path) -> list[str]:
    """Return the words that start the program again from a folder."""
    if program_name() == "bsafusion" or not RUN.is_file():
        return ["bsafusion"]
    return ["python3", path_from(folder, RUN)]
