"""Writes lists of points as Slicer's Markups module does, by Slicer's own storage nodes."""

from pathlib import Path

import numpy as np
import slicer

STORAGE_CLASSES = {".json": "vtkMRMLMarkupsJsonStorageNode", ".fcsv": "vtkMRMLMarkupsFiducialStorageNode"}


def storage_node(scene: slicer.vtkMRMLScene, path: Path) -> slicer.vtkMRMLMarkupsStorageNode:
    """Return a storage node for a .mrk.json or .fcsv file."""
    storage = scene.AddNewNodeByClass(STORAGE_CLASSES[path.suffix])
    storage.SetFileName(str(path))
    return storage


def add_points(
    scene: slicer.vtkMRMLScene, points_ras: np.ndarray, name: str = "Points"
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Add a list of points (n, 3), mm, RAS, to a scene."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for point in np.asarray(points_ras, dtype=float).tolist():
        node.AddControlPoint(*point)
    return node


def write_points(scene: slicer.vtkMRMLScene, points_ras: np.ndarray, path: Path) -> None:
    """Write points (n, 3), mm, RAS, to a .mrk.json or .fcsv file."""
    assert storage_node(scene, path).WriteData(add_points(scene, points_ras))
