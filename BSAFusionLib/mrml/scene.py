"""Find nodes in a scene, save it, and keep VTK's messages off the console."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer
from vtkmodules.vtkCommonCore import vtkObject, vtkOutputWindow

from BSAFusionLib.errors import FusionError


def nodes_of_class(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    """Return all nodes of a class, and of those derived from it, in one scene."""
    # Not slicer.util.getNodesByClass, which looks in slicer.mrmlScene whichever scene it is given; and not
    # GetNthNodeByClass, which walks through the scene from its start for each node.
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return list(found)


def save_scene(scene: slicer.vtkMRMLScene, path: Path) -> None:
    """Writes a scene with all its data to one .mrb file; FusionError where that fails."""
    with quiet():
        written = scene.WriteToMRB(str(path))
    if not written:
        raise FusionError(f"The scene could not be written to {path}: see that the folder exists and has room.")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what VTK reports off the console, where our own sentence, or nothing, is all that a user should read."""
    window, warn = vtkOutputWindow.GetInstance(), vtkObject.GetGlobalWarningDisplay()
    mode = window.GetDisplayMode()
    window.SetDisplayModeToNever()
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(warn)
        window.SetDisplayMode(mode)
