"""The repository that is published holds the last commit's files in one commit, and what the Extensions Index asks."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

repository = Path(__file__).resolve().parents[2]
descriptions = ("CMakeLists.txt", "BSAFusion.json", "BSAFusion.s4ext", "BSAFusion/BSAFusion.py")
home = "https://github.com/some-lab/SlicerBSAFusion"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the files of ours that matter here, two commits, and a file that Git does not know."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    folder = tmp_path / "source"
    for name in (
        *descriptions,
        ".gitignore",
        "run.py",
        "BSAFusionLib/__init__.py",
        "Documentation/make_publication.py",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, folder / name)
    git(folder, "init", "--quiet")
    for message in ("First", "Second"):
        (folder / "README.md").write_text(message)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", message)
    (folder / "notes.txt").write_text("not ours to publish")
    return folder


def publish(source: Path, owner: str, parent: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, source / "Documentation" / "make_publication.py", owner, parent]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_last_commits_files_are_published_in_one_commit(source: Path, tmp_path: Path) -> None:
    finished = publish(source, "some-lab", tmp_path / "new")
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "new" / "SlicerBSAFusion"
    assert re.search(r"SlicerBSAFusion: files \d+\.\d MB, history \d+\.\d MB, of 100 MB at most", finished.stdout)
    assert git(folder, "rev-list", "--count", "--all") == "1\n"
    assert git(folder, "branch", "--show-current") == "main\n"
    assert git(folder, "status", "--porcelain", "--ignored") == ""
    assert git(folder, "ls-files") == git(source, "ls-files")
    assert os.access(folder / "run.py", os.X_OK)
    for name in set(git(source, "ls-files").split()) - set(descriptions):
        assert (folder / name).read_bytes() == (source / name).read_bytes()
    assert git(source, "status", "--porcelain") == "?? notes.txt\n"


def test_the_descriptions_name_the_owners_pages(source: Path, tmp_path: Path) -> None:
    publish(source, "some-lab", tmp_path)
    folder = tmp_path / "SlicerBSAFusion"
    assert json.loads((folder / "BSAFusion.json").read_text())["scm_url"] == home
    cmake = dict(re.findall(r'set\((EXTENSION_\w+)\s+"(.*)"\)', (folder / "CMakeLists.txt").read_text()))
    assert cmake["EXTENSION_HOMEPAGE"] == f"{home}#readme"
    described = dict(
        line.split(" ", 1) for line in (folder / "BSAFusion.s4ext").read_text().splitlines() if " " in line
    )
    assert described["scmurl"] == home
    assert f"{home}/blob/main/Documentation/user-guide.md" in (folder / "BSAFusion" / "BSAFusion.py").read_text()
    raw = home.replace("github.com", "raw.githubusercontent.com") + "/main/"
    pictures = [cmake["EXTENSION_ICONURL"], *cmake["EXTENSION_SCREENSHOTURLS"].split()]
    assert len(pictures) > 1
    for picture in pictures:  # the Index fetches them
        assert picture.startswith(raw)
        assert (repository / picture.removeprefix(raw)).is_file()
    for name in ("homepage", "iconurl", "screenshoturls"):
        assert described[name] == cmake[f"EXTENSION_{name.upper()}"]


@pytest.mark.parametrize("wrong", ["it is there", "changed files", "no account", "no mark", "no author"])
def test_a_mistake_is_reported_in_one_sentence_and_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    folder, owner = tmp_path / "SlicerBSAFusion", "some-lab"
    if wrong == "it is there":
        folder.mkdir()
        (folder / "own.txt").touch()
    elif wrong == "changed files":
        (source / "README.md").write_text("Third")
    elif wrong == "no account":
        owner = "../lab"
    elif wrong == "no mark":
        (source / "BSAFusion.json").write_text("{}")
        git(source, "commit", "--quiet", "--all", "--message", "Third")
    else:
        monkeypatch.setenv("GIT_AUTHOR_NAME", "")
    finished = publish(source, owner, tmp_path)
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr and finished.stdout == ""
    expected = {
        "it is there": f"{folder} exists",
        "changed files": "commit them",
        "no account": "no name of a GitHub account",
        "no mark": "BSAFusion.json has no address with <owner>",
        "no author": "git commit failed",
    }
    assert expected[wrong] in finished.stderr
    assert [path.name for path in folder.iterdir()] == ["own.txt"] if wrong == "it is there" else not folder.exists()


def test_our_own_files_leave_room_in_the_limit_of_the_index() -> None:
    """They count twice: as they are, and in the history, for weights and pictures do not get smaller there."""
    if not (repository / ".git").exists():
        pytest.skip("these sources are no Git repository")
    files = git(repository, "ls-files", "-z").split("\0")[:-1]
    size = sum((repository / name).stat().st_size for name in files if (repository / name).is_file())
    assert 2 * size < 100 * 2**20
