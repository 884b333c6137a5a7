"""The viewer's page, in a real browser, shows a result that `fuse` wrote, to nobody but whoever started it."""

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from Testing.viewer.browser import Browser, served, views

slices = ("Axial", "Coronal", "Sagittal")
much, little = 1.0, 0.6  # mean differences between pictures, of 255; compression alone makes 0.35


def differs(picture: np.ndarray, other: np.ndarray) -> bool:
    return np.abs(picture - other).mean() > much


def equals(picture: np.ndarray, other: np.ndarray) -> bool:
    return np.abs(picture - other).mean() < little


def seen(picture: np.ndarray) -> bool:
    """Return True for a picture with something bright on it besides text."""
    return (picture[80:-80].max(axis=-1) > 100).mean() > 0.02


def colored(picture: np.ndarray) -> bool:
    """Return True for a picture with a PET; an MRI alone is gray."""
    return (np.ptp(picture, axis=-1) > 100).mean() > 0.02


@pytest.fixture(scope="module")
def server(result: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    with served(result) as (address, process):
        yield address, process


@pytest.fixture(scope="module")
def address(server: tuple[str, subprocess.Popen]) -> str:
    return server[0]


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Browser]:
    browser = Browser(address)
    yield browser
    browser.close()


@pytest.mark.browser
def test_a_doubtful_result_says_so_above_the_views(browser: Browser) -> None:
    said = browser.page.locator(".doubt").inner_text()
    assert said.startswith("Doubtful: No head was found in either volume")  # ellipsoids are none


@pytest.mark.browser
@pytest.mark.parametrize("view", views)
def test_no_view_is_empty(browser: Browser, view: str) -> None:
    browser.wait_for(view, seen)


@pytest.mark.browser
def test_the_grid_comes_over_slices_and_goes_again(browser: Browser) -> None:
    without = {view: browser.wait_for(view, seen) for view in slices}
    browser.toggle("Grid")
    for view in slices:
        browser.wait_for(view, lambda picture, view=view: differs(picture, without[view]))
    browser.toggle("Grid")
    browser.wait_for("Axial", lambda picture: equals(picture, without["Axial"]))


@pytest.mark.browser
def test_the_grid_comes_into_the_3d_view_and_goes_again(browser: Browser) -> None:
    without = browser.wait_for("3D", seen)
    browser.toggle("Grid in 3D")
    browser.wait_for("3D", lambda picture: differs(picture, without))
    browser.toggle("Grid in 3D")
    browser.wait_for("3D", lambda picture: equals(picture, without))


@pytest.mark.browser
def test_before_rigid_initialization_and_fused_are_three_pictures(browser: Browser) -> None:
    browser.choose("Before")
    browser.fade("Home")
    browser.wait_for("Axial", lambda picture: not colored(picture))
    browser.fade("End")
    before = browser.wait_for("Axial", colored)
    browser.choose("Rigid initialization")
    start = browser.wait_for("Axial", lambda picture: differs(picture, before))
    browser.choose("Fused")
    browser.wait_for("Axial", lambda picture: differs(picture, before) and differs(picture, start))
    browser.choose("Before")
    browser.wait_for("Axial", lambda picture: equals(picture, before))


@pytest.mark.browser
def test_the_slider_fades_from_the_mri_to_what_lies_over_it(browser: Browser) -> None:
    browser.choose("Registered")
    browser.fade("Home")
    fixed = browser.wait_for("Coronal", lambda picture: not colored(picture))
    browser.fade("End")
    registered = browser.wait_for("Coronal", colored)
    browser.fade("ArrowLeft")
    browser.fade("PageDown")
    browser.wait_for("Coronal", lambda picture: differs(picture, registered) and differs(picture, fixed))
    browser.choose("Before")
    browser.fade("Home")
    browser.wait_for("Coronal", lambda picture: equals(picture, fixed))  # whatever lies over it


@pytest.mark.browser
def test_the_mouse_wheel_scrolls_a_slice_view_and_its_slider(browser: Browser) -> None:
    before = browser.wait_for("Axial", seen)
    slider = browser.page.locator(".view-slider").first.get_by_role("slider")
    offset = slider.get_attribute("aria-valuenow")
    browser.page.locator(".layout-grid-item").first.hover()
    browser.page.mouse.wheel(0, 100)
    browser.wait_for("Axial", lambda picture: differs(picture, before))
    browser.wait_for("Axial", lambda picture: slider.get_attribute("aria-valuenow") != offset)


@pytest.mark.browser
def test_the_3d_view_turns_with_the_mouse_and_comes_back(browser: Browser) -> None:
    view = browser.page.locator(".layout-grid-item").nth(views.index("3D"))
    view.get_by_role("button").click()
    before = browser.wait_for("3D", seen)
    view.hover()
    browser.page.mouse.down()
    view.hover(position={"x": 150, "y": 150})
    browser.page.mouse.up()
    browser.wait_for("3D", lambda picture: differs(picture, before))
    view.get_by_role("button").click()
    browser.wait_for("3D", lambda picture: equals(picture, before))


@pytest.mark.browser
def test_the_page_says_what_it_is_for(browser: Browser) -> None:
    assert browser.page.get_by_text("For research use only. Not for clinical use.").is_visible()


@pytest.mark.browser
def test_the_page_works_again_when_it_is_loaded_again(browser: Browser) -> None:
    browser.page.reload()
    browser.wait_for("Axial", seen)


@pytest.mark.browser
def test_the_browser_complains_of_nothing_and_asks_nobody_else(browser: Browser, address: str) -> None:
    assert browser.problems == []
    here = address.split("?")[0]
    assert all(asked.startswith((here, "data:", "blob:")) for asked in browser.asked)


def test_the_server_listens_on_this_machine_only(server: tuple[str, subprocess.Popen]) -> None:
    address, process = server
    connections = psutil.Process(process.pid).net_connections("inet")
    listening = [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]
    assert [(place.ip, str(place.port)) for place in listening] == [("127.0.0.1", address.split(":")[2].split("/")[0])]


@pytest.mark.parametrize("path", ["", "index.html", "ws", "?key=guessed"])
def test_nobody_sees_the_patient_without_the_key(address: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address.split("?")[0] + path)


def test_an_interrupt_ends_it_without_a_word(result: Path, server: tuple[str, subprocess.Popen]) -> None:
    process = server[1]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
