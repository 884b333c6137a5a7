"""Slicer's module SampleData as far as others register their data with it and get them.

After Modules/Scripted/SampleData in https://github.com/Slicer/Slicer: sources are kept in
slicer.modules.sampleDataSources by category; a source is fetched from its URIs (file: as a rule, here) into the scene's
cache folder and loaded from there.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlretrieve

import slicer
import vtk
from slicer.util import computeChecksum, extractAlgoAndDigest


@dataclass
class SampleDataSource:
    """One sample: each field a value, or a list with one value per file."""

    sampleName: str | None = None
    sampleDescription: str | None = None
    uris: Any = None
    fileNames: Any = None
    nodeNames: Any = None
    checksums: Any = None
    loadFiles: Any = None
    customDownloader: Any = None
    thumbnailFileName: str | None = None
    loadFileType: Any = None
    loadFileProperties: dict | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sampleDescription = self.sampleDescription or self.sampleName
        self.loadFileProperties = self.loadFileProperties or {}
        many = ("fileNames", "nodeNames", "checksums", "loadFiles", "loadFileType")
        if isinstance(self.uris, str):
            self.uris = [self.uris]
            for name in many:
                setattr(self, name, [getattr(self, name)])
        if not isinstance(self.loadFileType, (list, tuple)):
            self.loadFileType = [self.loadFileType] * len(self.uris)
        for name in many:
            if getattr(self, name) is None:
                setattr(self, name, [None] * len(self.uris))
        for name in many:
            if len(getattr(self, name)) != len(self.uris):
                raise ValueError(f"All fields of sample data source must have the same length: {name}, uris")
        named = zip(self.loadFileType, self.nodeNames, strict=True)
        self.loadFileType = [kind or ("VolumeFile" if name else None) for kind, name in named]


class SampleDataLogic:
    def __init__(self, logMessage: Any = None) -> None:
        self.logMessage = logMessage or (lambda message, level=logging.DEBUG: logging.log(level, message))

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: dict | None = None,
        checksums: Any = None,
    ) -> None:
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            thumbnailFileName=thumbnailFileName,
            loadFileType=loadFileType,
            loadFiles=loadFiles,
            loadFileProperties=loadFileProperties,
            checksums=checksums,
            customDownloader=customDownloader,
        )
        sources = SampleDataLogic.sampleDataSourcesByCategory().setdefault(category, [])
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        everything = slicer.modules.sampleDataSources
        return everything if category is None else everything.get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category: str, sampleDataSource: SampleDataSource) -> bool:
        return sampleDataSource in SampleDataLogic.sampleDataSourcesByCategory(category)

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        every = [source for sources in self.sampleDataSourcesByCategory().values() for source in sources]
        return next((source for source in every if source.sampleName == sampleName), None)

    def downloadFile(self, uri: str, folder: str, name: str, checksum: str | None = None) -> str:
        """Fetch a file into a folder and return its path; raise ValueError if that fails."""
        path = Path(folder) / name
        algorithm, digest = extractAlgoAndDigest(checksum)
        if path.exists() and algorithm and computeChecksum(algorithm, str(path)) != digest:
            path.unlink()
        if not path.exists():
            try:
                urlretrieve(uri, path)
            except OSError as error:
                raise ValueError(f"Failed to download {uri} to {path}") from error
            if algorithm and computeChecksum(algorithm, str(path)) != digest:
                self.logMessage("Checksum verification failed.", logging.ERROR)
                path.unlink()
        return str(path)

    def downloadFileIntoCache(self, uri: str, name: str, checksum: str | None = None) -> str:
        folder = slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()
        Path(folder).mkdir(parents=True, exist_ok=True)
        return self.downloadFile(uri, folder, name, checksum)

    def downloadFromSource(self, source: SampleDataSource) -> list:
        """Return the loaded nodes, or the paths of the files where none was loaded."""
        nodes, paths = [], []
        for uri, name, node_name, checksum, load, kind in zip(
            source.uris,
            source.fileNames,
            source.nodeNames,
            source.checksums,
            source.loadFiles,
            source.loadFileType,
            strict=True,
        ):
            path = self.downloadFileIntoCache(uri, name, checksum)
            paths.append(path)
            if node_name and load is not False:
                node = self.loadNode(path, node_name, kind, source.loadFileProperties.copy())
                if node is not None:
                    nodes.append(node)
        return nodes or paths

    def loadNode(self, path: str, name: str, kind: str = "VolumeFile", properties: dict | None = None) -> Any:
        loaded = vtk.vtkCollection()
        properties = {**(properties or {}), "fileName": path, "name": name}
        if not slicer.app.coreIOManager().loadNodes(kind, properties, loaded):
            self.logMessage("Load failed!", logging.ERROR)
            return None
        node = loaded.GetItemAsObject(0)
        storage = node.GetStorageNode()
        if storage:  # read from a folder that will not stay
            slicer.mrmlScene.RemoveNode(storage)
            node.SetAndObserveStorageNodeID(None)
        return node

    def downloadSamples(self, sampleName: str) -> list:
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source else []

    def downloadSample(self, sampleName: str) -> Any:
        return self.downloadSamples(sampleName)[0]


def downloadSample(sampleName: str) -> Any:
    return SampleDataLogic().downloadSamples(sampleName)[0]


def downloadSamples(sampleName: str) -> list:
    return SampleDataLogic().downloadSamples(sampleName)
