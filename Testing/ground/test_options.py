"""A preset sets its choices, whatever else is given in whichever order; a log gets plain lines; the version is said."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from BSAFusionLib import version
from BSAFusionLib.__main__ import main
from BSAFusionLib.commands._options import add_settings, choices_of
from BSAFusionLib.commands._progress import case_counter, progress_bar
from BSAFusionLib.settings import Settings

repository = Path(__file__).resolve().parents[2]


def choices(*arguments: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return Settings(**choices_of(parser.parse_args(arguments)))


def test_a_preset_replaces_defaults_and_nothing_that_was_given() -> None:
    assert choices() == choices("--preset", "default") == Settings()
    assert choices("--preset", "rigid") == Settings(strength=0.0)
    assert choices("--preset", "preview", "--device", "cpu") == Settings(three_axes=False, device="cpu")
    for given in (["--preset", "rigid", "--strength", "1"], ["--strength", "1", "--preset", "rigid"]):
        assert choices(*given) == Settings(strength=1.0)


def test_a_log_has_plain_lines_and_quiet_has_none(capsys: pytest.CaptureFixture) -> None:
    with progress_bar() as progress:
        for done in range(0, 50):
            progress("registration", done / 100, (done, 50))
        progress("fusion", 0.5, None)
    said = capsys.readouterr().err
    assert "\r" not in said
    assert [line.split()[-1] for line in said.splitlines()] == ["50"] * 5 + ["fusion"]
    assert said.startswith("  0%      0 s  registration, slice 0 of 50\n")
    with progress_bar(quiet=True) as progress:
        assert progress is None
    with case_counter(3, 1, quiet=True) as count:
        count("a: finished", False)
        count("b: the file is damaged", True)
    assert capsys.readouterr().err == "3 of 3: b: the file is damaged\n"


def test_the_version_is_said_without_an_environment(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    said = subprocess.run([sys.executable, "run.py", "--version"], cwd=repository, capture_output=True, text=True)
    assert capsys.readouterr().out == said.stdout == f"BSAFusion {version}\n"


def test_no_thread_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["fuse", "a.nii", "b.nii", "--out", str(tmp_path / "out"), "--threads", "0"]) == 2
    assert "--threads 0 is invalid; give 1 or more." in capsys.readouterr().err
