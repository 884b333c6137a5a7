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
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

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
    """A page of Chromium; problems: what its console or its network had to complain about.

    Args:
        address: Of the page.
        beside: Another page, whose Chromium is used: playwright starts once in a thread.
    """

    def __init__(self, address: str, beside: "Browser | None" = None) -> None:
        self._playwright = None if beside is not None else _start_playwright()
        if beside is not None:
            self._chromium = beside._chromium
        else:
            self._chromium = self._playwright.chromium.launch(executable_path=find_chromium())
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
        self.page.close()
        if self._playwright is not None:
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

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def press_reset(self) -> None:
        self.page.get_by_title("Reset windows").click()

    def drag(self, view: str, columns: int, rows: int) -> None:
        """Drag the mouse in a view, from its middle, by pixels to the right and downwards."""
        box = self.box(view)
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(*middle)
        self.page.mouse.down()
        self.page.mouse.move(middle[0] + columns, middle[1] + rows, steps=5)
        self.page.mouse.up()

    def point(self, view: str, across: float, down: float) -> str:
        """Move the mouse to another place, in a view, in shares of its size, and return what is read there."""
        box, before = self.box(view), self.page.locator(".readout").inner_text()
        self.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"] - 1)
        self.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        self.wait_for_text(".readout", lambda text: text != before)
        return self.settled(".readout")

    def box(self, view: str) -> dict[str, float]:
        """Return the place of a view on the page: x, y, width and height in pixels."""
        return self.page.locator(".layout-grid-item").nth(views.index(view)).bounding_box()

    def settled(self, selector: str) -> str:
        """Return an element's text once it stays the same."""
        element = self.page.locator(selector)
        before, lasting = "", 0
        while lasting < lasts:
            time.sleep(0.2)
            now = element.inner_text()
            lasting = lasting + 1 if now == before else 0
            before = now
        return before

    def wait_for_text(self, selector: str, fits: Callable[[str], bool]) -> str:
        """Wait for an element's text that fits, and return it; otherwise raise AssertionError."""
        end = time.monotonic() + patience
        while not fits(now := self.page.locator(selector).inner_text()):
            assert time.monotonic() < end, f"{selector} does not become what it should: {now}"
            time.sleep(0.1)
        return now

    def choose(self, overlay: str) -> None:
        self.press(overlay)

    def fade(self, key: str) -> None:
        """Move the slider between MRI and overlay by a key, such as Home or End; it stays, whatever is on its way."""
        self.page.locator(".controls").get_by_role("slider").press(key)

    def toggle(self, switch: str) -> None:
        self.page.get_by_label(switch, exact=True).click()


def _start_playwright() -> "Playwright":
    find_chromium()
    from playwright.sync_api import sync_playwright  # here, since not every user has it

    return sync_playwright().start()


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
