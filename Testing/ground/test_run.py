"""run.py makes its environment once, takes up an interrupted one, and passes on arguments and exit codes."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

repository = Path(__file__).resolve().parents[2]

specification = importlib.util.spec_from_file_location("run", repository / "run.py")
assert specification is not None
assert specification.loader is not None
run = importlib.util.module_from_spec(specification)
specification.loader.exec_module(run)


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Start run.py from another folder, as a user may."""
    command = [sys.executable, folder / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)


def project_of(dependencies: list[str]) -> str:
    """Return a pyproject.toml with these dependencies, whose extra `test` names another one."""
    extras = "[project.optional-dependencies]\nview = []\ncluster = []\nresearch = []\ntest = ['own[view]']\n"
    return f"[project]\nname = 'own'\ndependencies = {dependencies!r}\n{extras}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real run.py in a project that needs no packages and has one command, which exits with its argument."""
    folder = tmp_path_factory.mktemp("a project")
    shutil.copy(repository / "run.py", folder)
    (folder / "pyproject.toml").write_text(project_of([]))
    (folder / "constraints.txt").write_text("")
    commands = folder / "BSAFusionLib" / "commands"
    commands.mkdir(parents=True)
    for name in ("leave", "view"):
        (commands / f"{name}.py").write_text('"""Leaves with an exit code."""\n')
    (folder / "BSAFusionLib" / "__init__.py").touch()
    (folder / "BSAFusionLib" / "__main__.py").write_text("import sys\nsys.exit(int(sys.argv[2]))\n")
    return folder


def test_the_first_runs_at_once_make_one_environment_and_pass_on_exit_codes(project: Path) -> None:
    command = [sys.executable, project / "run.py", "leave"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*command, code], cwd=project, **pipes) for code in ("7", "8")]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [7, 8], said
    assert sum("First use" in text for text in said) == 1


def test_a_ready_environment_is_used_without_a_word(project: Path) -> None:
    finished = start(project, "leave", "3")
    assert (finished.returncode, finished.stdout, finished.stderr) == (3, "", "")


def test_changed_requirements_are_installed(project: Path) -> None:
    (project / "constraints.txt").write_text("# changed\n")
    assert "Fetching the packages" in start(project, "leave", "0").stderr


def test_a_command_that_needs_more_packages_adds_them_once(project: Path) -> None:
    for command, said in (("leave", False), ("view", True), ("view", False), ("leave", False)):
        assert ("Fetching the packages" in start(project, command, "0").stderr) == said


def test_an_environment_that_was_left_half_made_is_made_again(project: Path) -> None:
    (project / ".venv" / "installed.txt").unlink()
    shutil.rmtree(next((project / ".venv").rglob("site-packages")))
    finished = start(project, "leave", "5")
    assert finished.returncode == 5, finished.stderr


def test_a_package_that_cannot_be_installed_is_reported_in_one_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (project / "pyproject.toml").write_text(project_of(["no-such-package==1.0"]))
    finished = start(project, "leave", "0")
    assert finished.returncode == 1
    assert "no-such-package" in finished.stderr.splitlines()[-1]


def test_a_folder_that_cannot_be_written_to_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(_: list[str]) -> None:
        raise PermissionError(13, "Permission denied", str(repository / ".venv.lock"))

    monkeypatch.setattr(run, "prepare_environment", refuse)
    assert run.main(["fuse"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"The environment cannot be made in {repository} (Permission denied); see that you may")


def test_help_lists_the_commands_with_what_they_do(project: Path) -> None:
    finished = start(project, "--help")
    assert finished.returncode == 0
    assert "Leaves with an exit code." in finished.stdout
    assert "pytest" in finished.stdout


def test_an_unknown_command_is_rejected_with_those_that_there_are(project: Path) -> None:
    finished = start(project, "stay")
    assert finished.returncode == 2
    assert "leave" in finished.stderr
    assert "test" in finished.stderr


@pytest.mark.parametrize("version", [(3, 9), (3, 14)])
def test_a_python_without_pinned_packages_is_rejected(version: tuple[int, int]) -> None:
    with pytest.raises(run.SetupError, match=r"3\.10 to 3\.13"):
        run.check_interpreter(version)
    run.check_interpreter((3, 10))
    run.check_interpreter((3, 13))


def test_too_small_a_disk_is_rejected_with_what_is_needed() -> None:
    with pytest.raises(run.SetupError, match=r"4 GB .* 1\.0 GB are free"):
        run.check_disk(1e9)
    run.check_disk(5e9)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("WARNING: Retrying after connection broken by 'NewConnectionError'", "check the network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk filled up"),
        (
            "Collecting a\nERROR: No matching distribution found for a==9\nhint",
            "No matching distribution found for a==9",
        ),
    ],
)
def test_what_pip_says_at_length_becomes_one_sentence(log: str, said: str) -> None:
    sentence = run.why_pip_failed(log)
    assert said in sentence
    assert "\n" not in sentence
