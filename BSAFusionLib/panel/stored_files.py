"""The files of a scene, which the panel must not overwrite."""

from collections.abc import Iterator
from pathlib import Path

import slicer

from BSAFusionLib.mrml.scene import nodes_of_class


def stored_files(scene: slicer.vtkMRMLScene) -> Iterator[Path]:
    """Yield the scene's own file, all files that its storage nodes name, and the DICOM files of its volumes."""
    names = [scene.GetURL()]
    for storage in nodes_of_class(scene, "vtkMRMLStorageNode"):
        names.append(storage.GetFullNameFromFileName())
        names += [storage.GetFullNameFromNthFileName(n) for n in range(storage.GetNumberOfFileNames())]
    database = getattr(slicer, "dicomDatabase", None)  # None without Slicer's DICOM module
    if database is not None:
        for volume in nodes_of_class(scene, "vtkMRMLVolumeNode"):
            instances = volume.GetAttribute("DICOM.instanceUIDs") or ""
            names += [database.fileForInstance(instance) for instance in instances.split()]
    yield from (Path(name) for name in names if name)
