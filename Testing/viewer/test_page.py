"""The viewer's page, in a real browser, shows a result that `fuse` wrote, to nobody but whoever started it."""

import itertools
import json
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from Testing.viewer.browser import Browser, served, views
from Testing.viewer.conftest import BENT_MM, ERROR_MM

slices = ("Axial", "Coronal", "Sagittal")
axes = ("RL", "AP", "SI")
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


def place_of(readout: str) -> list[float]:
    """Return the point that a line of values begins with: mm, RAS."""
    letters = re.match(r"([RL]) (\d+), ([AP]) (\d+), ([SI]) (\d+) mm", readout).groups()
    signs = [1 if letter == pair[0] else -1 for letter, pair in zip(letters[::2], axes, strict=True)]
    return [sign * float(length) for sign, length in zip(signs, letters[1::2], strict=True)]


def name_code(result: Path, place: Path) -> tuple[Path, str]:
    """Copy a result whose damaged PET, doubt and warning name what a page could take for code; return both."""
    folder, code = shutil.copytree(result.parent, place / "case") / "result", "pet {{6*7}} <b &amp; <i>bold"
    (folder.parent / f"{code}.nii").write_bytes(b"damaged")
    report = json.loads((folder / "report.json").read_text())
    report["inputs"]["moving"] = f"../{code}.nii"
    report["verdict"]["reasons"] += [f"Look at {code}."]
    report["warnings"] = [f"Check {code}."]
    (folder / "report.json").write_text(json.dumps(report))
    return folder, code


@pytest.fixture(scope="module")
def server(bent_result: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    with served(bent_result) as (address, process):
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
def test_the_page_begins_with_the_verdict(browser: Browser) -> None:
    assert "The PET was moved by" in browser.page.locator(".verdict").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("view", views)
def test_no_view_is_empty(browser: Browser, view: str) -> None:
    browser.wait_for(view, seen)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("view", "letters"),
    [("Axial", ["R", "L", "A", "P"]), ("Coronal", ["R", "L", "S", "I"]), ("Sagittal", ["A", "P", "S", "I"])],
)
def test_a_slice_view_bears_the_letters_of_the_sides_that_its_points_lie_on(
    browser: Browser, view: str, letters: list[str]
) -> None:
    item = browser.page.locator(".layout-grid-item").nth(views.index(view))
    edges = ("left", "right", "top", "bottom")
    assert [item.locator(f".view-letter-{edge}").inner_text() for edge in edges] == letters
    spots = ((0.05, 0.5), (0.95, 0.5), (0.5, 0.2), (0.5, 0.8))
    places = [place_of(browser.point(view, *spot)) for spot in spots]
    for first, second in ((0, 1), (2, 3)):
        towards = axes.index(next(pair for pair in axes if letters[first] in pair))
        sign = 1 if letters[first] == axes[towards][0] else -1
        assert sign * places[first][towards] > sign * places[second][towards] + 20


@pytest.mark.browser
def test_the_values_under_the_cursor_are_those_of_the_files_there(browser: Browser, bent_result: Path) -> None:
    browser.choose("Registered")
    text = browser.point("Axial", 0.5, 0.5)
    right, anterior, superior = place_of(text)
    files = {"MRI": bent_result.parent / "mri.nii.gz", "PET registered": bent_result / "registered.nrrd"}
    for name, path in files.items():
        (value,) = re.findall(rf"\| {name} (-?\d+)", text)
        image = sitk.ReadImage(str(path))
        near = [
            image.EvaluateAtPhysicalPoint((-right + x, -anterior + y, superior + z), sitk.sitkNearestNeighbor)
            for x, y, z in itertools.product((-0.5, 0, 0.5), repeat=3)  # the place is written in whole mm
        ]
        assert float(value) in near
    assert re.search(r"PET registered \d+ SUV", text)
    error = float(re.findall(r"expected error ([\d.]+) mm", text)[0])
    assert error == pytest.approx(ERROR_MM, abs=0.05)
    assert ": outside" in browser.point("Axial", 0.02, 0.5)


@pytest.mark.browser
def test_the_color_bar_gives_the_window_and_its_unit(browser: Browser, bent_result: Path) -> None:
    browser.press_reset()
    browser.choose("Registered")
    high = json.loads((bent_result / "report.json").read_text())["overlay"]["high"]
    browser.wait_for_text(".overlay-bar", lambda text: text.split() == ["PET", "0", f"{high:.0f}", "SUV"])


@pytest.mark.browser
def test_dragging_changes_the_overlays_window_in_all_views_until_it_is_reset(browser: Browser) -> None:
    browser.choose("Registered")
    browser.fade("End")
    browser.press_reset()
    bars = {selector: browser.settled(selector) for selector in (".overlay-bar", ".fixed-bar")}
    before = {view: browser.wait_for(view, colored) for view in slices}
    browser.drag("Axial", 0, -60)
    browser.wait_for_text(".overlay-bar", lambda text: text != bars[".overlay-bar"])
    for view in slices:
        browser.wait_for(view, lambda picture, view=view: differs(picture, before[view]))
    assert browser.settled(".fixed-bar") == bars[".fixed-bar"]
    browser.press_reset()
    browser.wait_for_text(".overlay-bar", lambda text: text == bars[".overlay-bar"])
    browser.wait_for("Coronal", lambda picture: equals(picture, before["Coronal"]))


@pytest.mark.browser
def test_dragging_changes_the_mris_window_where_that_is_chosen(browser: Browser) -> None:
    browser.press_reset()
    bars = {selector: browser.settled(selector) for selector in (".overlay-bar", ".fixed-bar")}
    browser.press("MRI")
    browser.drag("Coronal", 0, -60)
    browser.wait_for_text(".fixed-bar", lambda text: text != bars[".fixed-bar"])
    assert browser.settled(".overlay-bar") == bars[".overlay-bar"]
    browser.press("Overlay")
    browser.press_reset()
    browser.wait_for_text(".fixed-bar", lambda text: text == bars[".fixed-bar"])


@pytest.mark.browser
def test_the_expected_error_lies_over_the_mri_with_its_color_bar_in_mm(browser: Browser) -> None:
    browser.choose("Registered")
    browser.fade("End")
    registered = browser.wait_for("Axial", colored)
    browser.choose("Expected error")
    text = browser.wait_for_text(".overlay-bar", lambda text: text.startswith("Expected error"))
    low, high = (float(figure) for figure in re.findall(r"\d\.\d+", text))
    assert ERROR_MM - 0.25 <= low < ERROR_MM < high <= ERROR_MM + 0.25 and text.endswith("mm")
    picture = browser.wait_for("Axial", lambda picture: differs(picture, registered))
    # It grows from right to left of the patient, and so does the luminance from left to right of the view.
    middle = picture[picture.shape[0] // 3 : 2 * picture.shape[0] // 3].mean(axis=(0, 2))
    center = len(middle) // 2
    assert middle[center + 10 : center + 60].mean() > 1.1 * middle[center - 60 : center - 10].mean()
    browser.choose("Registered")


@pytest.mark.browser
def test_the_networks_part_of_the_grid_can_be_chosen(browser: Browser) -> None:
    without = browser.wait_for("Axial", seen)
    browser.toggle("Grid")
    total = browser.wait_for("Axial", lambda picture: differs(picture, without))
    lengths = browser.wait_for_text(".grid-bar", bool)
    browser.press("Network's part")
    part = browser.wait_for_text(".grid-bar", lambda text: text != lengths)
    assert [float(figure) for figure in re.findall(r"\d+\.\d", part)] == pytest.approx([0.0, BENT_MM], abs=0.2)
    browser.wait_for("Axial", lambda picture: differs(picture, total) and differs(picture, without))
    browser.press("Total")
    browser.wait_for("Axial", lambda picture: equals(picture, total))
    browser.toggle("Grid")


@pytest.mark.browser
def test_at_800_pixels_all_controls_are_in_sight_and_the_views_large(browser: Browser) -> None:
    browser.page.set_viewport_size({"width": 800, "height": 600})
    browser.toggle("Grid")  # with the choice of its part
    for control in browser.page.locator("button:visible, .controls [role=slider], .readout, .overlay-bar").all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 800
        assert box["y"] >= 0 and box["y"] + box["height"] <= 600
    for view in views:
        browser.wait_for(view, lambda picture: (picture.max(axis=-1) > 100).mean() > 0.02)
        assert browser.box(view)["height"] > 120 and browser.box(view)["width"] > 380
    browser.toggle("Grid")
    browser.page.set_viewport_size({"width": 1280, "height": 800})
    browser.wait_for("Axial", seen)


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
    browser.choose("BSAFusion fused")
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
    for _ in range(4):
        browser.fade("PageDown")
    browser.wait_for("Coronal", lambda picture: differs(picture, registered) and differs(picture, fixed))
    browser.choose("Before")
    browser.fade("Home")
    browser.wait_for("Coronal", lambda picture: equals(picture, fixed))  # whatever lies over it


@pytest.mark.browser
def test_each_slider_has_a_name_for_screen_readers(browser: Browser) -> None:
    names = [slider.get_attribute("aria-label") for slider in browser.page.get_by_role("slider").all()]
    assert sorted(names) == ["Axial slice", "Coronal slice", "Opacity of the overlay", "Sagittal slice"]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(700, 400), (400, 700)])
def test_in_a_small_window_the_views_stay_large_enough_and_all_buttons_are_reached(
    browser: Browser, width: int, height: int
) -> None:
    browser.page.set_viewport_size({"width": width, "height": height})
    browser.wait_for("Axial", seen)
    assert min(browser.box(view)["height"] for view in views) > 150
    last = browser.page.get_by_role("button", name="Expected error", exact=True)
    last.scroll_into_view_if_needed()
    assert last.bounding_box()["x"] + last.bounding_box()["width"] <= width
    browser.page.locator(".readout").scroll_into_view_if_needed()
    box = browser.page.locator(".readout").bounding_box()
    assert box["y"] + box["height"] <= height
    browser.page.set_viewport_size({"width": 1280, "height": 800})


@pytest.mark.browser
def test_the_slider_stays_where_it_is_put_right_after_a_button(browser: Browser) -> None:
    browser.choose("Registered")
    browser.fade("Home")
    browser.wait_for("Axial", lambda picture: not colored(picture))
    browser.choose("BSAFusion fused")
    browser.choose("Registered")  # whose place of the slider was the other end
    browser.fade("End")
    browser.wait_for("Axial", colored)
    slider = browser.page.locator(".controls").get_by_role("slider")
    assert slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")


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
def test_the_3d_view_shows_the_head_cut_open_to_the_pet_or_whole(browser: Browser) -> None:
    browser.choose("Registered")
    browser.fade("End")
    cut = browser.wait_for("3D", colored)
    browser.toggle("Cut head")
    browser.wait_for("3D", lambda picture: seen(picture) and not colored(picture))
    browser.toggle("Cut head")
    browser.wait_for("3D", lambda picture: equals(picture, cut))


@pytest.mark.browser
def test_a_slice_that_is_scrolled_cuts_the_head_in_3d_elsewhere(browser: Browser) -> None:
    before = browser.wait_for("3D", seen)
    slider = browser.page.locator(".layout-grid-item").nth(views.index("Coronal")).get_by_role("slider")
    slider.press("PageDown")
    browser.wait_for("3D", lambda picture: differs(picture, before))
    slider.press("PageUp")
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


@pytest.mark.browser
def test_a_new_page_says_a_doubt_first_shows_the_pet_over_the_mri_and_leaves_no_word_when_it_is_closed(
    browser: Browser, result: Path, tmp_path: Path
) -> None:
    folder, code = name_code(result, tmp_path)
    with served(folder) as (address, process):
        tab = Browser(address, beside=browser)
        doubt = tab.page.locator(".doubt")
        assert doubt.inner_text().startswith("Doubtful: No head was found in either volume")  # ellipsoids are none
        assert doubt.inner_text().endswith(f"{code}.")
        assert f"{code}.nii cannot be read" in tab.page.locator(".missing").inner_text()
        assert tab.page.locator(".warnings").inner_text() == f"Warning: Check {code}."
        assert doubt.bounding_box()["y"] < tab.page.locator(".verdict").bounding_box()["y"]
        assert all(colored(tab.wait_for(view, seen)) for view in slices)
        tab.close()
        for _ in range(3):  # while it is used
            tab = Browser(address, beside=browser)
            box = tab.box("3D")
            tab.page.mouse.move(box["x"] + 100, box["y"] + 100)
            tab.page.mouse.down()
            tab.page.mouse.move(box["x"] + 250, box["y"] + 150, steps=30)
            tab.close()
        tab = Browser(address, beside=browser)  # the server still works
        tab.wait_for("Axial", seen)
        tab.close()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


def test_an_interrupt_ends_it_without_a_word(server: tuple[str, subprocess.Popen]) -> None:
    process = server[1]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
