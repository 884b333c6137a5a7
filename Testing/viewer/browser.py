"""The viewer served from a folder, and its page in a headless Chromium."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

repository = Path(__file__).resolve().parents[2]
browsers = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
views = ("Axial", "3D", "Coronal", "Sagittal")  # in the order of the page
patience = 60  # seconds
lasts = 2  # looks, 0.2 s apart, at a picture that stays


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Start `run.py view` for a folder; yield the printed address and the process."""
    command = [sys.executable, "-m", "BSAFusionLib", "view", str(folder), "--no-browser", *options]
    elsewhere = {**os.environ, "TRAME_ARGS": "--host 0.0.0.0", "TRAME_DEFAULT_HOST": "0.0.0.0"}  # which must not count
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=repository, env=elsewhere, **pipes) as server:
        try:
            said = server.stdout.readline()
            assert "http" in said, server.stderr.read()
            yield said.split()[-1], server
        finally:
            server.kill()


class Browser:
    """A page of Chromium; problems: what its console or its network had to complain about."""

    def __init__(self, address: str) -> None:
        chromium = find_chromium()
        from playwright.sync_api import sync_playwright  # here, since not every user has it

        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=chromium)
        self.page = self._chromium.new_page(viewport={"width": 1280, "height": 800})
        self.page.set_default_timeout(1000 * patience)
        self.problems: list[str] = []
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", lambda request: self.problems.append(request.url))
        self.asked: list[str] = []  # addresses
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)
        self.page.locator(".layout-grid-item img").nth(len(views) - 1).wait_for()

    def close(self) -> None:
        self._chromium.close()
        self._playwright.stop()

    def picture(self, view: str) -> np.ndarray:
        """Return the picture in a view: float, (rows, columns, 3), RGB, 0 to 255."""
        shown = self.page.locator(".layout-grid-item").nth(views.index(view)).screenshot()
        return np.asarray(Image.open(BytesIO(shown)).convert("RGB"), dtype=float)

    def wait_for(self, view: str, fits: Callable[[np.ndarray], bool]) -> np.ndarray:
        """Wait for a picture that fits and stays the same, and return it; otherwise raise AssertionError."""
        end, lasting = time.monotonic() + patience, 0
        before = self.picture(view)
        while lasting < lasts:
            assert time.monotonic() < end, f"the view {view} does not become what it should"
            time.sleep(0.2)
            now = self.picture(view)
            lasting = lasting + 1 if fits(now) and np.array_equal(now, before) else 0
            before = now
        return before

    def choose(self, overlay: str) -> None:
        self.page.get_by_role("button", name=overlay).click()

    def fade(self, key: str) -> None:
        """Moves the slider between MRI and overlay by a key, such as Home or End."""
        self.page.locator("header").get_by_role("slider").press(key)

    def toggle(self, switch: str) -> None:
        self.page.get_by_label(switch, exact=True).click()


def find_chromium() -> str:
    """Return the path of a Chromium; skip the test where it or playwright is absent, but not in CI."""
    found = next(filter(None, map(shutil.which, browsers)), None)
    lacking = [
        what
        for what, there in (("a Chromium (on Debian: chromium)", found), ("playwright", find_spec("playwright")))
        if there is None
    ]
    if lacking and "CI" not in os.environ:
        pytest.skip(f"the viewer's page cannot be opened: install {' and '.join(lacking)}")
    assert not lacking, f"CI must have {' and '.join(lacking)}"
    return found
