"""slicer.app.coreIOManager(), by which slicer.util loads and saves volumes, transforms and scenes."""

from pathlib import Path
from typing import Any

import slicer
from trame_slicer.core import SlicerApp

_of_ending = {
    "SceneFile": (".mrml", ".mrb"),
    "TransformFile": (".h5", ".tfm", ".mat", ".hdf5"),
    "VolumeFile": (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".hdr", ".png", ".tif"),
}


class qSlicerCoreIOManager:
    """Reads and writes the file types named here; a scene is added to what there is, as slicer.util.loadScene does."""

    def __init__(self, core: SlicerApp) -> None:
        self._core = core

    def fileType(self, path: str) -> str:
        name = str(path).lower()
        return next((kind for kind, endings in _of_ending.items() if name.endswith(endings)), "NoFile")

    def fileWriterFileType(self, node: Any) -> str:
        return "TransformFile" if node.IsA("vtkMRMLTransformNode") else "VolumeFile"

    def loadNodes(self, kind: str, properties: dict, loaded: Any = None, messages: Any = None) -> bool:
        path = Path(properties["fileName"])
        if not path.exists():
            return False
        if kind == "SceneFile":
            return bool(self._core.io_manager.load_scene(path))
        if kind == "VolumeFile":
            nodes = self._core.io_manager.load_volumes([str(path)])
        elif kind == "TransformFile":
            logic = slicer.vtkSlicerTransformLogic()
            logic.SetMRMLScene(self._core.scene)
            nodes = [logic.AddTransform(str(path), self._core.scene)]
        else:
            raise NotImplementedError(f"the harness reads {', '.join(_of_ending)}, not {kind}")
        nodes = [node for node in nodes if node is not None]
        for node in nodes:
            if "name" in properties:
                node.SetName(self._core.scene.GetUniqueNameByString(properties["name"]))
            if loaded is not None:
                loaded.AddItem(node)
        if kind == "VolumeFile" and nodes and properties.get("show", True):
            slicer.util.setSliceViewerLayers(background=nodes[0], fit=True)
        return bool(nodes)

    def saveNodes(self, kind: str, properties: dict, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return bool(self._core.io_manager.save_scene(path))
        node = self._core.scene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(properties.get("useCompression", storage.GetUseCompression()))
        return bool(storage.WriteData(node))
