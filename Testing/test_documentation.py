"""Commands in the README and the pages of Documentation are understood, and what they link to is there."""

import argparse
import importlib
import re
import runpy
import shlex
from pathlib import Path

import pytest

from BSAFusionLib.__main__ import command_modules

repository = Path(__file__).resolve().parents[1]
documentation = repository / "Documentation"
pages = [
    repository / "README.md",
    *sorted(documentation.glob("*.md")),
    repository / "Testing" / "benchmarks" / "README.md",
    repository / "Resources" / "SampleData" / "README.md",
]
names = [page.relative_to(repository).as_posix() for page in pages]


def spoken(page: Path) -> str:
    """Return the page with broken command lines joined."""
    return re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))


def after_program(words: list[str]) -> list[str] | None:
    """Return a command line's arguments to run.py or the library; None where it starts neither."""
    for number, word in enumerate(words):
        if word == "run.py" or words[number : number + 2] == ["-m", "BSAFusionLib"]:
            return words[number + (1 if word == "run.py" else 2) :]
    return None


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=command, exit_on_error=False)
    importlib.import_module(command_modules()[command]).add_arguments(parser)
    return parser


def commands_of(page: Path) -> list[tuple[str, list[str], bool]]:
    """Command, arguments, and whether it stands on a line of its own, for each use of run.py that names a command."""
    text = spoken(page)
    for variable, first in re.findall(r"^ +for (\w+) in (\w+)", text, re.MULTILINE):  # a loop of the shell
        text = text.replace(f"${variable}", first)
    lines = [(line.strip(), True) for line in text.splitlines() if line.startswith("    ")]
    lines += [(code, False) for code in re.findall(r"`([^`\n]+)`", text)]
    found = []
    for line, whole in lines:
        words = after_program(shlex.split(line, comments=True) if "run.py" in line or "BSAFusionLib " in line else [])
        if words and words[0] not in ("test", "check", "COMMAND") and not words[0].startswith("-"):
            found.append((words[0], words[1:], whole))
    return found


@pytest.mark.parametrize("page", pages, ids=names)
def test_every_command_shown_is_understood(page: Path) -> None:
    for command, words, whole in commands_of(page):
        parser = parser_of(command)
        if whole:
            parser.parse_args(words)
        unknown = [word for word in words if word.startswith("--") and word not in parser._option_string_actions]
        assert not unknown, f"run.py {command} has no {', '.join(unknown)}"


def test_the_pages_show_commands_at_all() -> None:
    assert {"demo", "fuse", "batch", "train", "evaluate"} <= {name for page in pages for name, *_ in commands_of(page)}


@pytest.mark.parametrize("page", pages, ids=names)
def test_every_program_shown_is_there(page: Path) -> None:
    text = spoken(page)
    for program in re.findall(r"python3? ((?:Testing|Documentation|Resources)/\S+\.py)", text):
        assert (repository / program).is_file(), program


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages, ids=names)
def test_every_link_and_picture_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_benchmark_is_listed_on_their_page() -> None:
    folder = repository / "Testing" / "benchmarks"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(folder.glob("*.py")) if f"Testing/benchmarks/{path.name}" not in text] == []


def test_the_model_cards_page_has_the_figures_of_the_cards() -> None:
    page = (documentation / "models.md").read_text(encoding="utf-8")
    wanted = runpy.run_path(str(documentation / "make_model_cards.py"))["with_figures"](page)
    assert page == wanted, "run Documentation/make_model_cards.py"
