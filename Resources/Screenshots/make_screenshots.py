"""Makes pictures of the panel and its views of the sample data: `python Resources/Screenshots/make_screenshots.py`.

window.jpg: the panel beside four views, after a run; panel.png and panel_dark.png: the real panel, as it is after the
first start, with volumes chosen, running, done, and where something is wrong; views.jpg: what Slicer's slice
views show of the result; and the sample data's icon.
`make_screenshots.py --viewer` makes viewer.jpg instead: the page of `run.py view` in Chromium, with the demo's result.
Takes a minute or two on a CPU.
"""

import sys
import tempfile
from pathlib import Path

folder = Path(__file__).resolve().parent
repository = folder.parents[1]
sys.path.insert(0, str(repository))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from Testing import harness  # noqa: E402  (makes the modules qt and slicer)

import qt  # noqa: E402  isort: skip
import slicer  # noqa: E402  isort: skip
from trame_slicer.views import NoScheduleRendering, ThreeDView  # noqa: E402

from BSAFusionLib.__main__ import main as run  # noqa: E402
from BSAFusionLib.mrml import packages  # noqa: E402
from BSAFusionLib.mrml.display import SLICE_VIEWS  # noqa: E402
from BSAFusionLib.mrml.rendering import OffscreenSliceView, drawn  # noqa: E402
from BSAFusionLib.mrml.scene import nodes_of_class  # noqa: E402
from BSAFusionLib.panel.parameters import View  # noqa: E402
from Testing.viewer.browser import Browser, served, views  # noqa: E402

JPEG_QUALITY = 85
width = 350  # of the panel
tile = 320  # of a view
window_tile = 400  # of a view in the whole window
gap = 6


def main() -> None:
    with harness.running() as running:
        four_views = {
            name: OffscreenSliceView(running.app.core, (window_tile, window_tile), name) for name in SLICE_VIEWS
        }
        view = OffscreenSliceView(running.app.core, (tile, tile), "Tile")
        harness.load_module(repository / "BSAFusion" / "BSAFusion.py")
        slicer.util.selectModule("BSAFusion")
        widget = slicer.util.getModuleWidget("BSAFusion")
        panels = [_at_first(widget), _chosen(widget), _while_running(widget), _done(widget)]
        _write_window(widget, panels[-1][0], four_views, running.app.core)
        _write_views(widget, view, running.app.core)
        panels.append(_failed(widget))
        for name, theme in (("panel.png", 0), ("panel_dark.png", 1)):
            _write_side_by_side([states[theme] for states in panels], folder / name)


def _at_first(widget) -> tuple:
    """A Slicer that lacks the packages."""
    found = packages.required
    packages.required = {"package_that_is_not_there": "", **found}
    widget.setupRow.update()
    widget.ui.setupLabel.text = widget.ui.setupLabel.text.replace("package_that_is_not_there", ", ".join(found))
    pictures = _both_themes(widget)
    packages.required = found
    widget.setupRow.update()
    return pictures


def _chosen(widget) -> tuple:
    for name, file in (("MRI", "mri_t1.nii.gz"), ("PET", "pet_fdg.nii.gz")):
        volume = slicer.util.loadVolume(str(repository / "Resources" / "SampleData" / file), {"name": name})
        selector = widget.ui.fixedVolumeSelector if name == "MRI" else widget.ui.movingVolumeSelector
        selector.setCurrentNode(volume)
    widget.ui.advancedCollapsibleButton.collapsed = False
    pictures = _both_themes(widget)
    widget.ui.advancedCollapsibleButton.collapsed = True
    return pictures


def _while_running(widget) -> tuple:
    harness.click(widget.ui.applyButton)
    harness.wait_until(lambda: widget.ui.progressBar.value >= 50, seconds=600)
    return _both_themes(widget)


def _done(widget) -> tuple:
    harness.wait_until(lambda: not widget.run.running, seconds=600)
    return _both_themes(widget)


def _failed(widget) -> tuple:
    widget.ui.viewsCollapsibleButton.collapsed = widget.ui.resultsCollapsibleButton.collapsed = True
    widget.ui.advancedCollapsibleButton.collapsed = False
    widget.logic.getParameterNode().weights = "/data/tuesday.safetensors"  # the message has the whole path
    harness.click(widget.ui.applyButton)
    harness.wait_until(lambda: not widget.run.running, seconds=60)
    return _both_themes(widget)


def _both_themes(widget) -> tuple:
    """The panel now, in Slicer's light and dark style, as arrays."""
    pictures = []
    for dark in (True, False):  # so that light is left
        harness.set_palette(dark)
        harness.grab(widget.parent, width=width)  # lets the layout settle
        picture = harness.grab(widget.parent, width=width).convertToFormat(qt.QImage.Format_RGB888)
        rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), picture.bytesPerLine())
        pictures.insert(0, rows[:, : 3 * picture.width()].reshape(picture.height(), picture.width(), 3).copy())
    return tuple(pictures)


def _write_window(widget, panel: np.ndarray, views: dict[str, OffscreenSliceView], core) -> None:
    """The panel beside Slicer's four views, as they are after a run; the slices are shown in 3D."""
    volume = widget.logic.getParameterNode().fixedVolume
    for view in views.values():
        view.look_at(volume)  # which tells Slicer the size of the view, too
    shown = [node for node in nodes_of_class(core.scene, "vtkMRMLSliceNode") if node.GetName() in views]
    for node in shown:
        node.SetOrientation(SLICE_VIEWS[node.GetName()])
        node.SetSliceVisible(True)
    harness.click(widget.ui.fitButton)
    axial, sagittal, coronal = (view.picture(SLICE_VIEWS[name]) for name, view in views.items())
    four = _above(_beside([axial, _in_3d(core, volume)]), _beside([coronal, sagittal]))
    for node in shown:
        node.SetSliceVisible(False)
    rows = max(0, len(four) - len(panel))
    panel = np.pad(panel[: len(four)], ((0, rows), (0, 0), (0, 0)), mode="edge")
    Image.fromarray(_beside([panel, four])).save(folder / "window.jpg", quality=JPEG_QUALITY)


def _write_views(widget, view: OffscreenSliceView, core) -> None:
    """One slice through the head in every way that the panel offers."""
    ui, parameters = widget.ui, widget.logic.getParameterNode()
    view.look_at(parameters.fixedVolume)

    def slices(label: str, shown: View, grid: bool) -> np.ndarray:
        ui.viewComboBox.currentIndex = list(View).index(shown)
        ui.gridInSlicesCheckBox.checked = grid
        return view.picture(label)

    tiles = [slices("Overlay", View.OVERLAY, False), slices("Expected error", View.EXPECTED_ERROR, False)]
    ui.viewComboBox.currentIndex = list(View).index(View.OVERLAY)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(parameters.registeredVolume.GetDisplayNode())
    legend.SetVisibility(False)  # which nobody could read at the icon's size
    _write(view.picture()[::2, ::2], repository / "Resources" / "Icons" / "BSAFusionMRIPET.png")
    tiles.append(slices("BSAFusion fused", View.FUSED, False))
    tiles.append(slices("Fixed and moving: before", View.BLEND, False))
    harness.click(ui.afterButton)
    tiles.append(slices("Fixed and moving: after", View.BLEND, False))
    ui.gridOfNetworkCheckBox.checked = True
    tiles.append(slices("Network's deformation", View.FUSED, True))
    picture = Image.fromarray(_above(*(_beside(tiles[n : n + 3]) for n in (0, 3))))
    picture.save(folder / "views.jpg", quality=JPEG_QUALITY)


def _in_3d(core, volume) -> np.ndarray:
    """What a 3D view shows, from a corner."""
    view = ThreeDView(core.scene, core.app_logic, "1", scheduled_render_strategy=NoScheduleRendering())
    view.render_window().SetSize(window_tile, window_tile)
    view.set_background_gradient_color([0, 0, 0], [0, 0, 0])
    view.set_box_visible(False)
    camera = view.first_renderer().GetActiveCamera()
    camera.SetFocalPoint(0, 0, 0)
    camera.SetPosition(300, 400, 250)
    camera.SetViewUp(0, 0, 1)
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    view.first_renderer().ResetCamera(bounds)
    camera.Zoom(1.3)
    view.render()
    return drawn(view.render_window())


def _write_side_by_side(pictures: list[np.ndarray], path: Path) -> None:
    tallest = max(len(picture) for picture in pictures)
    padded = [np.pad(picture, ((0, tallest - len(picture)), (0, 0), (0, 0)), mode="edge") for picture in pictures]
    _write(_beside(padded), path)


def _write(picture: np.ndarray, path: Path) -> None:
    """Write a PNG of 256 colors, which take a third of the space."""
    Image.fromarray(picture).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def _above(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first, np.full((gap, first.shape[1], 3), 255, np.uint8), second])


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    between = np.full((len(pictures[0]), gap, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, between)][:-1], axis=1)


def _write_viewer(path: Path) -> None:
    with tempfile.TemporaryDirectory() as parent:
        result = Path(parent) / "demo"
        run(["demo", "--out", str(result)])
        with served(result) as (address, _):
            browser = Browser(address)
            for view in views:
                browser.wait_for(view, lambda picture: picture.max() > 0)
            browser.point("Axial", 0.45, 0.4)  # whose values the page then shows
            browser.page.screenshot(path=path, type="jpeg", quality=JPEG_QUALITY)
            browser.close()


if __name__ == "__main__":
    if "--viewer" in sys.argv:
        _write_viewer(folder / "viewer.jpg")
    else:
        main()
