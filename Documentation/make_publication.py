"""Makes the repository that is published: the last commit's files in one commit, under the name of its owner.

    python3 Documentation/make_publication.py OWNER FOLDER

OWNER is the GitHub account that the repository will belong to; FOLDER/SlicerBSAFusion is made. Slicer's Extensions
Index takes a repository of 100 MB at most, with its history, whose description names its own pages.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
NAME = "SlicerBSAFusion"
LIMIT_MB = 100  # of scripts/check_description_files.py of the Extensions Index, which counts all files of a clone
OWNER_MARK = "<owner>"  # stands for the owner in our sources
DESCRIPTIONS = ("CMakeLists.txt", "BSAFusion.json", "BSAFusion.s4ext", "BSAFusion/BSAFusion.py")


class PublicationError(Exception):
    """A reason not to publish, as one sentence that says what to do."""


def make_publication(owner: str, parent: Path, source: Path = SOURCE) -> Path:
    """Make the folder SlicerBSAFusion, a Git repository with one commit.

    Args:
        owner: The GitHub account that it will belong to.
        parent: The folder to make it in.
        source: The repository whose last commit is published.

    Returns:
        The new folder.

    Raises:
        PublicationError: It cannot be made, or it is too large for the Extensions Index. Nothing is left then.
    """
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9])*", owner):
        raise PublicationError(f"'{owner}' is no name of a GitHub account; give letters, digits and single hyphens.")
    folder = parent.resolve() / NAME
    if os.path.lexists(folder):
        raise PublicationError(f"{folder} exists; choose another folder, or move it away.")
    if git(source, "status", "--porcelain", "--untracked-files=no"):
        raise PublicationError("Files are changed since the last commit; commit them, or put them back.")
    folder.mkdir(parents=True)
    try:
        copy_last_commit(source, folder)
        for name in DESCRIPTIONS:
            name_owner(folder / name, owner)
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all", "--force")
        commit = git(source, "rev-parse", "--short=12", "HEAD")
        git(folder, "commit", "--quiet", f"--message=BSAFusion {version(folder)}", f"--message=Made from {commit}.")
        git(folder, "gc", "--quiet")  # as a clone is packed
        if (size := size_mb(folder)) > LIMIT_MB:
            raise PublicationError(
                f"The repository has {size:.1f} MB, and the Extensions Index takes {LIMIT_MB}; leave large files out."
            )
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def copy_last_commit(source: Path, folder: Path) -> None:
    """Copy the files of the last commit, without those that Git does not know."""
    with tempfile.TemporaryDirectory() as temporary:
        index = {"GIT_INDEX_FILE": str(Path(temporary, "index"))}  # leaves the repository's own alone
        git(source, "read-tree", "HEAD", **index)
        git(source, "checkout-index", "--all", f"--prefix={folder}{os.sep}", **index)


def name_owner(path: Path, owner: str) -> None:
    """Put the owner's name into the addresses of a file."""
    text = path.read_text(encoding="utf-8")
    if OWNER_MARK not in text:
        raise PublicationError(f"{path.name} has no address with {OWNER_MARK}; put the mark back in.")
    path.write_text(text.replace(OWNER_MARK, owner), encoding="utf-8", newline="\n")


def version(folder: Path) -> str:
    """Return the version of the sources in a folder."""
    return re.search('version = "(.+)"', (folder / "BSAFusionLib" / "__init__.py").read_text(encoding="utf-8"))[1]


def size_mb(folder: Path) -> float:
    """Return the size of all files in a folder, in MB of 1024 x 1024 bytes, as the Extensions Index counts it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def git(folder: Path, *arguments: str, **environment: str) -> str:
    """Run Git in a folder and return what it prints; PublicationError with its own words where it fails."""
    command = ["git", "-C", str(folder), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if finished.returncode:
        raise PublicationError(f"git {arguments[0]} failed: {finished.stderr.strip()}")
    return finished.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("owner", metavar="OWNER", help="the GitHub account that the repository will belong to")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=f"where the folder {NAME} is made")
    arguments = parser.parse_args()
    try:
        folder = make_publication(arguments.owner, arguments.folder)
    except PublicationError as error:
        print(error, file=sys.stderr)
        return 2
    history = size_mb(folder / ".git")
    print(f"{folder}: files {size_mb(folder) - history:.1f} MB, history {history:.1f} MB, of {LIMIT_MB} MB at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
