"""A command prints whatever the console's code page, and ends as it should when nobody reads on."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from BSAFusionLib.commands._console import Console, unfailing_console

repository = Path(__file__).resolve().parents[2]


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("cp1252", b"\\u60a3\\u8005 \xe9"), ("ascii", b"\\u60a3\\u8005 \\xe9"), ("utf-8", "患者 é".encode())],
)
def test_characters_that_a_code_page_lacks_are_printed_as_numbers(encoding: str, expected: bytes) -> None:
    raw = stream(encoding)
    assert Console(raw).write("患者 é") > 0
    assert raw.buffer.getvalue() == expected


def test_bytes_of_a_path_that_are_no_utf8_are_printed_as_numbers() -> None:
    raw = stream("utf-8")
    Console(raw).write(os.fsdecode(b"caf\xe9"))
    assert raw.buffer.getvalue() == b"caf\\udce9"


def test_a_closed_pipe_ends_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as raw, unfailing_console(raw, raw):
        for _ in range(3):
            print("nobody reads this" * 1000)
    assert sys.stdout is not raw


@pytest.mark.parametrize("code_page", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_mistake_is_said_in_one_sentence_on_any_console(tmp_path: Path, code_page: str, locale: str) -> None:
    odd = os.fsencode(tmp_path) + "/患者".encode() + b"\xe9"
    environment = {**os.environ, "PYTHONIOENCODING": code_page, "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "BSAFusionLib", "fuse", odd + b".nii", odd, "--out", os.fsencode(tmp_path) + b"/o"]
    finished = subprocess.run(command, cwd=repository, env=environment, capture_output=True)
    assert finished.returncode == 2
    assert b"Traceback" not in finished.stderr
    assert b"There is no file" in finished.stderr
    assert not list((tmp_path / "o").glob(".unfinished*"))


closed_or_full = ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"] + ["1>/dev/full"] * Path("/dev/full").exists()


@pytest.mark.parametrize("redirection", closed_or_full)
def test_output_that_is_closed_or_full_is_no_error_and_nothing_gets_into_a_result(
    tmp_path: Path, redirection: str
) -> None:
    program = (
        "import contextlib, os, sys; from BSAFusionLib.commands._console import unfailing_console\n"
        "with unfailing_console(sys.stdout, sys.stderr):\n"
        "    with open('result', 'wb') as file:\n"
        "        print('to nobody'); print('nor here', file=sys.stderr); sys.stdout.flush()\n"
        "        for descriptor in (1, 2):\n"
        "            with contextlib.suppress(OSError): os.write(descriptor, b'from a library')\n"
        "sys.exit(0)"
    )
    command = f'"{sys.executable}" -c "$PROGRAM" {redirection}'
    environment = {**os.environ, "PYTHONPATH": str(repository), "PROGRAM": program}
    finished = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0
    assert "Traceback" not in finished.stderr
    assert (tmp_path / "result").read_bytes() == b""


def test_output_into_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m BSAFusionLib --help 2>err.txt | true; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    finished = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert finished.stdout.strip() == "0"
    assert (tmp_path / "err.txt").read_text() == ""
