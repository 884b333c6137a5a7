"""The files that a scene was read from, which the panel must not write over."""

from collections.abc import Iterator
from pathlib import Path

import slicer


def stored_files(scene: slicer.vtkMRMLScene) -> Iterator[Path]:
    """Yield the scene's own file, all files that its storage nodes name, and the DICOM files of its volumes."""
    names = [scene.GetURL()]
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLStorageNode")):
        storage = scene.GetNthNodeByClass(number, "vtkMRMLStorageNode")
        names.append(storage.GetFullNameFromFileName())
        names += [storage.GetFullNameFromNthFileName(n) for n in range(storage.GetNumberOfFileNames())]
    database = getattr(slicer, "dicomDatabase", None)  # None without Slicer's DICOM module
    if database is not None:
        for number in range(scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode")):
            volume = scene.GetNthNodeByClass(number, "vtkMRMLVolumeNode")
            instances = volume.GetAttribute("DICOM.instanceUIDs") or ""
            names += [database.fileForInstance(instance) for instance in instances.split()]
    yield from (Path(name) for name in names if name)
