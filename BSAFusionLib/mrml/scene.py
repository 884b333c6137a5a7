"""Find nodes in a scene, and save it."""

from pathlib import Path

import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.paths import writable_by_itk
from BSAFusionLib.files.vtk_messages import quiet


def nodes_of_class(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    """Return all nodes of a scene that are of a class or of one derived from it."""
    # Not slicer.util.getNodesByClass, which looks in slicer.mrmlScene whichever scene it is given; and not
    # GetNthNodeByClass, which walks through the scene from its start for each node.
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return list(found)


def save_scene(scene: slicer.vtkMRMLScene, path: Path) -> None:
    """Write a scene with all its data to one file.

    Args:
        scene: The scene.
        path: A .mrb file.

    Raises:
        FusionError: The file could not be written.
    """
    try:
        with quiet(), writable_by_itk(path) as name:
            written = scene.WriteToMRB(name)
    except OSError:  # where what was written is not there, or cannot be moved
        written = False
    if not written:
        raise FusionError(f"The scene could not be written to {path}; check the folder and the space on the disk.")
